"""The rows of a data file as every command reads them: usable ones, each with its content hash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.errors import BadRow, DataError
from corpus.params import read_section
from corpus.records import HashedRecord, Record
from entropylaw.printing import note

if TYPE_CHECKING:
    from corpus.formats import Kind, Reading
    from corpus.prepare import Decision, PrepareParams
    from corpus.stored_rows import StoredRows

# So many keys a line on the console names; prepare.json has up to 1,000.
_TOLD = 12


def load_rows(path: Path, held_out: Path | None = None) -> list[HashedRecord]:
    """The usable records of a data file, with their content hashes. Raises DataError as ``keep_usable`` does."""
    return list(stream_rows(path, held_out))


def open_rows(path: Path, held_out: Path | None = None) -> StoredRows:
    """The same as a sequence that is not in memory. A prepared file is read in its place, if no row is to be left out;
    the rows of any other are first written to a temporary file.
    """
    from corpus.stored_rows import StoredRows, store_rows

    if held_out is None and is_prepared(path):
        return StoredRows(path)
    return store_rows(stream_rows(path, held_out), path)


def is_prepared(path: Path) -> bool:
    """Whether a file is one that `prepare` wrote; its first row speaks for all."""
    from corpus.prepared_rows import read_prepared

    # What is no file can be read only once, if it is there at all.
    if not path.is_file():
        return False
    try:
        next(read_prepared(path))
    except DataError:
        return False
    return True


def stream_records(path: Path) -> Iterator[Record]:
    """The usable records of a data file, one at a time. Raises DataError as ``keep_usable`` does."""
    from corpus.prepared_rows import read_prepared

    return (record for record, _ in (read_prepared(path) if is_prepared(path) else stream_rows(path)))


def stream_texts(path: Path) -> Iterator[tuple[str, bytes]]:
    """The source and the canonical text, in UTF-8, of each usable record. Those of a prepared file are read directly.

    Raises DataError as ``keep_usable`` does.
    """
    from corpus.prepared_texts import read_prepared_texts
    from corpus.records import canonical_text

    if is_prepared(path):
        return read_prepared_texts(path)
    return ((record.source, canonical_text(record).encode()) for record in stream_records(path))


def stream_rows(path: Path, held_out: Path | None = None) -> Iterator[HashedRecord]:
    """The usable records of a data file, read as params.yaml says. Raises DataError as ``keep_usable`` does."""
    from corpus.prepare import PrepareParams
    from entropylaw.repository.datasets import reading_for

    params = read_section(PrepareParams, "prepare")
    return keep_usable(path, params, reading_for(path), held_out=held_out_hashes(held_out))


def keep_usable(
    path: Path,
    params: PrepareParams,
    reading: Reading,
    kind: Kind | None = None,
    held_out: frozenset[str] = frozenset(),
) -> Iterator[HashedRecord]:
    """The usable records of a data file in any format, prepared or not, with their content hashes.

    Rows that are left out are counted on stderr. Raises DataError where the stage `prepare` does: for a file that
    cannot be read as a whole, and at its end when more than ``max_dropped_share`` of the rows are unusable, or no row
    is left.
    """
    return (row for _, row in number_usable(path, params, reading, kind, held_out))


def number_usable(
    path: Path,
    params: PrepareParams,
    reading: Reading,
    kind: Kind | None = None,
    held_out: frozenset[str] = frozenset(),
) -> Iterator[tuple[int, HashedRecord]]:
    """The usable records as ``keep_usable``, with their rows' numbers in this file: a prepared record's own number is
    of the file that it was made from.
    """
    from corpus.dropped_rows import DroppedRows, require_usable

    kept, dropped = 0, DroppedRows()
    for number, decision in decide(path, params, reading, kind, held_out):
        if isinstance(decision, BadRow):
            dropped.add_bad_row(decision)
        elif decision.reason is not None:
            dropped.add(decision.record.row, decision.reason)
        else:
            kept += 1
            yield number, HashedRecord(decision.record, decision.hash)
    rows = kept + dropped.counts.total()
    require_usable(path, rows, dropped.counts, dropped.in_order(), params.max_dropped_share)
    if dropped.counts:
        counts = ", ".join(f"{count} {reason}" for reason, count in dropped.sorted_counts().items())
        note(f"{path}: rows left out: {counts}")


def decide_rows(
    path: Path, held_out: Path | None = None, reading: Reading | None = None, name: str | None = None
) -> Iterator[Decision | BadRow]:
    """All rows of a data file in any format, prepared or not; each with the reason why it is left out, if any.

    ``reading``: by default that of the dataset in params.yaml that lies there. ``name``: what the user calls the file.
    """
    from corpus.prepare import PrepareParams
    from entropylaw.repository.datasets import reading_for

    params = read_section(PrepareParams, "prepare")
    decided = decide(path, params, reading or reading_for(path), None, held_out_hashes(held_out), name)
    return (decision for _, decision in decided)


def decide(
    path: Path,
    params: PrepareParams,
    reading: Reading,
    kind: Kind | None = None,
    held_out: frozenset[str] = frozenset(),
    name: str | None = None,
) -> Iterator[tuple[int, Decision | BadRow]]:
    """All rows of a data file with their numbers, as ``decide_rows``. At the end stderr is told which keys are not
    read.
    """
    from corpus.files import read_rows
    from corpus.formats import parse_rows
    from corpus.prepare import decide_record

    bad: list[BadRow] = []
    rows = read_rows(path, params.max_row_bytes, bad_rows=bad.append)
    first = list(islice(rows, 1))
    if not first:  # damaged from the first row to the last
        yield from ((item.number, item) for item in bad)
        return
    parsed = parse_rows(chain(first, rows), path, reading, kind, bad.append)
    for row in parsed.rows:
        yield from ((item.number, item) for item in bad)
        bad.clear()
        yield row.number, decide_record(row.record, params, held_out)
    yield from ((item.number, item) for item in bad)
    tell_unread(name or path, parsed.keys.unread)


def held_out_hashes(path: Path | None) -> frozenset[str]:
    """Content hashes of the rows that training must not see; none without a file.

    They are read like the conversations of params.yaml, or, where they are prepared rows, as those.
    """
    from corpus.formats import read_records
    from corpus.prepare import PrepareParams
    from corpus.records import content_hash
    from entropylaw.repository.datasets import held_out_reading

    if path is None:
        return frozenset()
    limit = read_section(PrepareParams, "prepare").max_row_bytes
    # A row that cannot be read cannot be trained on either.
    records = read_records(path, max_row_bytes=limit, reading=held_out_reading(path), bad_rows=lambda row: None)
    return frozenset(map(content_hash, records))


def tell_unread(path: object, unread: Mapping[str, int]) -> None:
    """Say on stderr, in one line, which keys of a file hold something and were not read."""
    if not unread:
        return
    ordered = sorted(unread.items(), key=lambda item: (-item[1], item[0]))
    named = ", ".join(f"{key} ({count} row{'s' if count > 1 else ''})" for key, count in ordered[:_TOLD])
    more = f" and {len(ordered) - _TOLD} more" if len(ordered) > _TOLD else ""
    note(f"{path}: keys that are not read: {named}{more}")
