"""Where a row of a dataset stands: its file, and its number in that file."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from corpus.errors import BadRow, DataError
from corpus.files.arrow_tables import count_parquet_rows
from corpus.files.contents import READING_ERRORS, open_contents, reading_error
from corpus.files.hub import hub_name, is_hub_name
from corpus.files.kinds import name_unit, tell_kind
from corpus.files.reading import NumberedFile, read_file
from corpus.files.row import MAX_ROW_BYTES
from corpus.files.several import Source, list_files


def row_error(source: Source, cause: str, number: int) -> DataError:
    """The DataError for a row of a dataset by its number there; it names the row's file and its number in it.

    JSON lines call it a line, and the other kinds of file a row.
    """
    if is_hub_name(source):
        return DataError(hub_name(source), cause, number, "row")
    try:
        file, number_in_file = locate_row(source, number)
    except DataError:  # the files are not there any more
        return DataError(source, cause, number, "row")
    return DataError(file, cause, number_in_file, name_unit(Path(file)))


def locate_row(source: Source, number: int) -> tuple[str, int]:
    """The file of a row, and its number in that file. In a dataset of one file that is its number."""
    return find_row(number_files(source), number)


def name_row(source: Source, number: int) -> str:
    """What a message calls a row: its number, and in a dataset of several files its file and its number there.

    >>> name_row("data/sft.jsonl", 7)
    '7'
    """
    try:
        files = number_files(source)
    except DataError:  # not files, or not there any more
        return str(number)
    if len(files) == 1:
        return str(number)
    file, number_in_file = find_row(files, number)
    return f"{file}:{number_in_file}"


def find_row(files: Sequence[NumberedFile], number: int) -> tuple[str, int]:
    """As ``locate_row``, for files that are numbered already.

    >>> find_row([NumberedFile("a.jsonl", 1), NumberedFile("b.jsonl", 101)], 103)
    ('b.jsonl', 3)
    """
    found = files[bisect.bisect_right([file.first_row for file in files], number) - 1]
    return found.file, number - found.first_row + 1


def number_files(source: Source) -> list[NumberedFile]:
    """The files of a dataset in their order, each with the number of its first row. All but the last are read."""
    if is_hub_name(source):
        return [NumberedFile(hub_name(source), 1)]
    files = list_files(source)
    if len(files) == 1:
        # Called as it was named, where that is the file itself.
        is_named = isinstance(source, (str, Path)) and files[0] == Path(source)
        return [NumberedFile(str(source) if is_named else files[0].as_posix(), 1)]
    first_rows = [1]
    for file in files[:-1]:
        try:
            state = file.stat()
            first_rows.append(first_rows[-1] + _count_rows(file, state.st_size, state.st_mtime_ns))
        except READING_ERRORS as error:  # not as it was when it was read
            raise reading_error(file, error, None) from None
    return [NumberedFile(file.as_posix(), first) for file, first in zip(files, first_rows, strict=True)]


# Many rows of one dataset may be asked about, one after the other.
@lru_cache(maxsize=100_000)
def _count_rows(file: Path, size: int, changed: int) -> int:
    """The number of the last row of a file. ``size`` and ``changed`` tell the file from what it was before."""
    kind = tell_kind(file)
    if kind.form == "parquet":
        return count_parquet_rows(file)
    last = 0
    if kind.form == "json lines":
        with open_contents(file, kind.compression) as handle:
            for number, line in enumerate(handle, start=1):
                if not _is_blank(line):
                    last = number
        return last

    def note(bad: BadRow) -> None:
        nonlocal last
        last = bad.number

    for number, _ in read_file(file, MAX_ROW_BYTES, note):
        last = number
    return last


def _is_blank(line: bytes) -> bool:
    # Only a short line can be blank, as `read_lines` has it, without the first test saying so.
    return line.isspace() or (len(line) < 30 and not line.decode("utf-8", "replace").strip("\ufeff").strip())
