"""One dataset of a version against its parent: all that the rules look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import HashedRecord
from corpus.row_facts import sources_of
from monitor.calibration.own_additions import Additions, flag_known, measure_additions
from monitor.calibration.own_updates import OwnUpdates, measure_own_updates
from monitor.like_rows.like_comparison import LikeComparison, compare_like_with_like
from monitor.like_rows.rank_comparison import MIN_KEPT_ROWS
from monitor.like_rows.row_reading import RowReading
from monitor.measures.coverage import Coverage, measure_coverage
from monitor.measures.evidence import row_losses, second_row_losses
from monitor.measures.expected_size import join_messages
from monitor.measures.grades import GradeSummary
from monitor.measures.leak_counts import LeakCounts, count_leaks
from monitor.measures.loss_parts import LossParts, measure_loss_parts
from monitor.measures.repeated_rows import Repeats, count_repeated_answers, count_repeated_rows
from monitor.measures.row_edits import RowEdits, add_second_losses, find_edits
from monitor.measures.row_sources import count_sources
from monitor.measures.row_split import RowSplit
from monitor.rules.pairs import PairComparison, compare_pairs
from monitor.verdict import Measurements

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.calibration.params import CalibrationParams
    from monitor.history import DatasetReference
    from monitor.measures.compression import CompressionParams
    from monitor.measures.evidence import Evidence
    from monitor.rule_params import RuleParams


@dataclass(frozen=True)
class ComparedRows:
    """The rows of one dataset, and which of them the parent had. Enough to name the rows behind an alarm.

    ``reading``: what is known of single rows, whatever they are compared with; None until they are read.
    """

    evidence: Evidence
    split: RowSplit
    compression: CompressionParams
    reading: RowReading | None = None


@dataclass(frozen=True)
class ParentComparison:
    """One dataset of the version under test against its parent.

    - ``now``, ``before``: the measurements of the version and of its parent.
    - ``pairs``: None of conversations.
    - ``own_updates``: what benign updates do to this data itself; None where the calibration's updates tell.
    - ``edits``: rows that were edited, beside their past; None where the parent's history has no row table.
    - ``like``: the added rows beside kept rows like them; None where no row was added or too few were kept.
    - ``additions``: the size of the added rows beside that of kept rows; None where too few were kept.
      ``added_known``: how many added rows are of sources that the parent had. ``r_long_said``: long R without system
      messages, measured where ``additions`` is None. Both are None where nothing was measured.
    - ``repeated_rows``, ``repeated_answers``: how often texts stand in the version more than once.
    - ``leaks``: near copies of held-out rows and benchmarks; None where nothing was looked for.
    - ``sources_before``, ``sources_now``: rows by source, of the parent and of the version; None where that was not
      recorded. ``past_shifts``: how far the accepted versions before it moved, see ``monitor.measures.mixture``.
    - ``coverage``: which rows of the parent are still there.
    - ``grades_before``, ``grades_added``: of the parent's rows, and of the added ones; None where none of them has one.
    - ``loss_parts``: how much the added rows, and those of new sources and kinds, raise L.
    - ``batches``: in how many batches of equal size the added rows came: 1 against the parent, more against an anchor.
    """

    dataset: str
    now: Measurements
    before: Measurements
    pairs: PairComparison | None = None
    own_updates: OwnUpdates | None = None
    like: LikeComparison | None = None
    edits: RowEdits | None = None
    additions: Additions | None = None
    added_known: int | None = None
    r_long_said: float | None = None
    repeated_rows: Repeats | None = None
    repeated_answers: Repeats | None = None
    leaks: LeakCounts | None = None
    sources_before: Mapping[str, int] | None = None
    sources_now: Mapping[str, int] | None = None
    past_shifts: tuple[float, ...] = ()
    coverage: Coverage | None = None
    grades_before: GradeSummary | None = None
    grades_added: GradeSummary | None = None
    loss_parts: LossParts = field(default_factory=LossParts)
    batches: float = 1.0

    @property
    def share_added(self) -> float:
        return (self.now.added or 0) / self.now.rows

    @property
    def share_changed(self) -> float:
        """The share of added or of removed rows, whichever is larger, and at least that of one row."""
        return max(self.share_added, (self.now.removed or 0) / self.before.rows, 1 / self.now.rows)

    @property
    def change_log_r_long(self) -> float:
        return math.log(self.now.r_long / self.before.r_long)


def compare_with_parent(
    rows: ComparedRows,
    now: Measurements,
    before: Measurements,
    reference: DatasetReference,
    calibration: CalibrationParams,
    params: RuleParams,
) -> ParentComparison:
    """Gather everything that the rules look at. ``reference``: what the history keeps of the parent's rows."""
    item, split = rows.evidence, rows.split
    losses, second = row_losses(item), second_row_losses(item)
    of_new_source = ~flag_known(item.records, split, reference.sources)
    table = reference.table
    edits = None if table is None else find_edits(item.records, split, losses, of_new_source, table)
    if edits is not None and table is not None:
        edits = add_second_losses(edits, item.records, table, item.second, reference.second)
    compared = split if edits is None else let_edits_stand_in(split, edits)
    like = compare_like_with_like(
        item.records, compared, of_new_source, losses, calibration, params.rare_character_bits, rows.reading, second
    )
    if like is not None and edits is not None:
        is_edited = np.zeros(len(item.records), dtype=bool)
        is_edited[edits.rows] = True
        like = replace(like, is_edited=is_edited[like.rows])
    is_new = find_new_rows(item.records, of_new_source, like)
    known = ~(of_new_source & is_new)
    additions = measure_additions(item.records, split, known, rows.compression, calibration)
    comparison = ParentComparison(
        item.dataset,
        now,
        before,
        like=like,
        edits=edits,
        additions=additions,
        added_known=int(np.count_nonzero(split.is_added & known)),
        r_long_said=_measure_said(rows) if additions is None else None,
        repeated_rows=count_repeated_rows(item.records, split),
        repeated_answers=count_repeated_answers(item.records, split, known),
        leaks=None if item.leaks is None else count_leaks(item.records, split, item.leaks),
        sources_before=reference.sources,
        sources_now=count_sources(sources_of(item.records)),
        coverage=measure_coverage(item.records, split, before.rows, now.removed or 0, reference.sources, table),
        grades_before=reference.grades,
        grades_added=item.grades.among(split.is_added) if item.grades else None,
        loss_parts=measure_loss_parts(item, split.is_added, is_new),
    )
    if item.agreement.ndim == 1:
        return comparison
    # Rows of preferences are shorter than conversations: R moves more under benign updates of them.
    stayed = np.flatnonzero(split.kept_once) if split.kept_once.any() else np.arange(len(item.records))
    return replace(
        comparison,
        pairs=compare_pairs(item.records, item.agreement, reference.sketch, reference.pairs, split),
        own_updates=measure_own_updates(item.records, rows.compression, calibration, stayed),
    )


