"""What a version prefers: which pairs its parent held the other way round, and which way the choice goes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import HashedRecord, Message, Preference, Record, content_hash
from monitor.measures.row_sketch import RowSketch

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Fewer pairs of the parent say too little about what it prefers.
MIN_KEPT_PAIRS = 30


@dataclass(frozen=True)
class PreferenceDirection:
    """What tells the chosen answers of ``pairs`` pairs from the rejected ones, as far as length and agreement can.

    ``weights`` of the two columns of ``compare_answers``: the pairs score 1 on average, and with their answers
    exchanged -1. ``p_value``: of chosen answers that do not differ from rejected ones (Hotelling's T-squared test).
    """

    weights: tuple[float, float]
    pairs: int
    p_value: float

    def score(self, differences: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape (rows,) from (rows, 2), nan where a row has no pair."""
        scores: NDArray[np.float64] = differences @ np.array(self.weights)
        return scores


@dataclass(frozen=True)
class PairReference:
    """What the next version needs to know of the pairs of this one: how many, how many of them other rows contradict
    (``flag_flipped_pairs``), and the direction, None where there are too few.
    """

    pairs: int
    flipped: int
    direction: PreferenceDirection | None


@dataclass(frozen=True)
class PairComparison:
    """The pairs of a version against its parent's; of copies the first counts.

    ``is_reversed``: whether the parent held the row the other way round, shape (rows,). ``kept``, ``added``: rows of
    which that is known; ``kept_reversed``, ``added_reversed``: of these, the reversed ones. ``scores``: along
    ``direction``, shape (rows,), nan where a row has none; ``scores_added``: those of the added rows.
    """

    is_reversed: NDArray[np.bool_]
    kept: int
    kept_reversed: int
    added: int
    added_reversed: int
    direction: PreferenceDirection | None
    scores: NDArray[np.float64]
    scores_added: NDArray[np.float64]


def compare_pairs(
    records: Sequence[HashedRecord],
    agreement: NDArray[np.float64],
    sketch: RowSketch,
    reference: PairReference | None,
    is_kept: NDArray[np.bool_],
    is_added: NDArray[np.bool_],
) -> PairComparison:
    """Set the added pairs against the kept ones. ``records``: (record, content hash); ``agreement``: shape (rows, 2),
    of both answers; ``sketch``: the parent's rows. ``is_kept``, ``is_added``: shape (rows,), without copies.

    Where a version shares almost nothing with its parent, ``reference``, of the parent, stands in for the kept rows.
    """
    rows = [record for record, _ in records]
    mirrored = [reverse_pair(record) for record in rows]
    found = sketch.contains(
        [content_hash(pair) if pair else own for pair, (_, own) in zip(mirrored, records, strict=True)]
    )
    # A row whose answers are the same is its own mirror image.
    is_known = np.array([pair is not None and flag is not None for pair, flag in zip(mirrored, found, strict=True)])
    is_reversed = is_known & np.array([flag is True for flag in found])
    kept, kept_reversed = (int(np.count_nonzero(is_kept & flags)) for flags in (is_known, is_reversed))
    differences = compare_answers(rows, agreement)
    direction = fit_direction(differences[is_kept])
    if kept < MIN_KEPT_PAIRS and reference is not None:
        # An upper bound: a pair that stands both ways round is contradicted.
        kept, kept_reversed = reference.pairs, reference.flipped
    if direction is None and reference is not None:
        direction = reference.direction
    scores = direction.score(differences) if direction else np.full(len(rows), np.nan)
    return PairComparison(
        is_reversed=is_reversed,
        kept=kept,
        kept_reversed=kept_reversed,
        added=int(np.count_nonzero(is_added & is_known)),
        added_reversed=int(np.count_nonzero(is_added & is_reversed)),
        direction=direction,
        scores=scores,
        scores_added=scores[is_added & ~np.isnan(scores)],
    )


def reverse_pair(record: Record) -> Preference | None:
    """The record with its answers exchanged, an unpaired one with the other label; None where that changes nothing.

    >>> good, bad = (Message("assistant", "Yes."),), (Message("assistant", "No."),)
    >>> pair = Preference((Message("user", "Tea?"),), good, bad)
    >>> reverse_pair(pair) == Preference(pair.prompt, bad, good)
    True
    """
    if not isinstance(record, Preference) or record.chosen == record.rejected:
        return None
    return Preference(record.prompt, chosen=record.rejected, rejected=record.chosen)


def compare_answers(records: Sequence[Record], agreement: NDArray[np.float64]) -> NDArray[np.float64]:
    """How the chosen answer differs from the rejected one: in the logarithm of its length in characters, and in
    agreement with the prompt; shape (rows, 2), nan where a row is no pair or has a blank text.
    """
    lengths = np.full(len(records), np.nan)
    for i, record in enumerate(records):
        if isinstance(record, Preference) and record.chosen and record.rejected:
            lengths[i] = math.log((1 + _count_characters(record.chosen)) / (1 + _count_characters(record.rejected)))
    return np.column_stack([lengths, agreement[:, 0] - agreement[:, 1]])


def _count_characters(messages: Sequence[Message]) -> int:
    return sum(len(message.content) for message in messages)


def fit_direction(differences: NDArray[np.float64]) -> PreferenceDirection | None:
    """Fisher's linear discriminant of pairs against their mirror images. ``differences``: shape (rows, 2), nan for no
    pair. None with fewer than MIN_KEPT_PAIRS pairs, or where all of them are balanced.
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
    # The small addition keeps answers that always differ by the same amount from dividing by zero.
    covariance = np.cov(scaled, rowvar=False) + 1e-6 * np.eye(features)
    weights = np.linalg.solve(covariance, mean)
    distance = float(mean @ weights)
    if distance <= 0:
        return None
    f = n * distance * (n - features) / (features * (n - 1))
    length, agreement = (weights / distance / size).tolist()
    return PreferenceDirection((length, agreement), n, float(stats.f.sf(f, features, n - features)))
