"""One dataset of a version against the anchor, the last version that a person confirmed: what has added up since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from corpus.row_facts import hashes_of
from monitor.history import HistoryEntry, accepted_since, anchor_of
from monitor.measures.row_split import split_rows
from monitor.rules.parent_comparison import ComparedRows, ParentComparison, compare_with_parent

if TYPE_CHECKING:
    from monitor.calibration.params import CalibrationParams
    from monitor.rule_params import RuleParams
    from monitor.verdict import Measurements


@dataclass(frozen=True)
class Anchor:
    """The version that small steps are measured from, and those accepted ``since``, at least one, earliest first: the
    parent and the versions that it follows. Those of a branch that was merged count once a version follows both.
    """

    entry: HistoryEntry
    since: tuple[HistoryEntry, ...]


@dataclass(frozen=True)
class AnchorComparison:
    """One dataset of the version under test against the anchor called ``name``.

    - ``versions``: how many versions were accepted since the anchor, the one under test not among them.
    - ``rows``: the dataset's rows, split by what the anchor had. ``comparison``: what the rules look at; its parent is
      the anchor.
    """

    name: str
    versions: int
    rows: ComparedRows
    comparison: ParentComparison


def find_anchor(history: Sequence[HistoryEntry], parent: HistoryEntry, data_hash: str) -> Anchor | str:
    """The anchor of the version with this ``data_hash``; where there is nothing to compare, why, in a sentence."""
    anchor = anchor_of(history, parent.config_fingerprint, data_hash, parent)
    if anchor is None:
        return "No comparable version is a baseline or was confirmed with `entropylaw accept --anchor`."
    since = accepted_since(anchor, history, data_hash, parent)
    if not since:
        return f"The parent {anchor.name} is the anchor itself: no version was accepted in between."
    return Anchor(anchor, since)


def compare_with_anchor(
    rows: ComparedRows, now: Measurements, anchor: Anchor | str, calibration: CalibrationParams, params: RuleParams
) -> AnchorComparison | str:
    """Compare one dataset with the anchor's of the same name; where it cannot be done, a sentence that says why.

    ``rows``, ``now``: as compared with the parent. Only which rows count as added is different here.
    """
    if isinstance(anchor, str):
        return anchor
    item, name = rows.evidence, anchor.entry.name
    reference = anchor.entry.datasets.get(item.dataset)
    before = anchor.entry.measurements.get(item.dataset)
    if reference is None or before is None:
        return f"The anchor {name} has no dataset {item.dataset!r}."
    hashes = hashes_of(item.records)
    split = split_rows(hashes, reference.sketch)
    if not (split.is_kept | split.is_added).any():
        return f"Of none of the rows is it known whether the anchor {name} had them."
    difference = reference.sketch.difference(hashes)
    counted = replace(now, added=difference.added, removed=difference.removed, kept=difference.kept, added_r_long=None)
    since = replace(rows, split=split)
    comparison = compare_with_parent(since, counted, before, reference, calibration, params)
    past = [entry.measurements.get(item.dataset) for entry in anchor.since]
    batches = count_batches([now.added or 0, *((measured.added or 0) for measured in past if measured)])
    return AnchorComparison(name, len(anchor.since), since, replace(comparison, batches=batches))


def count_batches(added: Sequence[int]) -> float:
    """How many batches of equal size vary as much as batches of these sizes, at least 1 (Kish's effective number).

    >>> count_batches([60, 60, 60]), count_batches([1000, 1])
    (3.0, 1.001999998000002)
    """
    squares = sum(rows * rows for rows in added)
    return sum(added) ** 2 / squares if squares else 1.0
