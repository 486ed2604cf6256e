"""The character model: against counts in dictionaries, and what it may not know."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.like_rows.character_model import (
    ALPHABET,
    ORDER,
    SMOOTHING,
    CharacterSurprisal,
    measure_surprisal,
    number_grams,
)

# So few contexts that no two of them share a cell of 2**20.
TEXTS = [
    "the cat sat on the mat.",
    "the dog sat on the log.",
    "a cat and a dog.",
    "the mat and the log.",
    "",
    "zzz aba",
]
FOLDS = [0, 1, 0, 2, 1, -1]


def measure_texts(texts: list[str], folds: list[int]) -> CharacterSurprisal:
    """The surprisal of every character of the texts, shape (n,)."""
    length = np.array([len(text) for text in texts])
    grams = number_grams(np.array([ord(c) for text in texts for c in text], dtype=np.uint32), length)
    fold = np.repeat(folds, length)
    surprisal = measure_surprisal(grams, fold)
    place = grams.number, fold
    return CharacterSurprisal(surprisal.bits[place], surprisal.bits_alone[place])


def count_naively(texts: list[str], folds: list[int]) -> list[float]:
    """Bits of every character by dictionaries of what followed what, made anew for each row."""
    bits = []
    for text, fold in zip(texts, folds, strict=True):
        seen: Counter[str] = Counter()
        followed: Counter[tuple[str, str]] = Counter()
        for other, of_fold in zip(texts, folds, strict=True):
            if of_fold == -1 or of_fold == fold:
                continue
            padded = "\0" * ORDER + other
            for end in range(ORDER, len(padded)):
                for order in range(ORDER):
                    context = padded[end - order : end]
                    seen[context] += 1
                    followed[context, padded[end]] += 1
        padded = "\0" * ORDER + text
        for end in range(ORDER, len(padded)):
            probability = 1 / ALPHABET
            for order in range(ORDER):
                context = padded[end - order : end]
                smoothed = followed[context, padded[end]] + SMOOTHING * probability
                probability = smoothed / (seen[context] + SMOOTHING)
            bits.append(-math.log2(probability))
    return bits


def test_bits_are_those_of_counts_in_dictionaries() -> None:
    assert measure_texts(TEXTS, FOLDS).bits == pytest.approx(count_naively(TEXTS, FOLDS), rel=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.text("ab", max_size=8), st.integers(-1, 2)), min_size=1, max_size=6))
def test_bits_are_those_of_counts_in_dictionaries_for_any_rows(rows: list[tuple[str, int]]) -> None:
    texts, folds = [text for text, _ in rows], [fold for _, fold in rows]
    assert measure_texts(texts, folds).bits == pytest.approx(count_naively(texts, folds), rel=1e-9)


def test_a_fold_is_read_as_if_its_rows_were_not_there() -> None:
    own = [fold == 0 for text, fold in zip(TEXTS, FOLDS, strict=True) for _ in text]
    without = measure_texts(TEXTS, [-1 if fold == 0 else fold for fold in FOLDS])
    assert (measure_texts(TEXTS, FOLDS).bits[own] == without.bits[own]).all()


def test_rows_that_are_only_scored_teach_nothing() -> None:
    longer = measure_texts([*TEXTS, "quite another text"], [*FOLDS, -1])
    alone = measure_texts(TEXTS, FOLDS)
    assert (longer.bits[: len(alone.bits)] == alone.bits).all()


def test_before_anything_was_seen_all_characters_are_alike() -> None:
    nothing = measure_texts(["abc", "xyz"], [-1, -1])
    assert nothing.bits == pytest.approx([math.log2(ALPHABET)] * 6)
    assert nothing.bits_alone == pytest.approx([math.log2(ALPHABET)] * 6)


def test_the_probabilities_of_all_that_may_follow_sum_to_one() -> None:
    known = "the cat sat on the mat. the dog sat on the log."
    following = [f"the{chr(code)}" for code in range(1, ALPHABET + 1)]
    surprisal = measure_texts([known, *following], [0, *[-1] * ALPHABET])
    for bits in (surprisal.bits, surprisal.bits_alone):
        last = bits[len(known) :].reshape(ALPHABET, 4)[:, 3]
        assert np.exp2(-last).sum() == pytest.approx(1, rel=1e-6)


def test_alone_a_characters_bits_do_not_depend_on_its_neighbours() -> None:
    known = "abracadabra"
    forwards = measure_texts([known, "cab"], [0, -1]).bits_alone[-3:]
    backwards = measure_texts([known, "bac"], [0, -1]).bits_alone[-3:]
    assert (forwards == backwards[::-1]).all()


def test_what_stood_in_the_row_before_says_nothing_of_the_next() -> None:
    after_other = measure_texts(["abcabcabc", "xxxx", "abc"], [0, -1, -1]).bits[-3:]
    after_known = measure_texts(["abcabcabc", "abab", "abc"], [0, -1, -1]).bits[-3:]
    assert (after_other == after_known).all()


def test_text_in_other_letters_or_another_order_is_more_surprising() -> None:
    known = ["the cat sat on the mat. the dog sat on the log."] * 3
    texts = ["the cat sat on the log.", "eht tac tas no eht gol.", "жгд кфт цфт он ждг лог."]
    surprisal = measure_texts([*known, *texts], [0, 1, 2, -1, -1, -1])
    same, scrambled, foreign = surprisal.bits[-3 * 23 :].reshape(3, 23).mean(axis=1)
    assert same < scrambled < foreign


def test_no_character_is_impossible_and_an_empty_input_has_no_bits() -> None:
    assert np.isfinite(measure_texts(["a" * 1000, "\U0010ffff"], [0, -1]).bits).all()
    assert len(measure_texts([""], [0]).bits) == 0


@settings(deadline=None)
@given(st.lists(st.text("abc", max_size=9), max_size=6), st.sampled_from([1, 40, 2_000, 300_000]))
def test_characters_share_a_number_where_they_and_the_four_before_them_in_their_row_are_the_same(
    texts: list[str], spread: int
) -> None:
    """Whether a gram of five characters fits into 64 bits, as it does with few different ones, or not."""
    # Characters that are only there to make the numbers long. None of their grams is one of the texts'.
    many = "".join(chr(0x10FFFF - i) for i in range(spread))
    rows = [*texts, many]
    grams = number_grams(
        np.frombuffer("".join(rows).encode("utf-32-le"), dtype="<u4"), np.array([len(row) for row in rows])
    )
    padded = ["\0" * (ORDER - 1) + row for row in rows]
    expected = [row[end - ORDER : end][::-1] for row in padded for end in range(ORDER, len(row) + 1)]
    assert ["".join(map(chr, grams.characters[number].tolist())) for number in grams.number.tolist()] == expected
    assert len(set(expected)) == len(grams.characters)


def test_a_gram_that_does_not_occur_in_a_fold_has_no_surprisal_there() -> None:
    grams = number_grams(np.array([97, 98], dtype=np.uint32), np.array([1, 1]))
    bits = measure_surprisal(grams, np.array([0, 1])).bits
    assert np.isnan(bits).tolist() == [[False, True, True], [True, False, True]]
