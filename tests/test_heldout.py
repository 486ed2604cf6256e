"""Z: minus the mean held-out loss, whatever the batches."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from corpus.errors import NotAssessedError
from corpus.records import Conversation, HashedRecord, Message
from training.chat import encode_conversation, training_messages
from training.evaluation_params import EvaluationParams
from training.heldout import MAX_SOURCES, count_response_bytes, evaluate_heldout, score_sources
from training.loss import TokenLosses, collate_rows
from training.model_loading import load_pretrained

Rows = list[HashedRecord]
PARAMS = EvaluationParams(rows=20, max_length=80, batch_rows=6)


def test_z_is_minus_the_mean_token_loss_that_transformers_computes(chats: Rows, base_folder: Path) -> None:
    records = [record for record, _ in chats[900:940]]
    result = evaluate_heldout(base_folder, records, PARAMS)
    model, tokenizer = load_pretrained(str(base_folder))
    rows = [encode_conversation(tokenizer, training_messages(record), 80) for record in records[:20]]
    batch = collate_rows([row for row in rows if row], tokenizer.pad_token_id)
    assert result.loss_nats == pytest.approx(model.eval()(**batch).loss.item(), rel=1e-5)
    assert result.tokens == int((batch["labels"][:, 1:] >= 0).sum())
    assert (result.rows, result.z) == (len(batch["labels"]), -result.loss_nats)
    assert result.perplexity == pytest.approx(math.exp(result.loss_nats))
    assert result.model == "base"


def test_the_size_of_a_batch_does_not_matter_and_only_the_first_rows_count(chats: Rows, base_folder: Path) -> None:
    records = [record for record, _ in chats[900:940]]
    expected = evaluate_heldout(base_folder, records[:20], PARAMS).z
    for batch_rows in (1, 50):
        assert evaluate_heldout(base_folder, records, replace(PARAMS, batch_rows=batch_rows)).z == pytest.approx(
            expected
        )


def test_bits_per_byte_spread_the_loss_over_the_answers_as_they_are_written(chats: Rows, base_folder: Path) -> None:
    records = sorted((record for record, _ in chats[900:940]), key=lambda record: len(str(record)))[:20]
    result = evaluate_heldout(base_folder, records, replace(PARAMS, max_length=2000))
    answers = [message.content for record in records for message in record.messages if message.role == "assistant"]
    assert result.response_bytes == sum(len(answer.encode()) for answer in answers)
    assert result.bits_per_byte == pytest.approx(
        result.loss_nats * result.tokens / result.response_bytes * 1.4426950408889634
    )


@pytest.mark.parametrize("max_length", [20, 47, 90])
def test_only_bytes_of_scored_tokens_count_where_a_row_is_cut(chats: Rows, base_folder: Path, max_length: int) -> None:
    _, tokenizer = load_pretrained(str(base_folder))
    counted = 0
    for record, _ in chats[900:930]:
        row = encode_conversation(tokenizer, training_messages(record), max_length)
        text = "".join(message.content for message in record.messages)
        if row is None or not text.isascii():
            continue
        # Byte-level BPE writes each byte as one character, and marks of turns in angle brackets.
        names = tokenizer.convert_ids_to_tokens(list(row.ids))
        scored = [name for name, is_response in zip(names[1:], row.response[1:], strict=True) if is_response]
        assert count_response_bytes(tokenizer, row) == sum(len(name) for name in scored if not name.startswith("<|"))
        counted += 1
    assert counted


def test_letters_of_several_bytes_count_as_such(base_folder: Path) -> None:
    record = Conversation((Message("user", "Hi"), Message("assistant", "naïve 日本 🙂"), Message("user", "日本")))
    assert evaluate_heldout(base_folder, [record], PARAMS).response_bytes == 6 + 1 + 6 + 1 + 4


def test_an_answer_without_text_has_no_bits_per_byte(base_folder: Path) -> None:
    record = Conversation((Message("user", "Hi"), Message("assistant", "")))
    result = evaluate_heldout(base_folder, [record], PARAMS)
    assert (result.tokens, result.response_bytes) == (1, 0) and math.isnan(result.bits_per_byte)


def test_held_out_rows_without_a_response_in_reach_cannot_be_scored(chats: Rows, base_folder: Path) -> None:
    for records in ([record for record, _ in chats[:5]], []):
        with pytest.raises(NotAssessedError, match=r"no held-out row has a response within evaluation\.max_length=2"):
            evaluate_heldout(base_folder, records, replace(PARAMS, max_length=2))


@pytest.mark.parametrize("name", ["rows", "max_length", "batch_rows"])
def test_sizes_that_evaluate_nothing_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        EvaluationParams(**{name: 0})


def test_the_score_of_a_source_is_that_of_its_rows_alone_and_the_whole_is_their_mean(
    chats: Rows, base_folder: Path
) -> None:
    names = ("forum", "mail", "", "forum")
    records = [replace(record, source=names[i % 4]) for i, (record, _) in enumerate(chats[900:920])]
    result = evaluate_heldout(base_folder, records, PARAMS)
    assert list(result.sources) == ["forum", "", "mail"]
    for source, score in result.sources.items():
        alone = evaluate_heldout(base_folder, [record for record in records if record.source == source], PARAMS)
        assert (score.rows, score.tokens) == (alone.rows, alone.tokens)
        assert score.loss_nats == pytest.approx(alone.loss_nats, rel=1e-5) and score.z == -score.loss_nats
    whole = sum(score.tokens * score.loss_nats for score in result.sources.values())
    assert whole / result.tokens == pytest.approx(result.loss_nats, rel=1e-6)


def test_sources_change_no_number_of_the_whole_and_one_source_is_not_told_apart(chats: Rows, base_folder: Path) -> None:
    records = [record for record, _ in chats[900:920]]
    mixed = [replace(record, source=str(i % 3)) for i, record in enumerate(records)]
    same = [replace(record, source="mail") for record in records]
    results = [evaluate_heldout(base_folder, rows, PARAMS) for rows in (records, mixed, same)]
    assert results[1].sources and not results[2].sources
    assert replace(results[1], sources={}) == results[2]


def test_of_very_many_sources_those_with_most_rows_are_scored() -> None:
    sources = ["large"] * 3 + [f"user{i:03}" for i in range(200)]
    losses = TokenLosses(406.0, 203, (2.0,) * 203, (1,) * 203)
    found = score_sources(sources, losses)
    assert len(found) == MAX_SOURCES and next(iter(found)) == "large" and found["large"].loss_nats == 2.0
