"""The rows of one file as records, one by one, and what is wrong with those that are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from corpus.errors import DataError
from corpus.files import Row, read_rows, row_error
from corpus.formats import ACCEPTED_KEYS, Format, detect_format, parse_row
from corpus.prepare import PrepareParams
from corpus.records import Record
from monitor.lint.check import Hit
from monitor.lint.lint_row import Place
from monitor.lint.reading import MIXED, UNREADABLE, reason_of
from monitor.lint.unread_keys import find_unread_keys

# No row has this index: the row could not be read.
NO_INDEX = -1


class ReadRow(NamedTuple):
    """A row that could be read: its place, its record, and the keys that were not read."""

    place: Place
    record: Record
    unread_keys: tuple[str, ...]


class RowSource:
    """One file. ``report`` is told of every row that is no record; those are left out, and counted in ``rows``.

    Unlike `prepare`, which refuses a file of mixed formats, it reads each row in the format that it is in, so that all
    that is wrong with a file is seen at once.
    """

    def __init__(self, file: int, path: Path, reading: PrepareParams, report: Callable[[Hit, Place], None]) -> None:
        self.file, self.path, self.reading, self.report = file, path, reading, report
        self.rows = 0
        self._format: Format | None = None if reading.format == "auto" else reading.format

    @property
    def format(self) -> Format:
        """The format of the first row that has one. Raises DataError where none has."""
        if self._format is None:
            cause = f"no row has the keys of a known format; accepted are {'; '.join(ACCEPTED_KEYS)}"
            raise row_error(self.path, cause, 1)
        return self._format

    def records(self) -> Iterator[ReadRow]:
        """Every row that is a record. Raises DataError where the file cannot be read on."""
        for number, row in read_rows(self.path, self.reading.max_row_bytes):
            self.rows += 1
            place = Place(self.file, number)
            found = detect_format(row) if self.reading.format == "auto" else self.reading.format
            self._format = self._format or found
            if self._format is None:
                self.report(Hit(UNREADABLE, NO_INDEX, "no known format has its keys"), place)
                continue
            if found not in (None, self._format):
                self.report(Hit(MIXED, NO_INDEX, f"{found}, not {self._format}"), place)
            if record := self._parse(row, found or self._format, place):
                yield record

    def _parse(self, row: Row, format: Format, place: Place) -> ReadRow | None:
        try:
            record = parse_row(row, format, place.row, self.path)
        except DataError as error:
            self.report(Hit(UNREADABLE, NO_INDEX, reason_of(error.cause)), place)
            return None
        return ReadRow(place, record, tuple(find_unread_keys(row, format)))
