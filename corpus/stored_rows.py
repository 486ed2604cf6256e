"""The rows of a prepared file, read from it one by one when they are asked for: memory holds 40 bytes a row, and 50
more where the keys of their sides are asked for. Both are kept for the next command, by the content of the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, overload

import msgspec
import numpy as np

from corpus.errors import EntropylawError, PreparedRowsError
from corpus.prepared_rows import MAKE_IT, LightRow, PreparedRow, explain_bad_row, explain_missing, write_row
from corpus.records import HashedRecord
from corpus.row_cache import code_edition, is_anything_kept, keep_columns, read_columns
from corpus.row_facts import RowFacts, count_characters
from corpus.row_hashes import RowHashes
from corpus.row_sides import split_sides
from corpus.side_facts import SideFacts, measure_sides

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows that are read one after the other come from the disk in blocks of this size.
BLOCK_BYTES = 2**20
# What is known of the rows of a smaller file is not kept: it is read in 30 milliseconds.
MIN_KEPT_BYTES = 2**22


class StoredRows(Sequence[HashedRecord]):
    """The records of a prepared file with their content hashes, in file order, as a sequence that is not in memory.

    ``facts``: see `RowFacts`. The file is read once to find where each row begins, unless that is known of its content;
    it stays open, so that another file in its place changes nothing. Raises PreparedRowsError when it is missing, is
    not what ``prepare_file`` wrote, or changes while it is used.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise explain_missing(path, error) from None
        self._open(path, descriptor, may_keep=True)
        if not len(self):
            raise PreparedRowsError(path, f"is empty; {MAKE_IT}")

    @classmethod
    def of_file(cls, handle: IO[bytes], name: str | Path) -> StoredRows:
        """The rows of an open file of prepared rows, as one that has no name any more. ``name``: what to call it."""
        rows = cls.__new__(cls)
        rows._open(name, os.dup(handle.fileno()), may_keep=False)
        return rows

    def _open(self, name: str | Path, descriptor: int, may_keep: bool) -> None:
        self._name, self._descriptor = name, descriptor
        weakref.finalize(self, os.close, descriptor)
        self._decoder, self._light = msgspec.json.Decoder(PreparedRow), msgspec.json.Decoder(LightRow)
        may_keep = may_keep and os.fstat(descriptor).st_size >= MIN_KEPT_BYTES and is_anything_kept()
        # A hash of what is in the file; empty where nothing is kept of it.
        self._content = self._hash_content() if may_keep else ""
        self._offsets, self.facts = self._find_index() or self._index()

    def _name_kept(self, what: str) -> str:
        return f"{self._content}-{code_edition()}.{what}"

    def _find_index(self) -> tuple[NDArray[np.int64], RowFacts] | None:
        """What an earlier command learned by `_index`, where it is there."""
        columns = read_columns(self._name_kept("rows")) if self._content else None
        if columns is None:
            return None
        offsets, digests, numbers, characters, source, names = columns
        return offsets, RowFacts(RowHashes(digests), numbers, characters, source, tuple(json.loads(names.tobytes())))

    def _hash_content(self) -> str:
        """SHA-256, which processors compute ten times as fast as a row is decoded."""
        with open(os.dup(self._descriptor), "rb", buffering=0) as handle:
            handle.seek(0)
            return hashlib.file_digest(handle, "sha256").hexdigest()

    def read_sides(self) -> SideFacts:
        """See `corpus.side_facts`. All rows are read for it once, unless it is known of the file's content."""
        return self._sides

    @cached_property
    def _sides(self) -> SideFacts:
        if self._content and (columns := read_columns(self._name_kept("sides"))):
            prompt, answer, question, answers, words = columns
            return SideFacts(prompt, answer, question, RowHashes(answers), words)
        read = hashlib.sha256()
        sides = measure_sides(split_sides(record) for record, _ in self._iterate(read, is_light=True))
        # What another program did to the file in the meantime is not kept under the name of what it was.
        if self._content and read.hexdigest() == self._content:
            keep_columns(self._name_kept("sides"), [*sides[:3], sides.answers.digests, sides.answer_words])
        return sides

    def _index(self) -> tuple[NDArray[np.int64], RowFacts]:
        offsets, digests, numbers = array("q", [0]), bytearray(), array("q")
        characters, source = array("q"), array("l")
        sources: dict[str, int] = {}
        read = hashlib.sha256()
        for line in self._read_lines():
            row = self._decode_light(line, len(numbers))
            read.update(line)
            offsets.append(offsets[-1] + len(line))
            digests += bytes.fromhex(row.hash)
            numbers.append(row.row)
            characters.append(count_characters(row.build()))
            source.append(sources.setdefault(row.source, len(sources)))
        # Another program may have written into the file since it was hashed.
        self._content = self._content and read.hexdigest()
        facts = RowFacts(
            RowHashes.of_bytes(digests),
            np.array(numbers, dtype=np.int64),
            np.array(characters, dtype=np.int64),
            np.array(source, dtype=np.int32),
            tuple(sources),
        )
        places = np.array(offsets, dtype=np.int64)
        if self._content:
            names = np.frombuffer(json.dumps(facts.sources).encode(), dtype=np.uint8)
            columns: list[NDArray[Any]] = [
                places,
                facts.hashes.digests,
                facts.numbers,
                facts.characters,
                facts.source,
                names,
            ]
            keep_columns(self._name_kept("rows"), columns)
        return places, facts

    @property
    def name(self) -> str:
        """What the file is called in an error."""
        return str(self._name)

    def line_bytes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The length of each of these rows' lines in the file, shape (n,)."""
        return self._offsets[rows + 1] - self._offsets[rows]

    def read_lines(self, rows: NDArray[np.int64]) -> bytes:
        """The lines of these rows, in order, as they stand in the file: neighbours are read together."""
        parts = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else []
        bounds = [self._offsets[[part[0], part[-1] + 1]].tolist() for part in parts]
        return b"".join([os.pread(self._descriptor, end - start, start) for start, end in bounds])

    def _read_lines(self) -> Iterator[bytes]:
        with open(os.dup(self._descriptor), "rb", buffering=BLOCK_BYTES) as handle:
            handle.seek(0)
            yield from handle

    def _decode_light(self, line: bytes | memoryview, index: int) -> PreparedRow:
        try:
            return self._light.decode(line)
        except (ValueError, RecursionError):
            return self._decode(line, index)  # says what is wrong

    def _decode(self, line: bytes | memoryview, index: int) -> PreparedRow:
        try:
            return self._decoder.decode(line)
        except (ValueError, RecursionError) as error:  # of JSON, of UTF-8, or of another shape
            raise explain_bad_row(self._name, error, index + 1) from None

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, index: int) -> HashedRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[HashedRecord]: ...
    def __getitem__(self, index: int | slice) -> HashedRecord | list[HashedRecord]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        start, end = self._offsets[place : place + 2].tolist()
        row = self._decode(os.pread(self._descriptor, end - start, start), place)
        return HashedRecord(row.build(), row.hash)

    def __iter__(self) -> Iterator[HashedRecord]:
        return self._iterate()

    def _iterate(self, read: Any = None, is_light: bool = False) -> Iterator[HashedRecord]:
        """Each row in order. ``read``: an object of hashlib that gets all that is read. ``is_light``: only the texts of
        the messages are looked at, see `LightRow`.
        """
        decode = self._decode_light if is_light else self._decode
        # By its place and not by a position in the file: two loops may go through it at once.
        places = np.searchsorted(self._offsets, np.arange(0, self._offsets[-1], BLOCK_BYTES))
        for first, last in pairwise([*np.unique(places).tolist(), len(self)]):
            bounds = self._offsets[first : last + 1].tolist()
            block = memoryview(os.pread(self._descriptor, bounds[-1] - bounds[0], bounds[0]))
            if read:
                read.update(block)
            for index, (start, end) in enumerate(pairwise(bounds), start=first):
                row = decode(block[start - bounds[0] : end - bounds[0]], index)
                yield HashedRecord(row.build(), row.hash)


class ChosenRows(Sequence[HashedRecord]):
    """Some of the rows of a sequence, by their indices, without a copy of them."""

    def __init__(self, records: Sequence[HashedRecord], rows: Sequence[int]) -> None:
        self._records, self._rows = records, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> HashedRecord: ...
    @overload
    def __getitem__(self, index: slice) -> ChosenRows: ...
    def __getitem__(self, index: int | slice) -> HashedRecord | ChosenRows:
        if isinstance(index, slice):
            return ChosenRows(self._records, self._rows[index])
        return self._records[self._rows[index]]


def store_rows(rows: Iterable[HashedRecord], name: str | Path) -> StoredRows:
    """Rows as a sequence that is not in memory: they go to a file without a name, which the system deletes with the
    process. ``name``: what to call it in an error. Raises EntropylawError where there is no room for it.
    """
    try:
        with tempfile.TemporaryFile(buffering=BLOCK_BYTES) as handle:
            for record, row_hash in rows:
                handle.write(write_row(record, row_hash).encode())
            handle.flush()
            return StoredRows.of_file(handle, name)
    except OSError as error:
        where = f"{tempfile.gettempdir()} (temporary rows of {name})"
        raise EntropylawError(f"{where}: cannot be written: {error.strerror or error}") from None
