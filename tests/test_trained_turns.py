"""Answers that stay in a conversation but are not to be learned: in L, SFT, KTO and the scores of rows."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import EntropylawError, NotAssessedError
from corpus.records import Conversation, HashedRecord, Message, Preference, Record, content_hash
from training.base_model import load_base_model
from training.chat import (
    CHAT_TEMPLATE,
    EncodedRow,
    encode_answer,
    encode_conversation,
    encode_record,
    training_messages,
)
from training.chat_templates import read_chat_template
from training.kto import KtoParams, train_kto
from training.loss import collate_rows, mean_token_loss
from training.probe import probe_loss
from training.probe_run import ProbeParams
from training.quality import QualityParams, rating_requests
from training.row_scores import RowScoreParams, score_losses
from training.sft import SftParams, train_sft
from training.small_model import train_tokenizer
from training.template_inputs import to_chat
from training.trained_turns import cut_untrained
from training.turns import Turn, split_turns

Rows = list[HashedRecord]

ASKED, WRONG = Message("user", "Hello there"), Message("assistant", "I am fine.", trained=False)
AGAIN, RIGHT = Message("user", "how are you?"), Message("assistant", "Hello fine")
ROW = (ASKED, WRONG, AGAIN, RIGHT)
SFT = SftParams(epochs=1.0, batch_rows=64, micro_batch_rows=64, learning_rate=1e-3, max_length=64)


def tokenizer_with(template: str) -> Any:
    tokenizer = train_tokenizer(["Hello there, how are you today? I am fine. USER: ASSISTANT:"] * 3, 400)
    tokenizer.bos_token = "<|pad|>"
    tokenizer.chat_template = template
    return tokenizer


def learned(tokenizer: Any, messages: Sequence[Message]) -> str:
    row = encode_conversation(tokenizer, messages, 1000)
    return "" if row is None else tokenizer.decode([t for t, flag in zip(row.ids, row.response, strict=True) if flag])


def mask(record: Record, number: int) -> Record:
    """The record with its answer of that number masked."""
    assert isinstance(record, Conversation)
    place = [i for i, message in enumerate(record.messages) if message.role == "assistant"][number]
    messages = list(record.messages)
    messages[place] = replace(messages[place], trained=False)
    return replace(record, messages=tuple(messages))


def hashed(records: Sequence[Record]) -> Rows:
    return [HashedRecord(record, content_hash(record)) for record in records]


# --- Which tokens are learned


def test_the_masks_by_hand() -> None:
    tokenizer = tokenizer_with(CHAT_TEMPLATE)
    row = encode_conversation(tokenizer, ROW, 1000)
    assert row is not None
    pieces = [
        ("<|user|>", False), ("Hello there", False), ("<|end|>", False),
        ("<|assistant|>", False), ("I am fine.", False), ("<|end|>", False),
        ("<|user|>", False), ("how are you?", False), ("<|end|>", False),
        ("<|assistant|>", False), ("Hello fine", True), ("<|end|>", True),
    ]  # fmt: skip
    expected = [(token, flag) for text, flag in pieces for token in tokenizer(text)["input_ids"]]
    assert list(zip(row.ids, row.response, strict=True)) == expected


@given(
    st.lists(st.tuples(st.text(st.sampled_from("abc \n"), min_size=1, max_size=9), st.booleans()), min_size=1),
    st.sampled_from([CHAT_TEMPLATE, read_chat_template("vicuna"), read_chat_template("llama-3")]),
)
@settings(max_examples=80, deadline=None)
def test_masked_turns_take_their_marks_away_and_change_no_token(turns: list[tuple[str, bool]], template: str) -> None:
    """Against the marks that transformers itself gives each token."""
    tokenizer = tokenizer_with(template)
    asked = [Message("user", f"{i}") for i in range(len(turns))]
    told = [Message("assistant", f"x{text}x", trained=trained) for text, trained in turns]
    messages = [message for pair in zip(asked, told, strict=True) for message in pair]
    plain = tokenizer.apply_chat_template(to_chat(messages), return_dict=True, return_assistant_tokens_mask=True)
    row = encode_record(tokenizer, Conversation(tuple(messages)))
    assert list(row.ids) == plain["input_ids"]
    # In these formats an answer is one unbroken run of marks.
    marks = plain["assistant_masks"]
    numbers = np.cumsum([mark and not before for before, mark in zip([0, *marks], marks, strict=False)])
    expected = [bool(mark) and turns[number - 1][1] for mark, number in zip(marks, numbers, strict=True)]
    assert list(row.response) == expected


def test_a_row_without_a_trained_answer_has_nothing_to_learn() -> None:
    tokenizer = tokenizer_with(CHAT_TEMPLATE)
    assert encode_conversation(tokenizer, ROW[:2], 1000) is None
    assert encode_answer(tokenizer, ROW[:1], ROW[1:2], 1000) is None


# Marks the end of the conversation as one more answer, as the template of Phi 3 does.
ONE_MORE = CHAT_TEMPLATE.replace(
    "{% if add", "{% if not add_generation_prompt %}{% generation %}<|pad|>{% endgeneration %}{% endif %}{% if add"
)
# Marks each answer twice: its text, and its end.
TWICE = CHAT_TEMPLATE.replace(
    "{{ message['content'] + '<|end|>' }}{% endgeneration %}",
    "{{ message['content'] }}{% endgeneration %}{% generation %}<|end|>{% endgeneration %}",
)
# Marks two answers in a row as one, and so not each.
JOINED = (
    "{% for message in messages %}{% if message.role == 'user' %}<|user|>{{ message.content }}{% endif %}{% endfor %}"
    "{% generation %}{% for message in messages %}{% if message.role == 'assistant' %}{{ message.content }}<|end|>"
    "{% endif %}{% endfor %}{% endgeneration %}"
)


@pytest.mark.parametrize(
    ("template", "expected"), [(ONE_MORE, "Hello fine<|end|><|pad|>"), (TWICE, "Hello fine<|end|>")]
)
def test_where_marks_are_not_turns_each_turn_is_found_between_its_neighbours(template: str, expected: str) -> None:
    tokenizer = tokenizer_with(template)
    assert learned(tokenizer, ROW) == expected
    assert "I am fine." in learned(tokenizer, [replace(message, trained=True) for message in ROW])


def test_where_nothing_tells_the_turns_apart_nothing_of_the_row_is_learned() -> None:
    assert learned(tokenizer_with(JOINED), ROW) == ""
    assert learned(tokenizer_with(JOINED), [replace(message, trained=True) for message in ROW]) != ""


def test_of_an_answer_of_several_turns_the_untrained_ones_become_prompt() -> None:
    later = Message("assistant", "Later.", trained=False)
    assert cut_untrained([ASKED], [WRONG, AGAIN, RIGHT, later]) == ((ASKED, WRONG), (AGAIN, RIGHT))
    assert cut_untrained([ASKED], [RIGHT, AGAIN, WRONG]) == ((ASKED,), (RIGHT,))
    assert cut_untrained([ASKED], [WRONG]) is None
    tokenizer = tokenizer_with(CHAT_TEMPLATE)
    encoded = encode_answer(tokenizer, [ASKED], [WRONG, RIGHT], 1000)
    assert encoded is not None
    assert tokenizer.decode(encoded.answer_ids) == "Hello fine<|end|>"
    assert tokenizer.decode(encoded.prompt_ids).endswith("<|assistant|>I am fine.<|end|><|assistant|>")


# --- What is computed from them


@pytest.fixture(scope="module")
def masked(chats: Rows) -> list[Record]:
    """Conversations with their first answer masked; the last one has no answer left to learn from."""
    several = [record for record, _ in chats[300:] if sum(m.role == "assistant" for m in training_messages(record)) > 1]
    alone = Conversation((ASKED, WRONG), row=99)
    return [*(mask(record, 0) for record in several[:40]), alone]


def trained_tokens(tokenizer: Any, records: Sequence[Record]) -> list[EncodedRow]:
    """The rows with marks on the tokens after the context of each trained answer, found without any marks."""
    rows = []
    for record in records:
        messages = training_messages(record)
        whole = tokenizer.apply_chat_template(to_chat(messages))["input_ids"]
        response = [False] * len(whole)
        for i, message in enumerate(messages):
            if message.role == "assistant" and message.trained:
                before = to_chat(messages[:i])
                start = len(tokenizer.apply_chat_template(before, add_generation_prompt=True)["input_ids"])
                end = len(tokenizer.apply_chat_template(to_chat(messages[: i + 1]))["input_ids"])
                response[start:end] = [True] * (end - start)
        if any(response[1:64]):
            rows.append(EncodedRow(tuple(whole[:64]), tuple(response[:64])))
    return rows


def test_the_loss_of_a_row_with_a_masked_turn_is_that_of_the_trained_turn_after_the_same_context(
    base_folder: Path,
) -> None:
    model, tokenizer, _ = load_base_model(base_folder)
    row = encode_conversation(tokenizer, ROW, 1000)
    answer = encode_answer(tokenizer, ROW[:3], ROW[3:], 1000)
    assert row is not None and answer is not None
    model.eval()
    with torch.no_grad():
        batch = collate_rows([EncodedRow(answer.prompt_ids + answer.answer_ids, (False,) * len(row.ids))], 0)
        chances = model(batch["input_ids"]).logits[0, :-1].log_softmax(dim=-1)
    nats = [-float(chances[i - 1, row.ids[i]]) for i in range(len(answer.prompt_ids), len(row.ids))]
    found = mean_token_loss(model, [row], tokenizer.pad_token_id, 1)
    assert found == pytest.approx(sum(nats) / len(nats), rel=1e-4)
    plain = encode_conversation(tokenizer, [replace(message, trained=True) for message in ROW], 1000)
    assert plain is not None and mean_token_loss(model, [plain], tokenizer.pad_token_id, 1) != pytest.approx(found)


def test_the_probe_reads_no_masked_turn_and_counts_the_rows_without_another(
    masked: list[Record], base_folder: Path
) -> None:
    model, tokenizer, _ = load_base_model(base_folder)
    params = ProbeParams(steps=3, batch_rows=4, max_length=400, skipped_steps=1)
    result = probe_loss(model, tokenizer, hashed(masked), params, 1.0)
    assert {row.row for row in result.rows} == {record.row for record in masked[:-1]}
    assert (result.unread.rows, result.unread.without_answer) == (41, 1)
    for row in result.rows:
        record = next(record for record in masked if record.row == row.row)
        tokens = sum(flag for part in trained_tokens_whole(tokenizer, record) for flag in part.response[1:])
        assert row.response_tokens == tokens


def trained_tokens_whole(tokenizer: Any, record: Record) -> list[EncodedRow]:
    answers = [i for i, m in enumerate(training_messages(record)) if m.role == "assistant" and m.trained]
    messages = training_messages(record)
    encoded = [encode_answer(tokenizer, messages[:i], messages[i : i + 1], 10**6) for i in answers]
    return [answer.after((0,), 10**6) for answer in encoded if answer is not None]


def test_too_few_rows_with_a_trained_answer_are_named(base_folder: Path) -> None:
    model, tokenizer, _ = load_base_model(base_folder)
    rows = hashed([Conversation((Message("user", f"{i}"), WRONG), row=i) for i in range(8)])
    with pytest.raises(NotAssessedError, match=r"only 0 rows can be probed.* \(8 others have no answer to train on\)"):
        probe_loss(model, tokenizer, rows, ProbeParams(steps=2, batch_rows=4, skipped_steps=1), 1.0)


@pytest.mark.parametrize("packing", [False, True])
def test_sft_learns_no_masked_turn_packed_or_not(
    masked: list[Record], base_folder: Path, in_tmp_path: Path, packing: bool
) -> None:
    report = train_sft(masked, base_folder, replace(SFT, packing=packing), "model")
    model, tokenizer, _ = load_base_model(base_folder)
    rows = trained_tokens(tokenizer, masked)
    # One batch of all rows: the first loss is that of the base model on them.
    assert report.first_loss == pytest.approx(mean_token_loss(model, rows, tokenizer.pad_token_id, 8), rel=1e-3)
    assert (report.rows, report.rows_dropped) == (len(rows), len(masked) - len(rows))
    assert report.unread.rows == len(masked) and report.unread.without_answer == 1
    assert report.unread.prompts_too_long == len(masked) - len(rows) - 1


def test_sft_says_why_no_row_can_be_learned(base_folder: Path, in_tmp_path: Path) -> None:
    with pytest.raises(EntropylawError, match=r"sft\.max_length=64 tokens \(of 1 rows 1 with no answer to train on\)"):
        train_sft([Conversation((ASKED, WRONG))], base_folder, SFT, "model")


def test_kto_drops_and_counts_answers_that_are_not_to_be_trained_on(base_folder: Path, in_tmp_path: Path) -> None:
    params = KtoParams(epochs=1.0, batch_rows=4, micro_batch_rows=4, max_length=64)
    pairs = [Preference((Message("user", f"Hello {i}"),), (RIGHT,), (Message("assistant", "No."),)) for i in range(8)]
    half = Preference((ASKED,), (RIGHT,), (WRONG,))
    report = train_kto([*pairs, half], base_folder, params, "model")
    assert (report.rows, report.rows_dropped, report.unread.without_answer) == (17, 1, 1)
    with pytest.raises(EntropylawError, match="no preference row has an answer to train on"):
        train_kto([replace(half, chosen=())], base_folder, params, "none")


def test_row_scores_are_of_the_trained_answers(base_folder: Path, masked: list[Record]) -> None:
    model, tokenizer, _ = load_base_model(base_folder)
    found = score_losses(str(base_folder), [masked[0], masked[-1]], RowScoreParams(max_length=64))
    expected = mean_token_loss(model, trained_tokens(tokenizer, masked[:1]), tokenizer.pad_token_id, 1)
    assert found[0] == pytest.approx(expected, rel=1e-4, nan_ok=True) and np.isnan(found[1])


def test_the_judge_grades_trained_answers_only_and_sees_the_tools() -> None:
    record = Conversation(ROW, tools='[{"name":"weather"}]')
    (request,) = rating_requests(hashed([record]), QualityParams())
    prompt = request.messages[0].content
    assert "<answer>\nHello fine\n</answer>" in prompt
    assert '<conversation>\ntools: [{"name":"weather"}]\n\nuser: Hello there\n\nassistant: I am fine.' in prompt
    assert rating_requests(hashed([Conversation(ROW[:2])]), QualityParams()) == []


def test_deita_scores_no_turn_that_is_not_to_be_trained_on() -> None:
    assert split_turns(ROW) == [Turn("how are you?", "Hello fine")]
