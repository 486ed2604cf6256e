"""The features of a version's rows against the kept rows: which rows are read, and in which folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import HashedRecord, Record, canonical_text
from monitor.calibration.params import CalibrationParams
from monitor.calibration.topics import ROWS_PER_TOPIC, cluster_vectors
from monitor.measures.row_split import RowSplit
from monitor.like_rows.answer_fit import embed_sides
from monitor.like_rows.row_features import measure_row_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Of the kept and of the added rows each: enough to tell, in three seconds on one core for any amount of data.
MAX_CHARACTERS = 4_000_000
# Fewer kept rows do not show what is normal.
MIN_KEPT_ROWS = 10
# A longer row is left out, so that the fewest kept rows that are needed always fit.
MAX_ROW_CHARACTERS = MAX_CHARACTERS // MIN_KEPT_ROWS
# The topics are dealt to so many folds. A kept row is read without all topics of its fold.
FOLDS = 4


@dataclass(frozen=True)
class VersionFeatures:
    """The features of a version's rows; all arrays have the shape (rows,).

    ``features``: by name, nan where a row has none or was not read. ``topic``: of the kept rows that were read, −1 for
    all others. ``is_added``: added rows that were read. ``is_copy``: rows that repeat an earlier one.
    """

    features: dict[str, NDArray[np.float64]]
    topic: NDArray[np.int64]
    is_added: NDArray[np.bool_]
    is_copy: NDArray[np.bool_]


def measure_version_features(
    records: Sequence[HashedRecord], split: RowSplit, topics: CalibrationParams, rare_bits: float
) -> VersionFeatures | None:
    """The features of a version's rows, each compared with the kept rows.

    ``topics``: into how many topics the kept rows are divided, and by which seed. ``rare_bits``: see
    ``measure_row_features``. None where no row was added or fewer than MIN_KEPT_ROWS were kept. Of much data, rows are
    read in the order of their content hashes, up to MAX_CHARACTERS of kept and of added rows each.
    """
    rows = [record for record, _ in records]
    hashes = [row_hash for _, row_hash in records]
    kept, added = (_take_rows(rows, hashes, flags) for flags in (split.kept_once, split.is_added))
    if len(kept) < MIN_KEPT_ROWS or not len(added):
        return None
    indices = np.concatenate([kept, added])
    taken = [rows[i] for i in indices]
    sides = embed_sides(taken)
    vectors = (sides.prompt_vectors + sides.response_vectors)[: len(kept)]
    topic = np.full(len(indices), -1)
    labels = cluster_vectors(vectors, max(1, min(topics.topics, len(kept) // ROWS_PER_TOPIC)), topics.seed)
    # A cluster may have lost all its rows: number the others without a gap.
    topic[: len(kept)] = np.unique(labels, return_inverse=True)[1]
    order = np.arange(len(indices))
    is_reference = order < len(kept)
    # Where all kept rows are of one topic, each is read without a part of it.
    fold = (topic if topic.max() > 0 else order) % FOLDS
    found = measure_row_features(taken, sides, is_reference, np.where(is_reference, fold, -1), rare_bits)

    def spread(values: NDArray, nothing: float) -> NDArray:  # type: ignore[type-arg]
        whole = np.full(len(records), nothing, dtype=values.dtype)
        whole[indices] = values
        return whole

    return VersionFeatures(
        {name: spread(values, np.nan) for name, values in found.items()},
        spread(topic, -1),
        spread(~is_reference, False),
        ~split.is_first,
    )


def _take_rows(rows: Sequence[Record], hashes: Sequence[str], flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Indices of the flagged rows that are read, in the order of their hashes: the file's order does not matter.

    Rows longer than MAX_ROW_CHARACTERS are left out; where all are longer, the first is taken. The others are taken up
    to MAX_CHARACTERS.
    """
    order = sorted(np.flatnonzero(flags).tolist(), key=lambda i: hashes[i])
    size = np.array([len(canonical_text(rows[i])) for i in order], dtype=np.int64)
    fits = size <= MAX_ROW_CHARACTERS
    if not fits.any():
        return np.array(order[:1], dtype=np.int64)
    within = np.cumsum(np.where(fits, size, 0)) <= MAX_CHARACTERS
    return np.array(order, dtype=np.int64)[fits & within]
