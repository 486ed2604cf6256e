"""What the pairs of a version prefer: a pair with its answers exchanged, and what tells chosen from rejected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import Message, Preference, Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Fewer pairs of the parent say too little about what it prefers.
MIN_KEPT_PAIRS = 30


@dataclass(frozen=True)
class PreferenceDirection:
    """What tells chosen answers from rejected ones, as far as length and agreement can.

    ``weights``: of the two columns of ``compare_answers``. With them the pairs score 1 on average, and -1 with their
    answers exchanged. ``pairs``: how many it was fitted on. ``p_value``: under the hypothesis that chosen and rejected
    answers do not differ (Hotelling's T-squared test).
    """

    weights: tuple[float, float]
    pairs: int
    p_value: float

    def score(self, differences: NDArray[np.float64]) -> NDArray[np.float64]:
        """The score of each row, shape (rows,), nan where a row is no pair. ``differences``: shape (rows, 2)."""
        scores: NDArray[np.float64] = differences @ np.array(self.weights)
        return scores


@dataclass(frozen=True)
class PairReference:
    """What the next version needs to know of the pairs of this one.

    ``pairs``: how many there are. ``flipped``: how many of them other rows contradict (``flag_flipped_pairs``).
    ``direction``: None with too few pairs.
    """

    pairs: int
    flipped: int
    direction: PreferenceDirection | None

    def __post_init__(self) -> None:
        if not 0 <= self.flipped <= self.pairs:
            raise ValueError(f"of {self.pairs} pairs, {self.flipped} cannot be flipped")


def reverse_pair(record: Record) -> Preference | None:
    """The record with its answers exchanged, or with the other label if it is unpaired; None where nothing changes.

    >>> good, bad = (Message("assistant", "Yes."),), (Message("assistant", "No."),)
    >>> pair = Preference((Message("user", "Tea?"),), good, bad)
    >>> reverse_pair(pair) == Preference(pair.prompt, bad, good)
    True
    """
    if not isinstance(record, Preference) or record.chosen == record.rejected:
        return None
    return Preference(record.prompt, chosen=record.rejected, rejected=record.chosen)


def compare_answers(records: Iterable[Record], agreement: NDArray[np.float64]) -> NDArray[np.float64]:
    """How the chosen answer differs from the rejected one, shape (rows, 2).

    The first column is the logarithm of the ratio of their lengths in characters, nan where a row is no pair. The
    second is the difference of their ``agreement`` with the prompt, nan also where a text is blank.
    """
    lengths = np.full(len(agreement), np.nan)
    for i, record in enumerate(records):
        if isinstance(record, Preference) and record.chosen and record.rejected:
            lengths[i] = math.log((1 + _count_characters(record.chosen)) / (1 + _count_characters(record.rejected)))
    return np.column_stack([lengths, agreement[:, 0] - agreement[:, 1]])


def _count_characters(messages: Sequence[Message]) -> int:
    return sum(len(message.text) for message in messages)


def fit_direction(differences: NDArray[np.float64]) -> PreferenceDirection | None:
    """Fisher's linear discriminant between the pairs and the same pairs with their answers exchanged.

    ``differences``: shape (rows, 2), nan where a row is no pair. None with fewer than MIN_KEPT_PAIRS pairs, or where
    the chosen answers do not differ from the rejected ones.
    """
    from scipy import stats

    pairs = differences[~np.isnan(differences).any(axis=1)]
    n, features = pairs.shape
    size = np.sqrt((pairs**2).mean(axis=0)) if n else np.zeros(features)
    if n < MIN_KEPT_PAIRS or not size.any():
        return None
    size = np.where(size > 0, size, 1.0)
    scaled = pairs / size
    mean = scaled.mean(axis=0)
    # Answers that always differ by the same amount have no variance; the small addition avoids a division by zero.
    covariance = np.cov(scaled, rowvar=False) + 1e-6 * np.eye(features)
    weights = np.linalg.solve(covariance, mean)
    distance = float(mean @ weights)
    if distance <= 0:
        return None
    f = n * distance * (n - features) / (features * (n - 1))
    length, agreement = (weights / distance / size).tolist()
    return PreferenceDirection((length, agreement), n, float(stats.f.sf(f, features, n - features)))
