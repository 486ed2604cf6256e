"""Pairs of preferences against the parent's: which have their answers exchanged, and what the others prefer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import HashedRecord, content_hash
from corpus.row_hashes import RowHashes
from monitor.measures.preferences import (
    MIN_KEPT_PAIRS,
    PairReference,
    PreferenceDirection,
    compare_answers,
    fit_direction,
    reverse_pair,
)
from monitor.measures.row_split import RowSplit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.measures.row_sketch import RowSketch

# Fewer pairs say too little about what is normal, or about their own mean.
MIN_PAIRS = 10


@dataclass(frozen=True)
class PairComparison:
    """The pairs of a version against those of its parent. A row and its copies count once.

    - ``is_reversed``: whether the parent had the row with its answers exchanged, shape (rows,).
    - ``kept``, ``added``: for how many rows that is known; ``kept_reversed``, ``added_reversed``: for how many of them
      it is true.
    - ``direction``: what tells chosen from rejected answers in the kept pairs; None where nothing does.
    - ``scores``: how clearly each row prefers in that direction, shape (rows,), nan where a row is no pair;
      ``scores_added``: the scores of the added rows.
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
    split: RowSplit,
) -> PairComparison:
    """Compare the added pairs of a version with the kept ones. A row and its copies count once.

    ``agreement``: of both answers, shape (rows, 2). ``sketch``: of the parent's rows. ``reference``: what the history
    keeps of the parent's pairs; it takes the place of the kept rows where a version has almost none.
    """
    is_kept, is_added = split.kept_once, split.added_once
    is_pair = np.zeros(len(records), dtype=bool)
    sampled, found = sketch.look_up(RowHashes.of(_hash_mirrored(records, is_pair)))
    # A row whose answers are the same is its own mirror image.
    is_known = is_pair & sampled
    is_reversed = is_known & found
    kept, kept_reversed = (int(np.count_nonzero(is_kept & flags)) for flags in (is_known, is_reversed))
    differences = compare_answers((record for record, _ in records), agreement)
    direction = fit_direction(differences[is_kept])
    if kept < MIN_KEPT_PAIRS and reference is not None:
        # An upper bound: every pair that stands both ways round is contradicted, and others are too.
        kept, kept_reversed = reference.pairs, reference.flipped
    if direction is None and reference is not None:
        direction = reference.direction
    scores = direction.score(differences) if direction else np.full(len(records), np.nan)
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


def _hash_mirrored(records: Sequence[HashedRecord], is_pair: NDArray[np.bool_]) -> Iterator[str]:
    """The content hash of each row with its answers exchanged, or its own where that changes nothing.

    ``is_pair``: filled with which rows it changes, shape (rows,).
    """
    for i, (record, own) in enumerate(records):
        mirrored = reverse_pair(record)
        is_pair[i] = mirrored is not None
        yield own if mirrored is None else content_hash(mirrored)
