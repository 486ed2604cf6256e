"""The findings of a run: for each issue how many rows have it, and the first of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from monitor.lint.check import Hit
from monitor.lint.issue import Issue
from monitor.lint.leaked_secrets import mask_secrets
from monitor.lint.lint_row import Place

# So many rows are named for each issue; the counts are of all.
NAMED_ROWS = 10
# So many different details are counted one by one, such as keys or reasons; the rest together.
MAX_DETAILS = 20
# Characters shown before and behind the spot where an issue stands.
CHARACTERS_AROUND = 60


@dataclass(frozen=True)
class FoundRow:
    """A row that has an issue.

    ``file``: its position among the files, from 0. ``row``: its number there, from 1. ``other_file``, ``other_row``:
    where the row stands that it repeats or contradicts, if it does. ``text``: what is wrong in its surroundings, with
    secrets masked, where the user asked for texts.
    """

    file: int
    row: int
    other_file: int | None = None
    other_row: int | None = None
    text: str | None = None


@dataclass(frozen=True)
class Finding:
    """All rows with one issue.

    ``count``: how many. ``share``: of all rows of the files. ``rows``: the first NAMED_ROWS. ``details``: how many rows
    for each kind within the issue, most frequent first, such as the key that is not read.
    """

    issue: Issue
    count: int
    share: float
    rows: tuple[FoundRow, ...]
    details: dict[str, int]


@dataclass
class _Heap:
    count: int = 0
    last: Place | None = None
    rows: list[FoundRow] = field(default_factory=list)
    details: Counter[str] = field(default_factory=Counter)


class Tally:
    """Counts hits as they come; of each issue they come in the order of the rows."""

    def __init__(self, show_text: bool) -> None:
        self.show_text = show_text
        self.heaps: dict[Issue, _Heap] = {}

    def add(self, hit: Hit, place: Place, other: Place | None = None) -> None:
        """Count one hit. A row counts once for each issue, however often it has it."""
        heap = self.heaps.setdefault(hit.issue, _Heap())
        if hit.detail:
            known = hit.detail in heap.details or len(heap.details) < MAX_DETAILS
            heap.details[hit.detail if known else "others"] += 1
        if place == heap.last:
            return
        heap.count += 1
        heap.last = place
        if len(heap.rows) < NAMED_ROWS:
            text = cut_around(hit.text, hit.start) if self.show_text and hit.text else None
            other_file, other_row = other or (None, None)
            heap.rows.append(FoundRow(place.file, place.row, other_file, other_row, text))

    def findings(self, rows: int) -> tuple[Finding, ...]:
        """The findings, gravest first, then by their numbers. ``rows``: of all files, unreadable ones too."""
        found = [
            Finding(issue, heap.count, heap.count / rows, tuple(heap.rows), dict(heap.details.most_common()))
            for issue, heap in self.heaps.items()
        ]
        order = "EWN"
        return tuple(sorted(found, key=lambda finding: (order.index(finding.issue.code[0]), finding.issue.code)))


def cut_around(text: str, start: int) -> str:
    """Some characters before and behind a position of a text, with secrets masked.

    >>> cut_around("x" * 100 + "HERE" + "y" * 100, 100).strip("…").count("x")
    60
    """
    # Masked as a whole first: half a secret at the edge would not be known as one.
    masked = mask_secrets(text)
    first, last = max(0, start - CHARACTERS_AROUND), start + CHARACTERS_AROUND
    return ("…" if first else "") + masked[first:last] + ("…" if last < len(masked) else "")


def worst_severity(findings: Sequence[Finding]) -> str | None:
    """The gravest severity among findings; None where there are none."""
    return findings[0].issue.severity if findings else None