def let_edits_stand_in(split: RowSplit, edits: RowEdits) -> RowSplit:
    """Where every row was edited, such as by a system prompt on all of them, the edited rows take the place of kept
    ones, so that rows that are really new have something to be compared with. What the edits did, `edits` judges.
    """
    if np.count_nonzero(split.kept_once) >= MIN_KEPT_ROWS:
        return split
    is_edited = np.zeros(len(split.is_kept), dtype=bool)
    is_edited[edits.rows] = True
    return replace(split, is_kept=split.is_kept | is_edited, is_added=split.is_added & ~is_edited)


def find_new_rows(
    records: Sequence[HashedRecord], of_new_source: NDArray[np.bool_], like: LikeComparison | None
) -> NDArray[np.bool_]:
    """Which rows are new, shape (records,): of a new kind, or of a new source that is one.

    A row that was not read goes with the rows of its source. Where no rows could be compared, the source decides.
    """
    if like is None:
        return of_new_source
    new_sources = {records[i].record.source for i in like.rows[like.is_new_source & like.is_new].tolist()}
    is_new: NDArray[np.bool_] = of_new_source & np.array(
        [source in new_sources for source in sources_of(records)], dtype=bool
    )
    is_new[like.rows[like.is_new]] = True
    return is_new


def _measure_said(rows: ComparedRows) -> float:
    return rows.compression.long_codec().ratio(join_messages(record) for record, _ in rows.evidence.records)
