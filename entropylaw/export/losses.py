"""What a trainer's format has no place for, counted row by row, so that nothing is lost in silence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from corpus.errors import EntropylawError


@dataclass
class Counted:
    """How many rows something is true of, and the first and the last of them by their numbers in the data file."""

    rows: int = 0
    first: int = 0
    last: int | None = None


@dataclass
class Losses:
    """What is lost on the way to a trainer.

    ``altered``: rows written without a part of them. ``left_out``: rows that the trainer could not read as they are
    meant. ``noted``: rows of which a part is written in another place, so that nothing is lost.
    """

    altered: dict[str, Counted] = field(default_factory=dict)
    left_out: dict[str, Counted] = field(default_factory=dict)
    noted: dict[str, Counted] = field(default_factory=dict)

    def alter(self, what: str, row: int) -> None:
        _count(self.altered, what, row)

    def leave_out(self, why: str, row: int) -> None:
        _count(self.left_out, why, row)

    def note(self, what: str, row: int) -> None:
        _count(self.noted, what, row)

    def describe(self) -> list[str]:
        """
        >>> losses = Losses()
        >>> losses.alter("tools", 7)
        >>> losses.describe()
        ['written without tools: 1 row (row 7)']
        """
        return [
            *_describe("written without ", self.altered),
            *_describe("left out, ", self.left_out),
            *_describe("", self.noted),
        ]

    def require_none(self, trainer: str) -> None:
        """Raise EntropylawError, saying how many rows would lose what, unless all can be written as they are."""
        if not self.altered and not self.left_out:
            return
        lost = "; ".join((*_describe("without ", self.altered), *_describe("left out, ", self.left_out)))
        raise EntropylawError(
            f"nothing was written: {trainer} would train otherwise than the data says ({lost}); --allow-loss writes "
            "what can be written"
        )


def _count(counts: dict[str, Counted], what: str, row: int) -> None:
    counted = counts.setdefault(what, Counted(first=row))
    if counted.last != row:  # several messages of one row are one row
        counted.rows += 1
        counted.last = row


def _describe(before: str, counts: dict[str, Counted]) -> Iterator[str]:
    for what, counted in counts.items():
        rows = "1 row (row" if counted.rows == 1 else f"{counted.rows:,} rows (first: row"
        yield f"{before}{what}: {rows} {counted.first})"
