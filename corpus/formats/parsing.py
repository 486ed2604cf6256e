"""The rows of a file as records: all of one format, which the first rows tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from corpus.errors import BadRow, DataError
from corpus.files import MAX_ROW_BYTES, Row, count_characters, read_rows, row_error
from corpus.formats.detection import RowPlan, guess_format
from corpus.formats.keys import KeyLedger
from corpus.formats.kinds import PREPARED, Format, FormatChoice, Kind, kind_of
from corpus.formats.reading import Reading, RowReader
from corpus.formats.remedies import explain_unknown_format
from corpus.formats.unreadable import Unreadable, Unsupported
from corpus.records import Record

# So many rows are looked at before the format is decided: a bad row at the beginning must not decide for the file.
FIRST_ROWS = 100
# They are held in memory together; a hundred rows of the largest size would be gigabytes.
_FIRST_CHARACTERS = 2**22

BadRows = Callable[[BadRow], None]


@dataclass(frozen=True, slots=True)
class ParsedRow:
    """A row's number in its file, and its record."""

    number: int
    record: Record


@dataclass
class Parsed:
    """The records of a file, to be gone through once, and what is known of the file when that is done.

    ``columns``: our name of a column, and the file's, where they differ. ``keys``: which keys were not read.
    ``way``: how more rows of the file are read.
    """

    format: Format
    columns: Mapping[str, str]
    keys: KeyLedger
    way: ReadingWay
    rows: Iterator[ParsedRow] = field(repr=False)


@dataclass(frozen=True)
class ReadingWay:
    """How all rows of a file are read, once its first rows have told. It can travel to other processes.

    ``plan``: of the first rows.
    """

    reading: Reading
    plan: RowPlan

    def parse(
        self, rows: Iterable[tuple[int, Row]], path: str | Path, keys: KeyLedger, bad_rows: BadRows | None = None
    ) -> Iterator[ParsedRow]:
        """The records of later rows; ``keys`` hears of those that are not read. Raises and reports as ``parse_rows``
        does.
        """
        return _parse(rows, path, RowReader(self.reading, keys), self.plan, bad_rows)


def parse_row(row: Row, format: Format, row_number: int, path: str | Path, reading: Reading | None = None) -> Record:
    """Read one row of a known format.

    Raises DataError naming the row and the cause: a missing key, a value of the wrong type, an unknown role, a
    conversation or an answer without an assistant turn, texts that are all empty, or a key that changes training and
    is not supported.
    """
    reader = RowReader(reading or Reading())
    row = reader.name_columns(row)
    try:
        return reader.read(row, reader.plan(row, format), row_number)
    except (Unreadable, Unsupported) as error:
        raise row_error(path, str(error), row_number) from None


def parse_rows(
    rows: Iterable[tuple[int, Row]],
    path: str | Path,
    reading: Reading | None = None,
    kind: Kind | None = None,
    bad_rows: BadRows | None = None,
) -> Parsed:
    """Read numbered rows, all of one format: the one that ``reading`` names, or the one of the first rows.

    A row that is no record is passed to ``bad_rows`` and left out; without it, it is an error. Raises DataError where
    the whole file is in question: its first rows are of no known format, or of the other ``kind``; a row is of another
    format, or has what changes training and is not supported; ``reading`` names a column that is not there.
    """
    reader = RowReader(reading or Reading())
    rows = iter(rows)
    first = list(_take_first(rows))
    if not first:
        raise DataError(path, "holds no row that can be read")
    reader.require_columns(first, path)
    plan = _choose_plan([(number, reader.name_columns(row)) for number, row in first], path, reader)
    reader.keys.forget_row()
    format = plan.format
    assert format is not None
    if kind is not None and kind != kind_of(format):
        raise DataError(path, f"holds {kind_of(format)} (format {format}); {kind} are expected here{_hint(format)}")
    columns = {**reader.reading.columns, **plan.renamed}
    parsed = _parse(chain(first, rows), path, reader, plan, bad_rows)
    return Parsed(format, columns, reader.keys, ReadingWay(reader.reading, plan), parsed)


def _take_first(rows: Iterable[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
    """The rows that are looked at before the format is decided: FIRST_ROWS, or fewer where they are long."""
    held = 0
    for number, row in islice(rows, FIRST_ROWS):
        yield number, row
        held += count_characters(row)
        if held > _FIRST_CHARACTERS:
            return


def read_records(
    path: str | Path,
    format: FormatChoice = "auto",
    kind: Kind | None = None,
    max_row_bytes: int = MAX_ROW_BYTES,
    reading: Reading | None = None,
    bad_rows: BadRows | None = None,
) -> Iterator[Record]:
    """Stream the records of a data file.

    ``Record.row`` is the row's number in this file; a prepared row keeps the number it had in the file it came from.

    Raises DataError as ``read_rows`` and ``parse_rows`` do.
    """
    rows = read_rows(path, max_row_bytes, bad_rows=bad_rows)
    parsed = parse_rows(rows, path, reading or Reading(format), kind, bad_rows)
    return (row.record for row in parsed.rows)


def _choose_plan(rows: Sequence[tuple[int, Row]], path: str | Path, reader: RowReader) -> RowPlan:
    """The plan that all of the first rows can be read by.

    Where some lack a column that others have, such as a rejected answer that is null in the first rows, the fuller ones
    decide.
    """
    named = None if reader.reading.format == "auto" else reader.reading.format
    found: dict[Format, tuple[RowPlan, int]] = {}
    for number, row in rows:
        plan = reader.plan(row)
        # The format set in params.yaml is that of the raw data; the stages after `prepare` read prepared rows.
        if named and plan.format not in PREPARED:
            plan = reader.plan(row, named)
        if plan.format is not None:
            found.setdefault(plan.format, (plan, number))
    if not found:
        for _, row in rows:
            if guessed := guess_format(row):
                return reader.plan(row, guessed)
        raise explain_unknown_format(path, rows, reader.reading.columns)
    for plan, _ in found.values():
        if all(other is plan or other.is_part_of(plan) for other, _ in found.values()):
            return plan
    (first, _), (second, after), *_ = sorted(found.values(), key=lambda item: item[1])
    raise _mixed(path, after, second, first)


def _parse(
    rows: Iterable[tuple[int, Row]], path: str | Path, reader: RowReader, expected: RowPlan, bad_rows: BadRows | None
) -> Iterator[ParsedRow]:
    named = reader.reading.format != "auto"
    format = expected.format
    for number, given in rows:
        row = reader.name_columns(given)
        plan = reader.plan(row)
        if plan.format != format:
            if not (plan.format is None or named or plan.is_part_of(expected)) or plan.format in PREPARED:
                raise _mixed(path, number, plan, expected)
            plan = reader.plan(row, format)
        try:
            record = reader.read(row, plan, number)
        except Unsupported as error:
            raise row_error(path, str(error), number) from None
        except Unreadable as error:
            reader.keys.end_row(kept=False)
            if bad_rows is None:
                raise row_error(path, error.detail, number) from None
            bad_rows(BadRow(number, error.reason, error.detail))
            continue
        reader.keys.end_row()
        yield ParsedRow(number, record)


def _mixed(path: str | Path, number: int, found: RowPlan, expected: RowPlan) -> DataError:
    cause = (
        f"mixed formats: this row is {found.format}, those before are {expected.format}; split the file, or name the "
        "keys that are not to be read in prepare.ignore_keys"
    )
    return row_error(path, cause, number)


def _hint(format: Format) -> str:
    if format == "unpaired":
        return "; if the label says nothing about the answer, name its key in prepare.ignore_keys"
    return ""
