"""Parquet and Arrow: tables with typed columns, read in batches that are small beside the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from corpus.errors import BadRow, DataError
from corpus.files.kinds import tell_kind
from corpus.files.row import TOO_LONG, BadRows, NumberedRows, Row, report_bad_row

_BATCH_ROWS = 256
_ARROW_FILE_MAGIC = b"ARROW1"


def read_parquet(path: Path, max_row_bytes: int, bad_rows: BadRows | None) -> NumberedRows:
    """The rows by their positions; one row group is held at a time."""
    import pyarrow.parquet

    def read_batches() -> Iterator[Any]:
        # pre_buffer would hold the whole file.
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            yield from file.iter_batches(_BATCH_ROWS)

    return _read_batches(read_batches(), path, "parquet", max_row_bytes, bad_rows)


def read_arrow(path: Path, max_row_bytes: int, bad_rows: BadRows | None) -> NumberedRows:
    """The rows by their positions. Arrow has two layouts: a stream, which `datasets` writes, and a file (Feather)."""
    import pyarrow.ipc

    def read_batches() -> Iterator[Any]:
        with pyarrow.memory_map(str(path)) as source:
            if _is_arrow_file(path):
                with pyarrow.ipc.open_file(source) as reader:
                    for index in range(reader.num_record_batches):
                        yield reader.get_batch(index)
            else:
                with pyarrow.ipc.open_stream(source) as reader:
                    yield from reader

    return _read_batches(read_batches(), path, "Arrow", max_row_bytes, bad_rows)


def _read_batches(
    batches: Iterable[Any], path: Path, kind: str, max_row_bytes: int, bad_rows: BadRows | None
) -> NumberedRows:
    import pyarrow

    number = 0
    try:
        for batch in batches:
            # Row by row, although whole batches convert faster: an error then belongs to one row.
            for index in range(batch.num_rows):
                part = batch.slice(index, 1)
                number += 1
                if batch.nbytes > max_row_bytes and part.nbytes > max_row_bytes:
                    cause = f"longer than {max_row_bytes:,} bytes"
                    report_bad_row(path, "row", BadRow(number, TOO_LONG, cause), bad_rows)
                    continue
                [row] = part.to_pylist()
                yield number, row
    except UnicodeDecodeError:
        raise DataError(path, "invalid UTF-8", number or 1, "row") from None
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(path, f"not {kind}, or damaged: {error}", number + 1, "row") from None
    return number


def count_parquet_rows(path: Path) -> int:
    """The number of rows, from the file's own notes."""
    import pyarrow.parquet

    return int(pyarrow.parquet.read_metadata(path).num_rows)


def write_parquet(handle: IO[bytes], path: Path, rows: Iterable[Row], like: Path | None) -> None:
    """Write rows with the schema of the table ``like``, or one inferred from the rows. Raises DataError."""
    import pyarrow
    import pyarrow.parquet

    table = _make_table(path, rows, like)
    try:
        pyarrow.parquet.write_table(table, handle, write_page_checksum=True)
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(path, f"cannot be written as parquet: {error}") from None


def write_arrow(handle: IO[bytes], path: Path, rows: Iterable[Row], like: Path | None) -> None:
    """Write rows as a stream, with a schema as ``write_parquet`` has it. Raises DataError."""
    import pyarrow.ipc

    table = _make_table(path, rows, like)
    with pyarrow.ipc.new_stream(handle, table.schema) as writer:
        writer.write_table(table, max_chunksize=_BATCH_ROWS)


def _make_table(path: Path, rows: Iterable[Row], like: Path | None) -> Any:
    import pyarrow

    objects = list(rows)
    try:
        schema = None if like is None else _read_schema(like)
        if schema is not None:
            return pyarrow.Table.from_pylist(objects, schema=schema)
        # Through a struct array, because from_pylist takes its columns from the first row alone.
        return pyarrow.Table.from_struct_array(pyarrow.array(objects))
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(path, f"cannot be written as {path.suffix.lower()[1:]}: {error}") from None


def _read_schema(path: Path) -> Any:
    """The schema of a table; None for a file of another kind."""
    import pyarrow.ipc
    import pyarrow.parquet

    form = tell_kind(path).form
    if form == "parquet":
        return pyarrow.parquet.read_schema(path)
    if form == "arrow":
        with pyarrow.memory_map(str(path)) as source:
            return (pyarrow.ipc.open_file if _is_arrow_file(path) else pyarrow.ipc.open_stream)(source).schema
    return None


def _is_arrow_file(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(len(_ARROW_FILE_MAGIC)) == _ARROW_FILE_MAGIC
