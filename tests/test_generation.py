"""Answers of a model: what is drawn, where they end, and that neighbours in a batch do not matter."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from corpus.records import Message
from training.chat import END_OF_TURN, encode_prompt
from training.generation import AnswerRequest, find_stop_tokens, generate_answers
from training.model_loading import load_pretrained

pytestmark = pytest.mark.slow

QUESTIONS = (
    "Hi, how are you?",
    "What is your favourite film, and why do you like it?",
    "Tell me a joke.",
    "ok",
    "Why?",
)


@pytest.fixture(scope="module")
def loaded(base_folder: Path):
    return load_pretrained(str(base_folder))


def ask(text: str, temperature: float = 0.0, seed: int = 0) -> AnswerRequest:
    return AnswerRequest((Message("user", text),), temperature, np.random.default_rng(seed))


def likeliest_tokens(model, tokenizer, text: str, count: int) -> list[int]:
    """Token after token by whole forward passes, without a cache, padding or a library's generation."""
    ids = list(encode_prompt(tokenizer, (Message("user", text),)))
    new: list[int] = []
    with torch.inference_mode():
        while len(new) < count:
            new.append(int(model(input_ids=torch.tensor([ids + new])).logits[0, -1].argmax()))
            if new[-1] == tokenizer.convert_tokens_to_ids(END_OF_TURN):
                break
    return new


def test_at_temperature_0_each_token_is_the_likeliest_one(loaded) -> None:
    model, tokenizer = loaded
    answers = generate_answers(model, tokenizer, [ask(text) for text in QUESTIONS], 12, batch_rows=3)
    for text, answer in zip(QUESTIONS, answers, strict=True):
        tokens = likeliest_tokens(model, tokenizer, text, 12)
        assert answer.text == tokenizer.decode(tokens, skip_special_tokens=True).strip()
        assert answer.is_cut == (tokenizer.convert_tokens_to_ids(END_OF_TURN) not in tokens)


def test_an_answer_does_not_depend_on_its_neighbours_in_the_batch(loaded) -> None:
    model, tokenizer = loaded

    def draw(order: list[int], batch_rows: int) -> dict[int, object]:
        requests = [ask(QUESTIONS[i], temperature=0.1 * (i + 3), seed=i) for i in order]
        return dict(zip(order, generate_answers(model, tokenizer, requests, 10, batch_rows), strict=True))

    together = draw([0, 1, 2, 3, 4], batch_rows=5)
    assert draw([4, 2, 0, 3, 1], batch_rows=2) == together
    assert draw([3], batch_rows=1)[3] == together[3]
    assert len({str(answer) for answer in together.values()}) == 5


def test_draws_follow_the_model_at_the_temperature_asked_for(loaded) -> None:
    model, tokenizer = loaded
    count = 600
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([encode_prompt(tokenizer, (Message("user", "Hi"),))])).logits[0, -1]
    for temperature in (0.7, 1.5):
        requests = [ask("Hi", temperature, seed) for seed in range(count)]
        answers = [answer.text for answer in generate_answers(model, tokenizer, requests, 1, batch_rows=count)]
        # Tokens that differ in white space only, or not at all in text, are one answer.
        expected: dict[str, float] = {}
        for token, share in enumerate(torch.softmax(logits / temperature, dim=0).tolist()):
            text = tokenizer.decode([token], skip_special_tokens=True).strip()
            expected[text] = expected.get(text, 0.0) + share
        common = [text for text, share in expected.items() if share > 0.05]
        assert common
        for text in common:
            share = expected[text]
            # Five standard errors: a wrong temperature moves the likeliest answer by more.
            assert abs(answers.count(text) / count - share) < 5 * (share * (1 - share) / count) ** 0.5


def test_the_model_s_own_penalties_are_left_aside_and_its_end_tokens_are_heeded(loaded) -> None:
    model, tokenizer = loaded
    requests = [ask(text) for text in QUESTIONS]
    plain = generate_answers(model, tokenizer, requests, 12, batch_rows=5)
    changed = copy.deepcopy(model)
    changed.generation_config.update(repetition_penalty=50.0, no_repeat_ngram_size=1, do_sample=True, top_k=1)
    assert generate_answers(changed, tokenizer, requests, 12, batch_rows=5) == plain
    first = likeliest_tokens(model, tokenizer, QUESTIONS[0], 1)[0]
    changed.generation_config.eos_token_id = [first]
    (answer,) = generate_answers(changed, tokenizer, requests[:1], 12, batch_rows=5)
    assert (answer.text, answer.is_cut) == ("", False)


def test_the_template_s_end_of_a_turn_ends_an_answer_although_neither_model_nor_tokenizer_names_it(loaded) -> None:
    model, tokenizer = copy.deepcopy(loaded[0]), copy.deepcopy(loaded[1])
    end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    tokenizer.eos_token = "<|tool|>"
    model.generation_config.eos_token_id = None
    assert find_stop_tokens(model, tokenizer) == sorted([end, tokenizer.convert_tokens_to_ids("<|tool|>")])


def test_a_conversation_that_leaves_little_room_is_answered_in_what_is_left(loaded) -> None:
    model, tokenizer = copy.deepcopy(loaded[0]), loaded[1]
    length = len(encode_prompt(tokenizer, (Message("user", QUESTIONS[1]),)))
    whole = generate_answers(model, tokenizer, [ask("ok"), ask(QUESTIONS[1])], 6, batch_rows=2)
    model.config.max_position_embeddings = length + 2
    short, cut = generate_answers(model, tokenizer, [ask("ok"), ask(QUESTIONS[1])], 6, batch_rows=2)
    assert short == whole[0]
    assert cut.is_cut and whole[1].text.startswith(cut.text) and cut.text != whole[1].text
    model.config.max_position_embeddings = length
    assert generate_answers(model, tokenizer, [ask(QUESTIONS[1])], 6, batch_rows=2)[0].text == ""
