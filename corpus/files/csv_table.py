"""CSV and TSV: a header that names the columns, then a row of texts for each of its names."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from corpus.errors import BadRow, DataError
from corpus.files.contents import BYTE_ORDER_MARK, READING_ERRORS, encoding_error, reading_error
from corpus.files.json_lines import skip_line_breaks
from corpus.files.row import TOO_LONG, BadRows, NumberedRows, report_bad_row

# A column's name is a word or two; a longer first line is a row of data whose header is missing.
_LONGEST_NAME = 200
# How Excel is told in the first line what divides cells.
_EXCEL_HINT = re.compile(r"sep=.\r?\n", re.IGNORECASE)
# In rows of the largest size that is read.
_SWALLOWED = 4
_QUOTES = "quotes within a cell must be doubled, and a cell with line breaks stand in quotes"


def read_table(
    handle: IO[bytes], path: Path, delimiter: str, max_row_bytes: int, bad_rows: BadRows | None
) -> NumberedRows:
    """The rows by their positions below the header: every cell as text, and an empty one as None.

    ``delimiter``: a comma or a tab; a table under a comma's suffix may be divided by semicolons or tabs all the same.
    """
    # What a missing quote or line break may swallow before the reading stops. Shorter rows are counted as too long.
    longest = _SWALLOWED * max_row_bytes
    # The library's own limit is 128 KiB, for the whole process.
    csv.field_size_limit(max(csv.field_size_limit(), longest))
    lines = _Lines(handle, path, longest)
    number = 0
    try:
        first = lines.peek()
        if _EXCEL_HINT.fullmatch(first):
            delimiter = first[len("sep=")]
            first = lines.peek()
        elif delimiter == "," and "," not in first:
            delimiter = next((other for other in (";", "\t") if other in first), delimiter)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        if not first:
            return 0
        header = next(reader)
        names = _read_names(header, path)
        for cells in reader:
            if not cells:  # a blank line
                lines.number += skip_line_breaks(handle)
                continue
            number += 1
            if len(cells) != len(names):
                cause = f"{len(cells)} cells, but the header names {len(names)} columns; {_QUOTES}"
                raise DataError(path, f"{cause} (up to line {lines.number})", number, "row")
            if cells == header:
                cause = f"repeats the header (line {lines.number}); two files put together? delete the line"
                raise DataError(path, cause, number, "row")
            if sum(map(len, cells)) * 4 > max_row_bytes and _count_bytes(cells) > max_row_bytes:
                report_bad_row(path, "row", BadRow(number, TOO_LONG, f"longer than {max_row_bytes:,} bytes"), bad_rows)
                continue
            yield number, {name: cell or None for name, cell in zip(names, cells, strict=True)}
    except csv.Error as error:
        where = f"(up to line {lines.number})"
        raise DataError(path, f"not a table: {error}; {_QUOTES} {where}", number + 1, "row") from None
    except READING_ERRORS as error:
        raise reading_error(path, error, number + 1, "row") from None
    return number


class _Lines:
    """The decoded lines of a file, line breaks kept, and the number of the last one."""

    def __init__(self, handle: IO[bytes], path: Path, longest: int) -> None:
        self.handle, self.path, self.longest, self.number = handle, path, longest, 0
        self.first: str | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.first is not None:
            line, self.first = self.first, None
            return line
        line = self._read_line()
        if not line:
            raise StopIteration
        return line

    def peek(self) -> str:
        """The first line that is not blank, before any has been read."""
        while True:
            self.first = self._read_line()
            if self.first.strip() or not self.first:
                return self.first

    def _read_line(self) -> str:
        raw = self.handle.readline(self.longest + 1)
        self.number += 1
        if len(raw) > self.longest:
            raise DataError(self.path, f"longer than {self.longest:,} bytes; are line breaks missing?", self.number)
        try:
            return raw.removeprefix(BYTE_ORDER_MARK).decode()
        except UnicodeDecodeError as error:
            raise encoding_error(self.path, error, self.number) from None


def _read_names(header: list[str], path: Path) -> list[str]:
    """The columns' names; one without a name is called as pandas calls it, which writes its index so."""
    names = [name.strip() or f"Unnamed: {position}" for position, name in enumerate(header)]
    if longest := next((name for name in names if len(name) > _LONGEST_NAME or "\n" in name), None):
        cause = f"the first line must name the columns, such as prompt,completion; found {longest[:60]!r}…"
        raise DataError(path, f"{cause}; put a header before it", 1)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        cause = f"the header names the column {twice[0][:60]!r} twice; give each column a name of its own"
        raise DataError(path, cause, 1)
    if not any(header):
        raise DataError(path, "the first line must name the columns, such as prompt,completion", 1)
    return names


def _count_bytes(cells: list[str]) -> int:
    return sum(len(cell.encode()) for cell in cells)
