"""Side features against values worked by hand, a naive count, and what each edit must move."""

import math
import time
import unicodedata
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.row_sides import RowSides
from monitor.measures.side_features import FEATURE_NAMES, MAX_CHARACTERS, SIDE_FEATURES, measure_side_features

PROMPT = "How do I make Tea?\nTell me in 3 steps."
ANSWER = "You make Tea so:\n- Boil water.\n- Wait 5 minutes.\n\tDo not stir.\n- Drink."


def measure_one(prompt: str, answer: str) -> dict[str, float]:
    (values,) = measure_side_features([RowSides(prompt, answer)])
    return dict(zip(FEATURE_NAMES, values.tolist(), strict=True))


def changed(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """How much each feature has moved; features that are equal, or nan in one of them, are left out."""
    return {name: after[name] - before[name] for name in FEATURE_NAMES if abs(after[name] - before[name]) > 1e-12}


def test_a_row_worked_by_hand() -> None:
    found = measure_one(PROMPT, ANSWER)
    characters = len(ANSWER)
    assert found["answer length"] == pytest.approx(math.log(characters + 1))
    assert found["answer line breaks"] == pytest.approx(4 / characters)
    assert found["answer upper case"] == pytest.approx(6 / sum(map(str.isalpha, ANSWER)))
    assert found["answer digits"] == pytest.approx(1 / characters)
    assert found["answer lists"] == pytest.approx(3 / 5)
    assert found["answer indentation"] == pytest.approx(1 / 5)
    assert found["answer ending"] == 1
    assert found["answer compression ratio"] == len(ANSWER) / len(zlib.compress(ANSWER.encode()))
    # "do", "make" and "tea" of how, do, i, make, tea, tell, me, in, 3, steps.
    assert found["prompt words in answer"] == pytest.approx(3 / 10)
    assert found["prompt questions"] == pytest.approx(1 / len(PROMPT))


@given(st.lists(st.text(max_size=40), max_size=6))
def test_characters_are_counted_as_one_by_one(answers: list[str]) -> None:
    values = measure_side_features([RowSides("", answer) for answer in answers])
    for answer, row in zip(answers, values, strict=True):
        found = dict(zip(FEATURE_NAMES, row.tolist(), strict=True))
        for name, count in (
            ("answer punctuation", sum(unicodedata.category(c)[0] in "PS" for c in answer)),
            ("answer non-ASCII", sum(ord(c) > 127 for c in answer)),
            ("answer white space", sum(c.isspace() and c != "\n" for c in answer)),
        ):
            assert math.isnan(found[name]) if not answer else found[name] == pytest.approx(count / len(answer))


@pytest.mark.parametrize(
    ("edit", "moves"),
    [
        (str.lower, {"answer upper case": -1}),
        (lambda text: text.replace("\n", " "), {"answer line breaks": -1, "answer lists": -1}),
        (lambda text: text[: len(text) // 2], {"answer length": -1, "answer ending": -1}),
        (lambda text: text + " " + text, {"answer length": 1, "answer compression ratio": 1}),
        (lambda text: PROMPT + "\n" + text, {"prompt words in answer": 1, "answer words from prompt": 1}),
        (lambda text: text.replace("-", "<li>"), {"answer markup": 1}),
        (lambda text: text.replace(" ", "\u00a0"), {"answer non-ASCII": 1}),
        (lambda text: text + " Why?", {"answer questions": 1}),
    ],
)
def test_an_edit_moves_the_features_that_are_named_after_it(edit: object, moves: dict[str, int]) -> None:
    found = changed(measure_one(PROMPT, ANSWER), measure_one(PROMPT, edit(ANSWER)))
    assert {name: int(np.sign(found.get(name, 0.0))) for name in moves} == moves


@given(st.text(), st.text(), st.text())
def test_features_of_a_side_move_only_with_that_side_unless_they_compare_both(prompt: str, old: str, new: str) -> None:
    found = changed(measure_one(prompt, old), measure_one(prompt, new))
    assert not [name for name in found if name.startswith("prompt ") and name != "prompt words in answer"]


@pytest.mark.parametrize("ending", [".", "!", "。", "؟", "।", "»", '."', ")", "```", "🙂", " \n", ":"])
def test_sentences_code_and_emoji_end(ending: str) -> None:
    assert measure_one("", "We wait." + ending)["answer ending"] == 1


@pytest.mark.parametrize("ending", ["", " ", ",", " -", " (", " 5", " und", "को"])
def test_a_text_that_breaks_off_does_not_end(ending: str) -> None:
    assert measure_one("", "We wait" + ending)["answer ending"] == 0


def test_rows_without_a_side_have_lengths_only() -> None:
    found = measure_one("", "")
    assert {name for name, value in found.items() if not math.isnan(value)} == {"answer length", "prompt length"}
    assert measure_side_features([]).shape == (0, len(SIDE_FEATURES))


def test_rows_are_measured_alike_alone_and_among_others() -> None:
    rows = [RowSides("a" * n, "Ab 1\n" * n) for n in (0, 1, 300_000, 50, 300_000, 7)]
    together = measure_side_features(rows)
    alone = np.vstack([measure_side_features([row]) for row in rows])
    np.testing.assert_array_equal(together, alone)


def test_a_long_row_costs_no_more_than_its_beginning() -> None:
    started = time.process_time()
    found = measure_one("?" * 5_000_000, "word " * MAX_CHARACTERS * 50 + "end.")
    assert time.process_time() - started < 1
    assert found["answer ending"] == 1


def test_a_surrogate_that_stands_alone_is_a_character() -> None:
    assert measure_one("", "\ud800 a")["answer non-ASCII"] == pytest.approx(1 / 3)


def test_each_feature_has_its_own_name_and_words() -> None:
    assert len(set(FEATURE_NAMES)) == len(SIDE_FEATURES)
    assert {feature.side for feature in SIDE_FEATURES} == {"answers", "prompts"}
    assert all(feature.what and feature.rise and feature.fall for feature in SIDE_FEATURES)
