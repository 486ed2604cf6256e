"""Writes a data file again without some of its rows, or with other rows in their place; all else stays as it was."""

from __future__ import annotations

import gzip
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, cast

from corpus.artifacts import atomic_writer
from corpus.errors import BadRow, DataError
from corpus.files.contents import BYTE_ORDER_MARK, READING_ERRORS, Compression, open_contents, reading_error
from corpus.files.json_text import JSON_DECODER, JSON_ENCODER
from corpus.files.kinds import tell_kind
from corpus.files.reading import read_rows
from corpus.files.row import MAX_ROW_BYTES, Row
from corpus.files.writing import write_rows

# A row as it stands in its file: of JSON lines the line itself, without its end, of any other file its fields.
StoredRow = bytes | Row


def read_stored(file: Path, numbers: Collection[int], max_row_bytes: int = MAX_ROW_BYTES) -> dict[int, StoredRow]:
    """The rows with these numbers as they stand in a file. Raises DataError where one is not there."""
    found: dict[int, StoredRow] = {}
    wanted = set(numbers)
    if tell_kind(file).form == "json lines":
        found = {number: line.rstrip(b"\r\n") for number, line in _read_lines(file) if number in wanted}
    else:
        found = {number: row for number, row in read_rows(file, max_row_bytes, _pass_over) if number in wanted}
    if missing := wanted - found.keys():
        raise DataError(file, "no such row", min(missing), tell_kind(file).unit)
    return found


def write_changed(
    file: Path,
    target: Path,
    dropped: Collection[int],
    replaced: Mapping[int, StoredRow],
    max_row_bytes: int = MAX_ROW_BYTES,
) -> None:
    """Write ``file`` to ``target`` without the ``dropped`` rows and with others in the place of ``replaced`` ones.

    Rows are named by their numbers in the file. Of JSON lines every other line keeps its bytes. Files of another kind
    are written anew with the same rows, in the type that the suffix of ``target`` names. Raises DataError as
    ``read_rows`` does, where nothing is left, and where a file that is no JSON lines has rows that cannot be read: they
    would be lost.
    """
    without = frozenset(dropped)
    kind = tell_kind(file)
    if kind.form == "json lines" and not _changes_type(file, target):
        with atomic_writer(target, "wb") as handle:
            _write_lines(handle, file, without, replaced, kind.compression)
        return

    def refuse(bad: BadRow) -> None:
        cause = f"cannot be read ({bad.reason}), so it cannot be written again; mend or delete it first"
        raise DataError(file, cause, bad.number, kind.unit)

    rows = (
        _as_row(replaced[number]) if number in replaced else row
        for number, row in read_rows(file, max_row_bytes, refuse)
        if number not in without
    )
    write_rows(target, rows, like=file)


def show_stored(row: StoredRow) -> str:
    """A row in one line of text, as a reviewer reads it."""
    return row.decode("utf-8", "replace") if isinstance(row, bytes) else JSON_ENCODER.encode(row)


def _changes_type(file: Path, target: Path) -> bool:
    return file.suffixes[-2:] != target.suffixes[-2:] and file.suffix != target.suffix


def _write_lines(
    handle: IO[bytes], file: Path, dropped: frozenset[int], replaced: Mapping[int, StoredRow], compression: Compression
) -> None:
    lines = _change_lines(file, dropped, replaced)
    if compression == "gzip":
        # Without a name and a time in its header, equal content gives equal gzip bytes.
        with gzip.GzipFile("", "wb", fileobj=handle, mtime=0) as packed:
            packed.writelines(lines)
    elif compression == "zstd":
        import zstandard

        with zstandard.ZstdCompressor(write_checksum=True).stream_writer(handle, closefd=False) as writer:
            for line in lines:
                cast(IO[bytes], writer).write(line)
    else:
        handle.writelines(lines)


def _change_lines(file: Path, dropped: frozenset[int], replaced: Mapping[int, StoredRow]) -> Iterator[bytes]:
    written = False
    for number, line in _read_lines(file):
        if number in dropped:
            continue
        written = True
        if number not in replaced:
            yield line
            continue
        row = replaced[number]
        text = row if isinstance(row, bytes) else JSON_ENCODER.encode(row).encode()
        yield text.removeprefix(BYTE_ORDER_MARK) + line[len(line.rstrip(b"\r\n")) :]
    if not written:
        raise DataError(file, "no row would be left")


def _read_lines(file: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with open_contents(file, tell_kind(file).compression) as handle:
            yield from enumerate(handle, start=1)
    except READING_ERRORS as error:
        raise reading_error(file, error, None) from None


def _as_row(row: StoredRow) -> Row:
    return cast(Row, JSON_DECODER.decode(row.decode().removeprefix("\ufeff"))) if isinstance(row, bytes) else row


def _pass_over(bad: BadRow) -> None:
    """A row that cannot be read is none that anyone asks for."""
