"""A dataset as a report shows it: its measures beside the parent's, and what changed in its rows."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.verdict import PREFERENCES, DatasetChanges, Measurements, NormalRange, Verdict
from reports.lengths import LengthBin, list_bins
from reports.numbers import finite
from reports.words import Measure, list_measures
from training.unread_rows import UnreadRows


@dataclass(frozen=True)
class Change:
    """A measure of this version beside its parent's; None where it was not measured or there is no parent.

    ``normal``: the range in which benign updates leave the measure, None where it is not known. ``note``: what a reader
    must know to judge the number, empty where there is nothing.
    """

    measure: Measure
    value: float | None
    parent: float | None
    change: float | None
    normal: NormalRange | None
    note: str = ""


@dataclass(frozen=True)
class DatasetView:
    """One dataset of the version under test.

    ``parent``: the parent's measurements, None without a parent. ``rows``: sources and lengths of the rows, None in
    verdicts made before these were measured. ``lengths``: the bins of the rows' lengths, empty where ``rows`` is None.
    """

    name: str
    measurements: Measurements
    parent: Measurements | None
    changes: tuple[Change, ...]
    rows: DatasetChanges | None
    lengths: tuple[LengthBin, ...]


def view_dataset(dataset: str, verdict: Verdict) -> DatasetView:
    """The view of one dataset that the verdict has measurements of."""
    here = verdict.measurements[dataset]
    parent = verdict.parent_measurements.get(dataset)
    rows = verdict.changes.get(dataset)
    changes = []
    for measure in list_measures(dataset == PREFERENCES):
        value = finite(getattr(here, measure.key))
        before = finite(getattr(parent, measure.key)) if parent else None
        change = value - before if value is not None and before is not None else None
        note = describe_reading(here.read_share, here.unread) if measure.key == "l" and value is not None else ""
        changes.append(Change(measure, value, before, change, rows.normal.get(measure.key) if rows else None, note))
    return DatasetView(dataset, here, parent, tuple(changes), rows, list_bins(rows.lengths) if rows else ())


def describe_reading(read_share: float | None, unread: UnreadRows | None = None) -> str:
    """How much of the probed rows L was read from, and of how many rows something was not; empty where not recorded.

    >>> describe_reading(0.2531, UnreadRows(rows=600, truncated=480))
    '25% of the response tokens read; of 600 rows 480 cut at max_length'
    """
    share = "" if read_share is None else f"{read_share:.0%} of the response tokens read"
    return "; ".join(filter(None, (share, unread.describe() if unread else "")))
