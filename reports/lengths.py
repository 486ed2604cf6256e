"""Row lengths as a table shows them: for every bin the number of rows of each group, and their share of it."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.verdict import RowLengths

# What the groups of monitor.verdict.RowLengths are called.
GROUP_WORDS = {"all": "All rows", "kept": "Kept rows", "added": "Added rows"}


@dataclass(frozen=True)
class LengthBin:
    """Rows of ``low`` to ``high`` characters, both included.

    ``counts``: how many of each group. ``shares``: their share of the group, None for a group without rows.
    """

    low: int
    high: int
    counts: dict[str, int]
    shares: dict[str, float | None]


def list_bins(lengths: RowLengths) -> tuple[LengthBin, ...]:
    """The bins, from the shortest rows to the longest.

    >>> list_bins(RowLengths((8, 11, 16), {"kept": (1, 3), "added": (0, 0)}, {"kept": 12.0, "added": None}))[1]
    LengthBin(low=11, high=15, counts={'kept': 3, 'added': 0}, shares={'kept': 0.75, 'added': None})
    """
    totals = {group: sum(counts) for group, counts in lengths.counts.items()}
    bins = []
    for i, (low, end) in enumerate(zip(lengths.edges, lengths.edges[1:], strict=False)):
        counts = {group: numbers[i] for group, numbers in lengths.counts.items()}
        shares = {group: count / totals[group] if totals[group] else None for group, count in counts.items()}
        bins.append(LengthBin(low, end - 1, counts, shares))
    return tuple(bins)
