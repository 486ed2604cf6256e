"""Whether the added rows of a version repeat something, and how far honest batches of its own kept rows seem to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import HashedRecord
from corpus.row_facts import hashes_of, sources_of
from monitor.calibration.benign_updates import draw_updates
from monitor.calibration.params import CalibrationParams
from monitor.calibration.topics import ROWS_PER_TOPIC, cluster_topics
from monitor.measures.compression import CompressionParams
from monitor.measures.expected_size import (
    MAX_ADDED_BYTES,
    MAX_KEPT_BYTES,
    SampledTexts,
    SizeComparison,
    SourcedText,
    compare_sizes,
    read_texts,
)
from monitor.measures.row_sources import flag_new_sources

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.measures.row_split import RowSplit

# Fewer kept rows cannot be divided into topics and batches.
MIN_KEPT_ROWS = 100
# A source with a new name of which so much was kept is an old one. A row that two sources share does not make it so.
RENAMED_SHARE = 0.1
# Of more kept rows so many are tried, and of long ones so many bytes: twelve batches of them take a second.
MAX_TRIED_ROWS = 1_500
# So that twelve batches of long rows take no longer than those of short ones.
MAX_TRIED_BYTES = 1_500_000


@dataclass(frozen=True)
class Additions:
    """Added rows of known sources beside kept ones.

    ``found``: the comparison of their sizes. ``usual``: the same of batches of kept rows that were held back, half of
    them drawn at random, half from one topic. ``left_out``: added rows whose source the parent did not have.
    """

    found: SizeComparison
    usual: tuple[SizeComparison, ...]
    left_out: int


def flag_known(records: Sequence[HashedRecord], split: RowSplit, parent: Mapping[str, int] | None) -> NDArray[np.bool_]:
    """For each row, whether there is a reference for it: its source was known, or only renamed; shape (records,).

    ``parent``: the parent's rows by source.
    """
    is_new = flag_new_sources(records, parent)
    sources = sources_of(records)
    rows = Counter(sources)
    kept = Counter(source for source, flag in zip(sources, split.is_kept, strict=True) if flag)
    renamed = {source for source, count in kept.items() if count >= RENAMED_SHARE * rows[source]}
    known: NDArray[np.bool_] = ~is_new | np.array([source in renamed for source in sources], dtype=bool)
    return known


def measure_additions(
    records: Sequence[HashedRecord],
    split: RowSplit,
    known: NDArray[np.bool_],
    compression: CompressionParams,
    params: CalibrationParams,
) -> Additions | None:
    """Compare the added rows of known sources with the kept ones. None with fewer than MIN_KEPT_ROWS of these, or none.

    ``known``: rows that there is a reference for, shape (records,). The order of the records does not matter.
    """
    is_kept, is_added = split.kept_once & known, split.is_added & known
    if np.count_nonzero(is_kept) < MIN_KEPT_ROWS:
        return None
    added = read_texts(records, is_added, MAX_ADDED_BYTES)
    if not any(row.text for row in added.rows):
        return None
    kept = read_texts(records, is_kept, MAX_KEPT_BYTES)
    # Rows that may be kept or added are known before either. There must be room for all in the long window.
    is_unknown = ~split.is_kept & ~split.is_added & split.is_first & known
    unknown = read_texts(records, is_unknown, MAX_KEPT_BYTES - kept.bytes)
    found = compare_sizes(kept, added, compression, unknown)
    left_out = int(np.count_nonzero(split.is_added & ~known))
    return Additions(found, measure_usual(records, is_kept, compression, params), left_out)


def measure_usual(
    records: Sequence[HashedRecord],
    is_kept: NDArray[np.bool_],
    compression: CompressionParams,
    params: CalibrationParams,
) -> tuple[SizeComparison, ...]:
    """Hold batches of the kept rows back, and compare each with the others. Same rows in any order, same numbers.

    ``is_kept``: shape (records,), without copies. All draws follow from ``params.seed``.
    """
    order = hashes_of(records).order()
    rows = [records[i] for i in order[is_kept[order]][:MAX_TRIED_ROWS].tolist()]
    texts = [SourcedText.of(row) for row in rows]
    rows = rows[: max(MIN_KEPT_ROWS, int(np.searchsorted(np.cumsum([len(t.text) for t in texts]), MAX_TRIED_BYTES)))]
    topics = cluster_topics(
        [record for record, _ in rows], min(params.topics, len(rows) // ROWS_PER_TOPIC), params.seed
    )

    def take(indices: NDArray[np.int64]) -> SampledTexts:
        return SampledTexts.whole([texts[i] for i in sorted(indices.tolist())])

    draws = draw_updates(topics, params.update_shares, params.updates, np.random.default_rng(params.seed))
    # The new rows of a draw come last.
    return tuple(compare_sizes(take(draw.before), take(draw.after[-draw.size :]), compression) for draw in draws)
