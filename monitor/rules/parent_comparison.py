"""One dataset of a version against its parent: all that the rules look at."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from monitor.calibration.own_updates import OwnUpdates, measure_own_updates
from monitor.measures.evidence import first_copies, locate_probe_rows
from monitor.measures.row_edits import RowEdits, find_edits
from monitor.measures.row_sources import flag_new_sources
from monitor.measures.row_split import RowSplit
from monitor.outliers.version_features import VersionFeatures, measure_version_features
from monitor.rules.pairs import PairComparison, compare_pairs
from monitor.verdict import Measurements

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.calibration.params import CalibrationParams
    from monitor.history import DatasetReference
    from monitor.measures.compression import CompressionParams
    from monitor.measures.evidence import Evidence
    from monitor.rule_params import RuleParams

# With fewer kept rows in this version, the parent's own rows, recorded in the history, take their place.
MIN_OWN_KEPT_ROWS = 30
# A parent's mean agreement over fewer rows is no reference.
MIN_REFERENCE_ROWS = 10


@dataclass(frozen=True)
class ComparedRows:
    """The rows of one dataset, and which of them the parent had. Enough to name the rows behind an alarm."""

    evidence: Evidence
    split: RowSplit
    compression: CompressionParams


@dataclass(frozen=True)
class ParentComparison:
    """One dataset of the version under test against its parent.

    - ``now``, ``before``: the measurements of the version and of its parent.
    - ``loss_kept``, ``loss_added``: probe losses of kept and of added rows, in nats per token, shapes (k,), (a,); of
      preferences, the losses of the chosen answers.
    - ``agreement_kept``, ``agreement_added``: prompt-response cosines of kept and of added rows, nan where a row has
      none.
    - ``probed``: how many probed rows are known to be kept or added; ``probed_added``: how many of them are added.
      Both count copies. The four arrays leave copies out.
    - ``pairs``: None of conversations.
    - ``own_updates``: what benign updates do to this data itself; None where the calibration's updates tell.
    - ``edits``: rows that were edited, beside their past; None where the parent's history has no row table.
    - ``features``: of single rows; None where no row was added or too few were kept.
    """

    dataset: str
    now: Measurements
    before: Measurements
    loss_kept: NDArray[np.float64]
    loss_added: NDArray[np.float64]
    agreement_kept: NDArray[np.float64]
    agreement_added: NDArray[np.float64]
    probed: int
    probed_added: int
    pairs: PairComparison | None = None
    own_updates: OwnUpdates | None = None
    features: VersionFeatures | None = None
    edits: RowEdits | None = None

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
    probed = locate_probe_rows(item)
    # Copies of one row say the same thing twice: they are no more evidence than the row itself.
    first_probed = first_copies(item.probe_hashes)
    loss_kept = item.probe_losses[split.is_kept[probed] & first_probed]
    comparison = ParentComparison(
        item.dataset,
        now,
        before,
        loss_kept=loss_kept if len(loss_kept) >= MIN_OWN_KEPT_ROWS else np.array(reference.probe_losses),
        loss_added=item.probe_losses[split.is_added[probed] & first_probed],
        probed=int(np.count_nonzero((split.is_kept | split.is_added)[probed])),
        probed_added=int(np.count_nonzero(split.is_added[probed])),
        agreement_kept=_find_kept_agreement(item, split, reference),
        agreement_added=item.row_agreement[split.added_once],
        features=measure_version_features(item.records, split, calibration, params.rare_character_bits),
        edits=_find_edits(item, split, reference),
    )
    if item.agreement.ndim == 1:
        return comparison
    # Rows of preferences are shorter than conversations: R moves more under benign updates of them.
    stayed = [row for row, flag in zip(item.records, split.kept_once, strict=True) if flag]
    return replace(
        comparison,
        pairs=compare_pairs(item.records, item.agreement, reference.sketch, reference.pairs, split),
        own_updates=measure_own_updates(stayed or item.records, rows.compression, calibration),
    )


def _find_edits(item: Evidence, split: RowSplit, reference: DatasetReference) -> RowEdits | None:
    if reference.table is None:
        return None
    losses = np.full(len(item.records), np.nan)
    losses[locate_probe_rows(item)] = item.probe_losses
    return find_edits(item.records, split, losses, flag_new_sources(item.records, reference.sources), reference.table)


def _find_kept_agreement(item: Evidence, split: RowSplit, reference: DatasetReference) -> NDArray[np.float64]:
    kept = item.row_agreement[split.kept_once]
    if np.count_nonzero(~np.isnan(kept)) >= MIN_OWN_KEPT_ROWS or reference.agreement_n < MIN_REFERENCE_ROWS:
        return kept
    # Only mean and deviation of the parent's rows are recorded: as many values that have exactly these.
    signs = np.resize([1.0, -1.0], reference.agreement_n)
    standard = (signs - signs.mean()) / signs.std(ddof=1)
    agreement: NDArray[np.float64] = reference.agreement_mean + reference.agreement_sd * standard
    return agreement
