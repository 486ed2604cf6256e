"""Writes rows to a file of any kind, and copies some rows of a dataset into one."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, cast

from corpus.artifacts import atomic_writer
from corpus.errors import DataError
from corpus.files.arrow_tables import write_arrow, write_parquet
from corpus.files.hub import is_hub_name
from corpus.files.json_text import JSON_ENCODER
from corpus.files.locating import row_error
from corpus.files.reading import read_rows
from corpus.files.row import MAX_ROW_BYTES, BadRows, Row, json_type
from corpus.files.several import Source, list_files
from corpus.files.suffixes import file_suffix, split_compression

# As the command `zstd` does unless told otherwise.
_ZSTD_LEVEL = 3


def write_rows(path: str | Path, rows: Iterable[Row], like: str | Path | None = None) -> None:
    """Write rows in the type that the suffix of ``path`` names, whole or not at all.

    A parquet or Arrow file takes the schema of the table ``like``, or one inferred from the rows. Equal rows give equal
    bytes. Raises DataError for another suffix, or for values that the type cannot hold.
    """
    target = Path(path)
    name, compression = split_compression(file_suffix(target))
    with atomic_writer(target, "wb") as handle:
        if name in (".parquet", ".arrow"):
            write = write_parquet if name == ".parquet" else write_arrow
            write(handle, target, rows, None if like is None else Path(like))
        elif compression == ".gz":
            # Without a name and a time in its header, equal content gives equal gzip bytes.
            with gzip.GzipFile("", "wb", fileobj=handle, mtime=0) as compressed:
                _write_text(cast(IO[bytes], compressed), target, name, rows)
        elif compression == ".zst":
            import zstandard

            with zstandard.ZstdCompressor(_ZSTD_LEVEL, write_checksum=True).stream_writer(
                handle, closefd=False
            ) as compressed:
                _write_text(cast(IO[bytes], compressed), target, name, rows)
        else:
            _write_text(handle, target, name, rows)


def copy_rows(
    source: Source,
    target: str | Path,
    numbers: Sequence[int],
    max_row_bytes: int = MAX_ROW_BYTES,
    bad_rows: BadRows | None = None,
) -> None:
    """Write the rows of ``source`` with these numbers, in this order, with all their fields, to the file ``target``.

    Only the copied rows are held in memory. Raises DataError as ``read_rows`` does, and for a number without a row.
    """
    wanted = set(numbers)
    found = {number: row for number, row in read_rows(source, max_row_bytes, bad_rows) if number in wanted}
    if missing := wanted - found.keys():
        raise row_error(source, "no such row", min(missing))
    like = None if is_hub_name(source) else list_files(source)[0]
    write_rows(target, (found[number] for number in numbers), like=like)


def _write_text(handle: IO[bytes], path: Path, name: str, rows: Iterable[Row]) -> None:
    if name in (".csv", ".tsv"):
        _write_table(handle, path, rows, "," if name == ".csv" else "\t")
    else:
        _write_json(handle, path, rows, name != ".json")


def _write_json(handle: IO[bytes], path: Path, rows: Iterable[Row], lines: bool) -> None:
    if not lines:
        handle.write(b"[")
    for number, row in enumerate(rows, start=1):
        try:
            text = JSON_ENCODER.encode(row).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise DataError(path, f"cannot be written as JSON: {error}", number, "line" if lines else "row") from None
        if lines:
            handle.write(text + b"\n")
        else:
            handle.write((b",\n" if number > 1 else b"\n") + text)
    if not lines:
        handle.write(b"\n]\n")


def _write_table(handle: IO[bytes], path: Path, rows: Iterable[Row], delimiter: str) -> None:
    """Texts, and nothing but texts: what else a cell held would be read back as another value."""
    objects = list(rows)
    names = list(dict.fromkeys(name for row in objects for name in row))
    text = io.TextIOWrapper(handle, encoding="utf-8", newline="", write_through=True)
    # All in quotes: the library leaves a cell bare that holds a line break of another system.
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(names)
    for number, row in enumerate(objects, start=1):
        for name in names:
            if not isinstance(row.get(name), str | None):
                cause = f"cannot be written as a table: {name!r} is {json_type(row[name])}; use .jsonl or .parquet"
                raise DataError(path, cause, number, "row")
        writer.writerow([row.get(name) for name in names])
    text.detach()
