"""A longer answer compresses better, and is not more repetitive for it."""

import numpy as np
from numpy.typing import NDArray

from corpus.row_sides import RowSides
from monitor.like_rows.length_effect import take_off_length
from monitor.measures.side_features import FEATURE_NAMES, measure_side_features


def write_answers(rng: np.random.Generator, words: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    """Lengths and compression ratios of answers with so many words each, drawn from one vocabulary."""
    vocabulary = ["".join(rng.choice(list("abcdefghijklmnop"), size=rng.integers(2, 9))) for _ in range(400)]
    answers = [" ".join(rng.choice(vocabulary, size=count)) for count in words.tolist()]
    values = measure_side_features([RowSides("", answer) for answer in answers])
    return tuple(values[:, FEATURE_NAMES.index(name)] for name in ("answer length", "answer compression ratio"))


def test_a_batch_of_longer_answers_is_not_called_more_repetitive() -> None:
    rng = np.random.default_rng(0)
    words = np.concatenate([rng.integers(5, 300, size=600), rng.integers(200, 300, size=100)])
    is_kept = np.arange(700) < 600
    length, ratio = write_answers(rng, words)
    # The kept ratios say that nearly all of the added ones are high.
    assert np.mean(ratio[600:] > np.median(ratio[:600])) > 0.9
    freed = take_off_length(ratio, length, is_kept)
    assert 0.3 < np.mean(freed[600:] > np.median(freed[:600])) < 0.7


def test_answers_that_repeat_themselves_stay_more_repetitive() -> None:
    length, ratio = write_answers(np.random.default_rng(1), np.full(200, 100))
    ratio[150:] *= 1.5
    freed = take_off_length(ratio, length, np.arange(200) < 150)
    assert freed[150:].min() > freed[:150].max()


def test_rows_without_the_feature_are_left_out_and_without_kept_ones_nothing_is_taken_off() -> None:
    values, lengths = np.array([1.0, np.nan, 3.0]), np.array([2.0, 2.0, 2.0])
    freed = take_off_length(values, lengths, np.array([True, True, True]))
    assert np.array_equal(freed, [-1.0, np.nan, 1.0], equal_nan=True)
    assert take_off_length(values, lengths, np.zeros(3, dtype=bool)) is values
