"""The two versions that are set side by side: what both have is known by its lines, and only other rows are parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from corpus.errors import DataError, EntropylawError
from corpus.files import stamp_files
from corpus.formats import Reading
from corpus.line_hashes import LineHashes, find_lines, hash_lines, read_lines
from corpus.progress import StageProgress, ignore_progress
from corpus.row_facts import hashes_of
from corpus.row_pairs import pair_rows
from corpus.stored_rows import StoredRows, store_rows
from entropylaw.diff.parsing import ParsedRows, list_strings, parse_data, parse_lines
from entropylaw.repository.datasets import reading_for
from monitor.row_diff import KeptRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from entropylaw.repository.revisions import DataFile

SIDES = ("A", "B")
HASH, READ, SEARCH = "hash lines", "read", "look for copies"


@dataclass(frozen=True)
class DiffedVersion:
    """One of the two versions. ``total``: its rows, usable or not. ``parsed``: those that the other version has not on
    an equal line, or all, where lines cannot be compared. ``numbers``: of all lines, None where they cannot.
    """

    file: DataFile
    reading: Reading
    total: int
    parsed: ParsedRows
    numbers: NDArray[np.int64] | None

    def read_again(self, numbers: NDArray[np.int64]) -> StoredRows:
        """The usable ones of the rows with these numbers."""
        if self.numbers is None:
            wanted = set(numbers.tolist())
            return store_rows((row for row in self.parsed.rows if row.record.row in wanted), self.file.name)
        return self.read_lines(np.unique(numbers)).rows

    def read_lines(self, numbers: NDArray[np.int64]) -> ParsedRows:
        assert self.numbers is not None
        path = find_lines(self.file.path)
        assert path is not None
        return parse_lines(self.file, self.reading, path, self.numbers, numbers, ignore_progress)


@dataclass(frozen=True)
class VersionPair:
    """``same``: rows that are known to be the same, because their lines are. ``stamps``: of the files as first read."""

    a: DiffedVersion
    b: DiffedVersion
    same: KeptRows
    stamps: tuple[Any, Any]

    def require_unchanged(self) -> None:
        """Raise DataError where one of the files was written to meanwhile: what was told of them may be of both."""
        for version, stamp in zip((self.a, self.b), self.stamps, strict=True):
            if stamp_files(version.file.path) != stamp:
                raise DataError(version.file.name, "changed while it was read; run the command again")

    def find_contents(
        self, gone: NDArray[np.int64], new: NDArray[np.int64], report: StageProgress
    ) -> Mapping[str, tuple[int, int]]:
        """See `row_diff.FindContents`. The lines are searched for the longest messages of the rows at these indices,
        and those that hold one are parsed.
        """
        a, b = self.a.parsed, self.b.parsed
        texts = {*a.longest[gone].tolist(), *b.longest[new].tolist()}
        if not texts:
            return {}
        numbers = self.same.b
        if a.verbatim and b.verbatim:
            numbers = _search(self.b, np.sort(numbers), texts, report)
        hashes_a, hashes_b = hashes_of(a.rows), hashes_of(b.rows)
        contents = {*(hashes_a[i] for i in gone.tolist()), *(hashes_b[i] for i in new.tolist())}
        past = dict(zip(self.same.b.tolist(), self.same.a.tolist(), strict=True)) if len(numbers) else {}
        found: dict[str, tuple[int, int]] = {}
        for record, row_hash in self.b.read_lines(np.sort(numbers)).rows if len(numbers) else ():
            if row_hash in contents:
                found.setdefault(row_hash, (past[record.row], record.row))
        return found


def read_pair(a: DataFile, b: DataFile, report: StageProgress) -> VersionPair:
    """Read two versions as far as they differ. Raises DataError where one cannot be read, EntropylawError where one has
    preferences and the other conversations.
    """
    files, stamps = (a, b), (stamp_files(a.path), stamp_files(b.path))
    readings = [file.reading or reading_for(file.origin) for file in files]
    # Equal lines are equal rows only where both are read alike.
    hashed = _hash_both(files, report) if readings[0] == readings[1] else None
    if hashed is None:
        nothing = np.empty(0, dtype=np.int64)
        same = KeptRows(nothing, nothing)
        parsed = [
            parse_data(file, reading, partial(report, f"{READ} {side}"))
            for file, reading, side in zip(files, readings, SIDES, strict=True)
        ]
        totals = [len(part.rows) + sum(part.left_out.values()) for part in parsed]
    else:
        pairs = pair_rows(hashed[0][1].hashes, hashed[1][1].hashes)
        same = KeptRows(*(part.numbers[some] for (_, part), some in zip(hashed, pairs, strict=True)))
        parsed = [
            parse_lines(
                file, reading, path, part.numbers, np.delete(part.numbers, some), partial(report, f"{READ} {s}")
            )
            for file, reading, (path, part), some, s in zip(files, readings, hashed, pairs, SIDES, strict=True)
        ]
        totals = [len(part.numbers) for _, part in hashed]
    first, second = parsed
    if first.kind != second.kind:
        raise EntropylawError(f"{a.name} holds {first.kind} and {b.name} {second.kind}: no row of one is in the other")
    for file, part in zip(files, parsed, strict=True):
        if not len(part.rows) and not len(same.a):
            counts = ", ".join(f"{count} {reason}" for reason, count in part.left_out.items())
            raise DataError(file.name, f"no usable row ({counts})")
    versions = [
        DiffedVersion(*facts, None if hashed is None else hashed[i][1].numbers)
        for i, facts in enumerate(zip(files, readings, totals, parsed, strict=True))
    ]
    pair = VersionPair(versions[0], versions[1], same, stamps)
    pair.require_unchanged()
    return pair


def _hash_both(files: tuple[DataFile, DataFile], report: StageProgress) -> list[tuple[Path, LineHashes]] | None:
    """The lines of both versions, None where one is no single file of lines."""
    found = []
    for file, side in zip(files, SIDES, strict=True):
        try:
            path = find_lines(file.path)
            if path is None:
                return None
            found.append((path, hash_lines(path, partial(report, f"{HASH} {side}"))))
        except DataError as error:
            raise file.rename(error) from None
    return found


def _search(
    version: DiffedVersion, numbers: NDArray[np.int64], texts: set[int], report: StageProgress
) -> NDArray[np.int64]:
    """Those of the lines with these ``numbers``, which ascend, that hold one of the ``texts``, by Python's hash."""
    path = find_lines(version.file.path)
    assert path is not None and version.numbers is not None
    is_asked = np.zeros(int(version.numbers[-1]) + 1, dtype=bool)
    is_asked[numbers] = True
    asked, decode, found = is_asked.tobytes(), msgspec.json.decode, []
    for number, line in read_lines(path):
        if number < len(asked) and asked[number]:
            try:
                holds = not texts.isdisjoint(map(hash, list_strings(decode(line))))
            except (ValueError, RecursionError):  # what the reader of rows passes over, such as a mark in front
                holds = True
            if holds:
                found.append(number)
        if number % 10_000 == 0:
            report(SEARCH, number, None)
    return np.array(found, dtype=np.int64)
