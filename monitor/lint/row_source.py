"""The rows of one file as records, one by one, and what is wrong with those that are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from corpus.errors import BadRow, DataError
from corpus.files import Row, read_rows
from corpus.formats import Format, Reading
from corpus.formats.detection import RowPlan
from corpus.formats.kinds import PREPARED
from corpus.formats.reading import RowReader
from corpus.formats.remedies import explain_unknown_format
from corpus.formats.unreadable import Unreadable, Unsupported
from corpus.prepare import PrepareParams
from corpus.records import Record
from monitor.lint.check import Hit
from monitor.lint.lint_row import Place
from monitor.lint.reading import MIXED, UNREADABLE, reason_of

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

    def __init__(
        self,
        file: int,
        path: Path,
        prepare: PrepareParams,
        report: Callable[[Hit, Place], None],
        reading: Reading | None = None,
    ) -> None:
        self.file, self.path, self.report = file, path, report
        self.rows = 0
        self._max_row_bytes = prepare.max_row_bytes
        self._reader = RowReader(reading or Reading(prepare.format, {}, prepare.ignore_keys))
        self._expected: RowPlan | None = None
        self._first: tuple[int, Row] | None = None
        self._bad: BadRow | None = None

    @property
    def format(self) -> Format:
        """The format of the first row that has one. Raises DataError where none has."""
        if self._expected is None or self._expected.format is None:
            if self._first is None:
                why = f"; row {self._bad.number}: {self._bad.detail}" if self._bad else ""
                raise DataError(self.path, f"holds no row that can be read{why}")
            raise explain_unknown_format(self.path, [self._first], self._reader.reading.columns)
        return self._expected.format

    def records(self) -> Iterator[ReadRow]:
        """Every row that is a record. Raises DataError where the file cannot be read on."""
        for number, given in read_rows(self.path, self._max_row_bytes, bad_rows=self._report_bad):
            self.rows += 1
            self._first = self._first or (number, given)
            place = Place(self.file, number)
            row = self._reader.name_columns(given)
            plan = self._choose_plan(row, place)
            try:
                record = self._reader.read(row, plan, number)
            except (Unreadable, Unsupported) as error:
                self._reader.keys.forget_row()
                self.report(Hit(UNREADABLE, NO_INDEX, reason_of(str(error))), place)
                continue
            unread = self._reader.keys.names_of_row()
            self._reader.keys.end_row()
            yield ReadRow(place, record, unread)

    def _choose_plan(self, row: Row, place: Place) -> RowPlan:
        """How the row is read. ``report`` is told where that is another format than before."""
        plan, named = self._reader.plan(row), self._reader.reading.format
        if named != "auto" and plan.format not in PREPARED:
            plan = self._reader.plan(row, named)
        before = self._expected
        if before is None or (plan.format != before.format and before.is_part_of(plan)):
            self._expected = plan if plan.format is not None else None
        elif plan.format is None or (plan.format != before.format and plan.is_part_of(before)):
            # Such as a pair whose rejected answer is null: it is one of the file's rows, and lacks something.
            return self._reader.plan(row, before.format)
        elif plan.format != before.format:
            self.report(Hit(MIXED, NO_INDEX, f"{plan.format}, not {before.format}"), place)
        return plan

    def _report_bad(self, row: BadRow) -> None:
        self.rows += 1
        self._bad = self._bad or row
        self.report(Hit(UNREADABLE, NO_INDEX, row.reason), Place(self.file, row.number))
