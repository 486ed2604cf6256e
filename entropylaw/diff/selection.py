"""Which of the changed rows are shown, and each of them as a report shows it, read when it is asked for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from corpus.files import NumberedFile, dataset_root, find_row, is_hub_name, number_files
from corpus.progress import Progress
from corpus.records import HashedRecord, canonical_text
from corpus.row_facts import count_characters, hashes_of, numbers_of
from corpus.stored_rows import StoredRows
from entropylaw.diff.near_twins import NearTwin, find_near_twins
from entropylaw.diff.versions import DiffedVersion, VersionPair
from monitor.row_diff import CHANGE_KINDS, ChangeKind, RowChanges
from reports.row_diff.changed_rows import ChangedRow, DiffView, KindCount, RowPlace, SideView
from reports.row_diff.marked_words import mark_words

if TYPE_CHECKING:
    from numpy.typing import NDArray


# The rule that flags rows for being like others.
COPIES = "copies"


@dataclass(frozen=True)
class Filters:
    """Only rows of these ``sources``, flagged by these ``rules``, changed in these ways; of an empty one, all."""

    sources: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    kinds: tuple[ChangeKind, ...] = ()

    def asks_for(self, rules: Iterable[str]) -> bool:
        """Whether a row that these rules flag is one of those asked for."""
        return "all" in self.rules or not set(self.rules).isdisjoint(rules)

    def describe(self) -> tuple[str, ...]:
        """A phrase for each filter that is set.

        >>> Filters(sources=("mail", "")).describe()
        ('only source mail or (none)',)
        """
        kinds, rules = ", ".join(self.kinds), "any rule" if "all" in self.rules else " or ".join(self.rules)
        sources = " or ".join(name or "(none)" for name in self.sources)
        phrases = (
            (kinds, f"only {kinds} rows"),
            (sources, f"only source {sources}"),
            (rules, f"only rows that {rules} flags"),
        )
        return tuple(phrase for is_set, phrase in phrases if is_set)


@dataclass(frozen=True)
class _Changes:
    """The changes of one kind: the rows in A and in B at these indices, None of a version that does not have them."""

    a: StoredRows | None
    in_a: NDArray[np.int64]
    b: StoredRows | None
    in_b: NDArray[np.int64]

    def count_sources(self) -> Counter[str]:
        """How many there are by source, by that in B where they are in both."""
        rows, some = (self.a, self.in_a) if self.b is None else (self.b, self.in_b)
        assert rows is not None
        counts = np.bincount(rows.facts.source[some], minlength=len(rows.facts.sources)).tolist()
        return Counter({name: count for name, count in zip(rows.facts.sources, counts, strict=True) if count})


class ChangeSelection:
    """The changed rows that the filters leave.

    ``flagged``: rules of the verdict by the content hash of a row. ``limit``: rows of each kind; None: all.
    """

    def __init__(
        self,
        pair: VersionPair,
        changes: RowChanges,
        filters: Filters,
        flagged: Mapping[str, tuple[str, ...]],
        with_text: bool,
        limit: int | None,
    ) -> None:
        self.pair, self.changes, self.filters = pair, changes, filters
        self.flagged, self.with_text, self.limit = flagged, with_text, limit
        self._near: dict[int, NearTwin] = {}
        self._files = {id(version): _number_parts(version) for version in (pair.a, pair.b)}

    def find_near_twins(self, progress: Progress) -> None:
        """Look for the rows that those flagged by the rule `copies` are most like; an exact copy has its twin."""
        if not any(COPIES in rules for rules in self.flagged.values()):
            return
        rows, hashes = self.pair.b.parsed.rows, hashes_of(self.pair.b.parsed.rows)
        changed = np.union1d(self.changes.added, self.changes.edited).tolist()
        flagged = [rows[i] for i in changed if COPIES in self.flagged.get(hashes[i], ())]
        self._near = find_near_twins(self.pair.b, {row.record.row: row for row in flagged}, progress)

    def view(self) -> DiffView:
        """The result without its rows."""
        changes = self.changes
        totals: dict[ChangeKind, int] = {
            "added": len(changes.added),
            "removed": len(changes.removed),
            "edited": len(changes.edited),
            "moved": len(changes.moved.b),
            "copied": len(changes.copied),
        }
        kinds = {kind: KindCount(totals[kind], len(self._chosen.get(kind, ()))) for kind in CHANGE_KINDS}
        if "moved" in self._chosen and not self._looks_at_rows:
            kinds["moved"] = KindCount(totals["moved"], totals["moved"])
        return DiffView(
            a=_view_side(self.pair.a),
            b=_view_side(self.pair.b),
            kept=changes.kept,
            kinds=kinds,
            edits=dict(sorted(Counter(changes.changed.tolist()).items())),
            sources=self._count_sources(),
            filters=self.filters.describe(),
        )

    def list_rows(self) -> Iterator[ChangedRow]:
        """The rows of each kind, up to the limit, in the order of B; removed rows in the order of A."""
        for kind, chosen in self._chosen.items():
            yield from (self._show(kind, i) for i in chosen[: self.limit].tolist())

    @property
    def _looks_at_rows(self) -> bool:
        return bool(self.filters.sources or self.filters.rules)

    @cached_property
    def _kinds(self) -> dict[ChangeKind, _Changes]:
        a, b, changes = self.pair.a.parsed.rows, self.pair.b.parsed.rows, self.changes
        nothing = np.empty(0, dtype=np.int64)
        return {
            "added": _Changes(None, nothing, b, changes.added),
            "removed": _Changes(a, changes.removed, None, nothing),
            "edited": _Changes(a, changes.past, b, changes.edited),
            "copied": _Changes(None, nothing, b, changes.copied),
        }

    @cached_property
    def _moved(self) -> tuple[StoredRows, NDArray[np.int64]]:
        """The moved rows that may be shown, read from B, and their numbers in A."""
        moved = self.changes.moved
        some = slice(None if self._looks_at_rows else self.limit)
        rows = self.pair.b.read_again(moved.b[some])
        return rows, moved.a[np.searchsorted(moved.b, numbers_of(rows))]

    @cached_property
    def _chosen(self) -> dict[ChangeKind, NDArray[np.int64]]:
        """Which changes of each kind are shown, as positions among those of this kind."""
        chosen: dict[ChangeKind, NDArray[np.int64]] = {}
        for kind in CHANGE_KINDS:
            if self.filters.kinds and kind not in self.filters.kinds:
                continue
            if kind == "moved":
                rows, _ = self._moved
                everyone = np.arange(len(rows))
                chosen[kind] = np.flatnonzero(self._flag(_Changes(rows, everyone, rows, everyone)))
            else:
                chosen[kind] = np.flatnonzero(self._flag(self._kinds[kind]))
        return chosen

    def _flag(self, changes: _Changes) -> NDArray[np.bool_]:
        """Which of the changes the filters leave, shape (changes,)."""
        flags = np.ones(max(len(changes.in_a), len(changes.in_b)), dtype=bool)
        if self.filters.sources:
            sides = ((changes.a, changes.in_a), (changes.b, changes.in_b))
            flags &= np.logical_or.reduce([self._has_source(rows, some) for rows, some in sides if rows is not None])
        if self.filters.rules:
            wanted = {h for h, rules in self.flagged.items() if self.filters.asks_for(rules)}
            hashes = () if changes.b is None else hashes_of(changes.b)
            named = [hashes[i] in wanted for i in changes.in_b.tolist()]
            flags &= np.array(named, dtype=bool) if named else False
        return flags

    def _has_source(self, rows: StoredRows, some: NDArray[np.int64]) -> NDArray[np.bool_]:
        names = [i for i, name in enumerate(rows.facts.sources) if name in self.filters.sources]
        found: NDArray[np.bool_] = np.isin(rows.facts.source[some], names)
        return found

    def _count_sources(self) -> dict[str, dict[ChangeKind, int]]:
        counts: defaultdict[str, dict[ChangeKind, int]] = defaultdict(dict)
        for kind, changes in self._kinds.items():
            for source, count in changes.count_sources().items():
                counts[source][kind] = count
        return dict(sorted(counts.items(), key=lambda item: (-sum(item[1].values()), item[0])))

    def _show(self, kind: ChangeKind, i: int) -> ChangedRow:
        if kind == "moved":
            rows, past = self._moved
            now = rows[i]
            return self._row(kind, now, now, past=int(past[i]))
        changes = self._kinds[kind]
        before = None if changes.a is None else changes.a[int(changes.in_a[i])]
        after = None if changes.b is None else changes.b[int(changes.in_b[i])]
        return self._row(kind, before, after, i)

    def _row(
        self, kind: ChangeKind, before: HashedRecord | None, after: HashedRecord | None, i: int = 0, past: int = 0
    ) -> ChangedRow:
        a = None if before is None else self._place(self.pair.a, before, past)
        b = None if after is None else self._place(self.pair.b, after)
        near = self._near.get(b.row) if b and not past else None
        is_edit, is_copy = kind == "edited", kind == "copied"
        words = mark_words(a.text, b.text) if is_edit and a and b and a.text is not None and b.text is not None else ()
        return ChangedRow(
            kind,
            a,
            b,
            changed=str(self.changes.changed[i]) if is_edit else None,
            twin=int(self.changes.twin[i]) if is_copy else None,
            twin_in_a=int(self.changes.twin_past[i]) or None if is_copy else None,
            like=near.row if near else None,
            like_share=near.share if near else None,
            rules=self.flagged.get(after.hash, ()) if after else (),
            words=tuple(words),
        )

    def _place(self, version: DiffedVersion, row: HashedRecord, number: int = 0) -> RowPlace:
        record, row_hash = row
        number = number or record.row
        files = self._files[id(version)]
        file, file_row = find_row(files, number) if files else (None, None)
        text = canonical_text(record) if self.with_text else None
        return RowPlace(number, record.source, row_hash, count_characters(record), file, file_row, text)


def _number_parts(version: DiffedVersion) -> list[NumberedFile]:
    """The files of a version that has several, as the user would name them; none of any other."""
    path = version.file.path
    if is_hub_name(path):
        return []
    files = number_files(path)
    if len(files) < 2:
        return []
    read, named = dataset_root(path), dataset_root(version.file.origin)
    return [NumberedFile((named / Path(part.file).relative_to(read)).as_posix(), part.first_row) for part in files]


def _view_side(version: DiffedVersion) -> SideView:
    return SideView(version.file.name, version.file.commit, version.total, version.parsed.left_out)
