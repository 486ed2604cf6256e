"""The rows that are left out: which, why, and when they are too many for the file to be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from corpus.errors import BadRow, DataError

# Left out on purpose, so such rows do not count as unusable.
HELD_OUT: Literal["held out"] = "held out"
# So many are listed of each reason, so that a report stays readable and small enough for Git. Counts are always exact.
LISTED = 1000
# So many rows of each reason a message names: enough to find the fault, few enough for one line.
NAMED = 5


@dataclass(frozen=True)
class DroppedRow:
    """A row that was left out: its number in the input file, from 1, and why; ``detail`` where there is more to say."""

    row: int
    reason: str
    detail: str = ""


@dataclass
class DroppedRows:
    """The rows of a file that are left out, counted by reason; the first of each reason are listed."""

    counts: Counter[str] = field(default_factory=Counter)
    listed: list[DroppedRow] = field(default_factory=list)

    def add(self, row: int, reason: str, detail: str = "") -> None:
        self.counts[reason] += 1
        if self.counts[reason] <= LISTED:
            self.listed.append(DroppedRow(row, reason, detail))

    def add_all(self, later: DroppedRows) -> None:
        """Add rows that stand after these in the file, as if each had been added here."""
        room = {reason: LISTED - self.counts[reason] for reason in later.counts}
        for row in later.listed:
            if room[row.reason] > 0:
                self.listed.append(row)
            room[row.reason] -= 1
        self.counts.update(later.counts)

    def add_bad_row(self, row: BadRow) -> None:
        self.add(row.number, row.reason, row.detail)

    def sorted_counts(self) -> dict[str, int]:
        return dict(sorted(self.counts.items()))

    def in_order(self) -> tuple[DroppedRow, ...]:
        """The listed rows in the order of the file: some are found when their neighbours are read ahead."""
        return tuple(sorted(self.listed, key=lambda row: row.row))


def require_usable(
    source: str | Path,
    rows_read: int,
    dropped_counts: Mapping[str, int],
    dropped: Sequence[DroppedRow],
    max_dropped_share: float,
) -> None:
    """Raise DataError when too many rows had to be left out, or all of them. ``dropped`` has the first of each reason.

    Held-out rows are left out on purpose and do not count towards ``max_dropped_share``.
    """
    unusable = sum(count for reason, count in dropped_counts.items() if reason != HELD_OUT)
    if unusable > max_dropped_share * rows_read:
        reasons = "; ".join(
            _explain(reason, count, dropped) for reason, count in dropped_counts.items() if reason != HELD_OUT
        )
        raise DataError(
            source,
            f"{unusable} of {rows_read} rows are unusable, above max_dropped_share {max_dropped_share:g}: {reasons}",
        )
    if rows_read == sum(dropped_counts.values()):
        reasons = "; ".join(_explain(reason, count, dropped) for reason, count in dropped_counts.items())
        raise DataError(source, f"no row is left of {rows_read}: {reasons}")


def _explain(reason: str, count: int, dropped: Sequence[DroppedRow]) -> str:
    """How many rows were left out for a reason, the first of them, and what is wrong with the first."""
    rows = [row for row in dropped if row.reason == reason]
    named = ", ".join(str(row.row) for row in rows[:NAMED]) + (", …" if count > min(len(rows), NAMED) else "")
    detail = next((row.detail for row in rows if row.detail), "")
    where = f"row{'s' if count > 1 else ''} {named}" + (f"; {detail}" if detail else "")
    return f"{count} {reason} ({where})"
