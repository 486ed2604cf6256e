"""The lines of a large file of JSON lines in pieces of some megabytes, each of which can be read by another worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from corpus.errors import BadRow, DataError
from corpus.files.json_lines import decode_lines, is_blank, number_lines
from corpus.files.row import BadRows, Row

# What a worker reads at once: some tenths of a second of work, and with its records some 20 MB of memory.
PIECE_BYTES = 2**22


@dataclass(frozen=True)
class LinePiece:
    """Some lines of a file, in order, each with its number there. It holds the bytes and not their place in the file.

    ``before``: how many rows of the dataset stand before the file's first. Blank lines are left out.
    """

    file: Path
    before: int
    numbers: list[int] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)

    def read(self, max_row_bytes: int, bad_rows: BadRows | None) -> Iterator[tuple[int, Row]]:
        """The rows by their numbers in the dataset, and the rest as ``read_rows`` has it."""

        def number_on(bad: BadRow) -> None:
            if bad_rows:
                bad_rows(replace(bad, number=self.before + bad.number))

        lines = zip(self.numbers, self.lines, strict=True)
        for number, row in decode_lines(lines, self.file, max_row_bytes, number_on if bad_rows else None):
            yield self.before + number, row

    def find_last(self) -> int:
        """The number of the last row in the file, good or bad; 0 where there is none."""
        return next((n for n, line in zip(self.numbers[::-1], self.lines[::-1], strict=True) if not is_blank(line)), 0)


def cut_lines(handle: IO[bytes], path: Path, before: int, max_row_bytes: int) -> Iterator[LinePiece]:
    """All lines of an open file in pieces. Raises DataError at the first byte that cannot be read, after all before it.

    >>> import io
    >>> lines = io.BufferedReader(io.BytesIO(b'{"a": 1}\\n\\n{"a": 2}\\n'))
    >>> [(piece.numbers, piece.lines) for piece in cut_lines(lines, Path("rows.jsonl"), 0, 100)]
    [([1, 3], [b'{"a": 1}\\n', b'{"a": 2}\\n'])]
    """
    piece, held = LinePiece(path, before), 0
    try:
        for number, line in number_lines(handle, path, max_row_bytes):
            piece.numbers.append(number)
            piece.lines.append(line)
            held += len(line)
            if held >= PIECE_BYTES:
                yield piece
                piece, held = LinePiece(path, before), 0
    except DataError:
        yield piece
        raise
    if piece.lines:
        yield piece
