"""Reads the rows of a dataset, whatever files it is made of."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from corpus.errors import BadRow, DataError
from corpus.files.arrow_tables import read_arrow, read_parquet
from corpus.files.contents import open_contents
from corpus.files.csv_table import read_table
from corpus.files.hub import hub_name, is_hub_name, read_hub
from corpus.files.json_lines import read_lines
from corpus.files.json_stream import read_array, read_objects, read_wrapper
from corpus.files.kinds import tell_kind
from corpus.files.line_pieces import LinePiece, cut_lines
from corpus.files.row import MAX_ROW_BYTES, BadRows, NumberedRows, Row
from corpus.files.several import Source, list_files, stamp_files

_JSON_READERS = {
    "json lines": read_lines,
    "json array": read_array,
    "json wrapper": read_wrapper,
    "json objects": read_objects,
}


@dataclass(frozen=True)
class NumberedFile:
    """One of the files of a dataset, and the number of its first row among all rows of the dataset."""

    file: str
    first_row: int


def read_rows(
    source: Source,
    max_row_bytes: int = MAX_ROW_BYTES,
    bad_rows: BadRows | None = None,
    begin_file: Callable[[NumberedFile], None] | None = None,
) -> Iterator[tuple[int, Row]]:
    """The rows of a dataset with their 1-based numbers, in the order of its files and of the rows in them.

    A row's number is its line in JSON lines (blank lines are skipped, yet counted), and its position in every other
    kind of file. The rows of a second file are numbered on from the last row of the first. ``begin_file`` hears of each
    file before its first row. No more is held in memory than a row, a row group of parquet, or a piece of the file.

    ``bad_rows`` is told of each row that cannot be read although its file can, and the reading goes on: rows that hold
    half a character, rows of more than ``max_row_bytes`` bytes, and values that are no objects. Without it they are
    errors.

    Raises DataError, naming the file, the row and the cause, at the first thing that cannot be read, and for a file
    that is missing, empty, damaged or no data file. After the last row it raises one where a file was changed or
    replaced meanwhile.
    """
    # Without `wants_pieces` there are none.
    return cast(Iterator[tuple[int, Row]], read_rows_or_pieces(source, max_row_bytes, bad_rows, begin_file))


def read_rows_or_pieces(
    source: Source,
    max_row_bytes: int = MAX_ROW_BYTES,
    bad_rows: BadRows | None = None,
    begin_file: Callable[[NumberedFile], None] | None = None,
    wants_pieces: Callable[[], bool] | None = None,
) -> Iterator[tuple[int, Row] | LinePiece]:
    """As ``read_rows``, but from when on ``wants_pieces`` says so, the lines of JSON lines come unread, in pieces.

    Rows of other kinds of files go on coming one by one, and pieces of a dataset on the Hub are not made.
    """
    before, stamp = 0, stamp_files(source)
    for file in [hub_name(source)] if is_hub_name(source) else list_files(source):
        if begin_file:
            begin_file(NumberedFile(str(file) if isinstance(file, str) else file.as_posix(), before + 1))
        if wants_pieces and isinstance(file, Path) and tell_kind(file).form == "json lines":
            last = yield from _cut_file(file, before, max_row_bytes, bad_rows, wants_pieces)
        else:
            last = yield from _number_rows(file, before, max_row_bytes, bad_rows)
        if last == 0:
            raise DataError(file, "holds no rows")
        before += last
    if stamp_files(source) != stamp:
        # Rows of both would be measured, and recorded as those of the new data.
        raise DataError(_name(source), "changed while it was read; run the command again")


def _name(source: Source) -> str:
    return str(source) if isinstance(source, (str, Path)) else ", ".join(map(str, source))


def read_file(path: Path, max_row_bytes: int, bad_rows: BadRows | None) -> NumberedRows:
    """The rows of one file by their numbers in it, of which there may be none. Raises DataError as ``read_rows``."""
    kind = tell_kind(path)
    if kind.form == "parquet":
        return (yield from read_parquet(path, max_row_bytes, bad_rows))
    if kind.form == "arrow":
        return (yield from read_arrow(path, max_row_bytes, bad_rows))
    with open_contents(path, kind.compression) as handle:
        if kind.form in ("csv", "tsv"):
            delimiter = "," if kind.form == "csv" else "\t"
            return (yield from read_table(handle, path, delimiter, max_row_bytes, bad_rows))
        return (yield from _JSON_READERS[kind.form](handle, path, max_row_bytes, bad_rows))


def _cut_file(
    file: Path, before: int, max_row_bytes: int, bad_rows: BadRows | None, wants_pieces: Callable[[], bool]
) -> Generator[tuple[int, Row] | LinePiece, None, int]:
    """The rows of a file of JSON lines, then what is left of it in pieces; returns the number of its last row."""
    last = 0
    with open_contents(file, tell_kind(file).compression) as handle:
        for piece in cut_lines(handle, file, before, max_row_bytes):
            last = piece.find_last() or last
            if wants_pieces():
                yield piece
            else:
                yield from piece.read(max_row_bytes, bad_rows)
    return last


def _number_rows(file: str | Path, before: int, max_row_bytes: int, bad_rows: BadRows | None) -> NumberedRows:
    """The rows of one file, numbered after ``before``; returns the number of the last one in the file."""

    def number_on(bad: BadRow) -> None:
        if bad_rows:
            bad_rows(replace(bad, number=before + bad.number))

    told = number_on if bad_rows else None
    rows = read_hub(file, max_row_bytes, told) if isinstance(file, str) else read_file(file, max_row_bytes, told)
    return (yield from (_add_to_numbers(rows, before) if before else rows))


def _add_to_numbers(rows: NumberedRows, before: int) -> NumberedRows:
    while True:
        try:
            number, row = next(rows)
        except StopIteration as end:
            return int(end.value)
        yield before + number, row
