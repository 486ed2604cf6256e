"""Parses some of the rows of a version: those of a JSON-lines file by their lines, or all of any other data."""

from __future__ import annotations

import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.errors import BadRow, DataError
from corpus.files import Row, read_rows
from corpus.formats import Kind, Reading, kind_of, parse_rows
from corpus.formats.parsing import FIRST_ROWS
from corpus.line_hashes import copy_lines
from corpus.params import read_section
from corpus.prepare import PrepareParams, decide_record
from corpus.progress import Progress
from corpus.records import HashedRecord, Record
from corpus.stored_rows import StoredRows, store_rows
from entropylaw.terminal import count_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from entropylaw.repository.revisions import DataFile


@dataclass(frozen=True)
class ParsedRows:
    """Rows of a version. ``rows``: the usable ones, numbered as in the version's data. ``left_out``: others, by reason.

    ``longest``: Python's hash of each one's longest message, shape (rows,), by which rows that may be the same are
    found without being parsed. ``verbatim``: whether all these messages stand in the file as they are.
    """

    rows: StoredRows
    kind: Kind
    left_out: dict[str, int]
    longest: NDArray[np.int64]
    verbatim: bool


def parse_data(file: DataFile, reading: Reading, progress: Progress) -> ParsedRows:
    """All rows of a version. Raises DataError, under the name that the user gave, where they cannot be read."""
    try:
        return _parse(file.name, file.path, reading, progress, None, None)
    except DataError as error:
        raise file.rename(error) from None


def parse_lines(
    file: DataFile,
    reading: Reading,
    path: Path,
    numbers: NDArray[np.int64],
    wanted: NDArray[np.int64],
    progress: Progress,
) -> ParsedRows:
    """The rows on the ``wanted`` lines of a version's only file.

    ``numbers``: of all lines. Both ascend. The first lines are read with them, because these tell the format. Raises
    DataError as ``parse_data``.
    """
    chosen = np.union1d(numbers[:FIRST_ROWS], wanted)
    with tempfile.TemporaryDirectory(prefix="entropylaw-") as folder:
        some = Path(folder) / "lines.jsonl"
        with some.open("wb") as handle:
            copy_lines(path, chosen, handle)
        try:
            return _parse(file.name, some, reading, progress, chosen, np.isin(chosen, wanted))
        except DataError as error:
            if error.path != str(some):
                raise
            line = None if error.line is None else int(chosen[error.line - 1])
            raise DataError(file.name, error.cause, line, error.unit) from None


def _parse(
    name: str,
    path: Path,
    reading: Reading,
    progress: Progress,
    numbers: NDArray[np.int64] | None,
    is_wanted: NDArray[np.bool_] | None,
) -> ParsedRows:
    """``numbers``: of the rows of this file in the version, and ``is_wanted``: which of them are; None: as they are."""
    params = read_section(PrepareParams, "prepare")
    left_out: Counter[str] = Counter()
    waiting: dict[int, Row] = {}
    longest = array("q")
    verbatim = True

    def wanted(number: int) -> bool:
        return is_wanted is None or bool(is_wanted[number - 1])

    def count_bad(bad: BadRow) -> None:
        left_out[bad.reason] += wanted(bad.number)

    def read() -> Iterator[tuple[int, Row]]:
        for number, row in read_rows(path, params.max_row_bytes, bad_rows=count_bad):
            waiting[number] = row
            yield number, row

    def keep_usable() -> Iterator[HashedRecord]:
        nonlocal verbatim
        for parsed in count_rows(parsed_rows, progress):
            raw = waiting.pop(parsed.number)
            if not wanted(parsed.number):
                continue
            decision = decide_record(parsed.record, params)
            if decision.reason is not None:
                left_out[decision.reason] += 1
                continue
            text = find_longest(parsed.record)
            longest.append(hash(text))
            verbatim = verbatim and (numbers is None or text in list_strings(raw))
            number = parsed.number if numbers is None else int(numbers[parsed.number - 1])
            yield HashedRecord(replace(parsed.record, row=number), decision.hash)

    rows = read()
    first = list(islice(rows, 1))
    parsed = parse_rows(chain(first, rows), path, reading, None, count_bad)
    parsed_rows = parsed.rows
    stored = store_rows(keep_usable(), name)
    found = {reason: count for reason, count in sorted(left_out.items()) if count}
    return ParsedRows(stored, kind_of(parsed.format), found, np.array(longest, dtype=np.int64), verbatim)


def find_longest(record: Record) -> str:
    """The longest content of a message."""
    return max((message.content for _, message in record.turns()), key=len, default="")


def list_strings(value: Any) -> list[str]:
    """All texts in a value as JSON has it, but for the keys of objects, in no certain order.

    >>> sorted(list_strings({"a": ["x", {"b": "y"}], "c": 1}))
    ['x', 'y']
    """
    found, waiting = [], [value]
    while waiting:
        item = waiting.pop()
        if type(item) is str:
            found.append(item)
        elif type(item) is dict:
            waiting += item.values()
        elif type(item) is list:
            waiting += item
    return found
