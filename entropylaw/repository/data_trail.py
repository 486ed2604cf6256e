"""Follows a dataset back through the commits, under the name that it had at each, and as it was read then."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from corpus.files import is_hub_name
from corpus.formats import Reading
from entropylaw.repository.committed_data import StoredData, describe_data
from entropylaw.repository.past_params import past_reading, past_source, read_past_params
from entropylaw.repository.renames import find_earlier_name


@dataclass(frozen=True)
class PastData:
    """The data of a dataset at a commit. ``file``: as seen from the current folder; ``reading``: how it was read;
    ``renames``: what it was called since then, oldest first.
    """

    file: Path
    reading: Reading
    stored: StoredData
    renames: tuple[Rename, ...] = ()


@dataclass(frozen=True)
class Rename:
    """``commit``: the first one that we looked at under the new name, by its short id; None: the working tree."""

    old: str
    new: str
    commit: str | None

    def __str__(self) -> str:
        """
        >>> print(Rename("data/a.jsonl", "data/b.jsonl", "1a2b3c4"))
        renamed from data/a.jsonl to data/b.jsonl (1a2b3c4)
        """
        return f"renamed from {self.old} to {self.new} ({self.commit or 'not committed'})"


@dataclass
class DataTrail:
    """Asked for one commit after another, newest first. ``file``, ``reading``: of the present at first, then of the
    commit that was asked for last. ``renames``: what was found on the way, oldest first.
    """

    dataset: str
    file: Path
    reading: Reading
    renames: tuple[Rename, ...] = ()
    # The commit asked for before, where the data was: only from there can a rename be told. None: the working tree.
    _seen: bool = True
    _newer: str | None = None

    def look_up(self, commit: str, short: str, may_be_renamed: bool = True) -> PastData | None:
        """The data at a commit: where params.yaml of that time says, else under the name that it had afterwards, else
        (unless it may not) under the one that it was renamed from. None where the commit has nothing of it.

        Raises EntropylawError when Git and DVC cannot tell.
        """
        sections = read_past_params(commit)
        named = past_source(sections, self.dataset)
        places = [] if named is None or is_hub_name(named) else [Path(named)]
        found = self._find(dict.fromkeys([*places, self.file]), commit, short)
        if found is None and self._seen and may_be_renamed:
            earlier = find_earlier_name(self.file.as_posix(), commit, self._newer)
            found = None if earlier is None else self._find([Path(earlier)], commit, short)
        self._seen = found is not None
        if found is None:
            return None
        file, stored = found
        if file != self.file:
            newer = None if self._newer is None else self._newer[:7]
            self.renames = (Rename(file.as_posix(), self.file.as_posix(), newer), *self.renames)
            self.file = file
        if named is not None and Path(named) == file:
            self.reading = past_reading(sections, self.dataset) or self.reading
        self._newer = commit
        return PastData(file, self.reading, stored, self.renames)

    def _find(self, files: Iterable[Path], commit: str, short: str) -> tuple[Path, StoredData] | None:
        for file in files:
            stored = describe_data(f"{short}:{file.as_posix()}", file.as_posix(), commit)
            if stored is not None:
                return file, stored
        return None
