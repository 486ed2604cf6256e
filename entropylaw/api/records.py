"""From a data file to the rows that are measured."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from corpus import prepare
from corpus.dropped_rows import DroppedRows
from corpus.errors import EntropylawError
from corpus.files import read_rows
from corpus.formats import Reading, parse_rows
from corpus.prepare import DroppedRow, PrepareParams
from corpus.records import HashedRecord, Record, content_hash


@dataclass(frozen=True)
class PreparedRecords:
    """``rows``: the usable records, each with its content hash, in file order. ``dropped``: the others, with why."""

    rows: tuple[HashedRecord, ...] = field(repr=False)
    dropped: tuple[DroppedRow, ...]


def read_records(
    path: str | Path, params: PrepareParams | None = None, columns: Mapping[str, str] | None = None
) -> Iterator[Record]:
    """The training records of a data file, one after the other; memory does not grow with the file.

    ``path`` may be a file, a folder, a pattern or a dataset on the Hub: JSON, CSV, TSV, parquet or Arrow, in any of the
    formats that the README lists.
    ``params``: its ``format``, which by default is recognised from the rows, ``ignore_keys``, and ``max_row_bytes``,
    the largest size of one row. ``columns``: our name of a column, and the one that it has in the file. A record's
    ``row`` is its number in the file, from 1.

    A row that is no training record is left out. When the last row is read, warnings say how many there were, and
    which keys were not read. Raises DataError, which names the file, the rows and the cause, for a file that is
    missing, empty, damaged or cannot be read as a whole, and when more than ``params.max_dropped_share`` of its rows
    are no records.

    >>> import entropylaw, json, pathlib, tempfile
    >>> row = {"instruction": "Say hello.", "output": "Hello!"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "data.jsonl"
    ...     _ = file.write_text(json.dumps(row))
    ...     [record] = entropylaw.read_records(file)
    >>> [(message.role, message.content) for message in record.messages]
    [('user', 'Say hello.'), ('assistant', 'Hello!')]
    """
    params = params or PrepareParams()
    try:
        reading = Reading(params.format, columns or {}, params.ignore_keys)
    except ValueError as error:
        raise EntropylawError(f"read_records: {error}") from None
    return _read(path, params, reading)


def _read(path: str | Path, params: PrepareParams, reading: Reading) -> Iterator[Record]:
    read, dropped = 0, DroppedRows()
    rows = read_rows(path, params.max_row_bytes, bad_rows=dropped.add_bad_row)
    parsed = parse_rows(rows, path, reading, bad_rows=dropped.add_bad_row)
    for row in parsed.rows:
        read += 1
        yield row.record
    total = read + dropped.counts.total()
    prepare.require_usable(path, total, dropped.counts, dropped.in_order(), params.max_dropped_share)
    if dropped.counts:
        counts = ", ".join(f"{count} {reason}" for reason, count in dropped.sorted_counts().items())
        warnings.warn(f"{path}: rows left out: {counts}", stacklevel=2)
    if unread := parsed.keys.unread:
        counts = ", ".join(f"{key} ({count} rows)" for key, count in sorted(unread.items()))
        warnings.warn(f"{path}: keys that are not read: {counts}", stacklevel=2)


def prepare_records(
    records: Iterable[Record], params: PrepareParams | None = None, held_out: Iterable[Record] = ()
) -> PreparedRecords:
    """Leave out what cannot be trained on, and give each other record the hash by which it is known again.

    Left out are rows with an empty answer, rows longer than ``params.max_characters``, and the rows of ``held_out``:
    records that training must not see, recognised by their contents.

    Raises DataError when more than ``params.max_dropped_share`` of the records are unusable, and when none is left.

    >>> from entropylaw import Conversation, Message, PrepareParams, prepare_records
    >>> answers = ["Hello!", " "]
    >>> records = [
    ...     Conversation((Message("user", "Hi"), Message("assistant", answer)), row=number)
    ...     for number, answer in enumerate(answers, start=1)
    ... ]
    >>> prepared = prepare_records(records, PrepareParams(max_dropped_share=0.5))
    >>> [record.row for record, hash in prepared.rows]
    [1]
    >>> [(row.row, row.reason) for row in prepared.dropped]
    [(2, 'empty answer')]
    """
    params = params or PrepareParams()
    rows, dropped = [], []
    hashes = frozenset(content_hash(record) for record in held_out)
    for decision in prepare.prepare_records(records, params, hashes):
        if decision.reason is None:
            rows.append(HashedRecord(decision.record, decision.hash))
        else:
            dropped.append(DroppedRow(decision.record.row, decision.reason))
    counts: Counter[str] = Counter(row.reason for row in dropped)
    prepare.require_usable("records", len(rows) + len(dropped), counts, dropped, params.max_dropped_share)
    return PreparedRecords(tuple(rows), tuple(dropped))
