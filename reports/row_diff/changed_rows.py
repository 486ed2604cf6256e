"""What a diff of two versions shows, decided once: the versions, the counts, and the rows one by one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.row_diff import CHANGE_KINDS, ChangeKind
from reports.row_diff.marked_words import MarkedText

# Said wherever rows are listed.
NUMBERED_FROM = "Rows are numbered from 1 in the file of their version."

# What an edit changed, by `monitor.measures.row_edits`.
EDIT_WORDS = {
    "form": "only case, spacing or punctuation edited",
    "answer": "answer edited",
    "prompt": "prompt edited",
    "exchanged": "prompt and answer exchanged",
}
KIND_WORDS: dict[ChangeKind, str] = {
    "added": "rows that A does not have",
    "removed": "rows that B does not have",
    "edited": "rows with another text than in A",
    "moved": "rows that stand elsewhere among those that both have",
    "copied": "added rows that say again what another row of B says",
}


@dataclass(frozen=True)
class SideView:
    """One of the two versions. ``rows``: all of them, usable or not. ``left_out``: how many of those that were read are
    not usable, by reason.
    """

    name: str
    commit: str | None
    rows: int
    left_out: dict[str, int]


@dataclass(frozen=True)
class KindCount:
    """Of one kind of change: how many rows in ``all``, and how many the filters leave (``chosen``)."""

    all: int
    chosen: int


@dataclass(frozen=True)
class DiffView:
    """The result without its rows.

    ``kept``: rows that both versions have. ``edits``: edited rows by what was changed. ``sources``: changed rows by
    source and kind, the source with most first; a moved row counts in none. ``filters``: in words; empty without any.
    """

    a: SideView
    b: SideView
    kept: int
    kinds: dict[ChangeKind, KindCount]
    edits: dict[str, int]
    sources: dict[str, dict[ChangeKind, int]]
    filters: tuple[str, ...]


@dataclass(frozen=True)
class RowPlace:
    """A row in one of the versions. ``file``: its own, and ``file_row``, where the version has several; else None.

    ``text``: canonical; None where texts are not to be shown.
    """

    row: int
    source: str
    hash: str
    characters: int
    file: str | None = None
    file_row: int | None = None
    text: str | None = None

    @property
    def name(self) -> str:
        """What a person finds it by."""
        return str(self.row) if self.file is None else f"{self.file}:{self.file_row}"


@dataclass(frozen=True)
class ChangedRow:
    """A row that changed. ``a``, ``b``: where it stands in each version, None in one that does not have it.

    ``changed``: of an edited row, what the edit changed. ``twin``: of a copy, the number of the row in B that it says
    again, and ``twin_in_a`` its number in A, None where A does not have it either. ``rules``: those of the verdict that
    flagged it. ``words``: of an edited row whose text is shown, what became of each word.
    """

    kind: ChangeKind
    a: RowPlace | None
    b: RowPlace | None
    changed: str | None = None
    twin: int | None = None
    twin_in_a: int | None = None
    like: int | None = None
    like_share: float | None = None
    rules: tuple[str, ...] = ()
    words: tuple[MarkedText, ...] = ()

    @property
    def place(self) -> RowPlace:
        """Where it stands, in B if it is there."""
        place = self.b or self.a
        assert place is not None
        return place

    def describe(self, view: DiffView) -> str:
        """What happened to it, in words, without its text."""
        if self.like is None:
            return self._tell_change(view)
        return (
            f"{self._tell_change(view)}; {self.like_share:.0%} of its runs of three words stand in row {self.like} of B"
        )

    def _tell_change(self, view: DiffView) -> str:
        here = self.place
        if self.a is not None and self.b is not None and self.kind == "edited":
            what = EDIT_WORDS.get(self.changed or "", self.changed or "")
            return f"{what}; {self.a.characters:,} → {self.b.characters:,} characters"
        if self.kind == "copied":
            past = f", row {self.twin_in_a} of A ({_name_side(view.a)})" if self.twin_in_a else ", not in A"
            return f"says again row {self.twin} of B{past}; {here.characters:,} characters"
        return f"{here.characters:,} characters"

    def numbers(self) -> str:
        """Its row numbers, with the version of each."""
        places = [("A", self.a), ("B", self.b)]
        return " → ".join(f"{side} {place.name}" for side, place in places if place is not None)


def _name_side(side: SideView) -> str:
    return f"{side.name} at {side.commit[:7]}" if side.commit else side.name


def group_kinds(rows: Iterable[ChangedRow]) -> dict[ChangeKind, list[ChangedRow]]:
    """The rows by kind, in the order in which kinds are shown."""
    groups: dict[ChangeKind, list[ChangedRow]] = {kind: [] for kind in CHANGE_KINDS}
    for row in rows:
        groups[row.kind].append(row)
    return groups
