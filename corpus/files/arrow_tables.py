"""Parquet and Arrow: tables with typed columns, read in batches that are small beside the file."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from corpus.errors import BadRow, DataError
from corpus.files.contents import UnpackedBytes
from corpus.files.json_text import DEEP, MAX_DEPTH
from corpus.files.kinds import tell_kind
from corpus.files.row import NO_PYTHON_VALUE, TOO_LONG, BadRows, NumberedRows, Row, count_characters, report_bad_row
from corpus.files.zstd_contents import DamagedData

# More at once are not read faster.
_BATCH_ROWS = 64
# A batch takes at most so much, even where each of its rows is as large as a row of its group can be.
_BATCH_BYTES = 2**28
# A table stores a text once that every row has, such as a long system prompt, and unpacks to any multiple of its size.
# So of a row only this much counts, for a table may say in one number that a million of them hold nothing; ...
_ROW_BYTES = 2**9
# ... and all of a row that is longer than any model reads.
_LONG_ROW = 2**20
_ARROW_FILE_MAGIC = b"ARROW1"


def read_parquet(path: Path, max_row_bytes: int, bad_rows: BadRows | None) -> NumberedRows:
    """The rows by their positions; one row group is held at a time."""
    import pyarrow.parquet

    def read_batches() -> Iterator[Any]:
        # pre_buffer would hold the whole file.
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            _require_plain_schema(file.schema_arrow, path)
            for group in range(file.num_row_groups):
                # Not the sizes of its columns: to ask a damaged file for them ends the process.
                rows = _rows_at_once(file.metadata.row_group(group).total_byte_size)
                yield from file.iter_batches(rows, row_groups=[group])

    return _read_batches(read_batches(), path, "parquet", max_row_bytes, bad_rows)


def read_arrow(path: Path, max_row_bytes: int, bad_rows: BadRows | None) -> NumberedRows:
    """The rows by their positions. Arrow has two layouts: a stream, which `datasets` writes, and a file (Feather)."""
    import pyarrow.ipc

    def read_batches() -> Iterator[Any]:
        # Not mapped into memory: a mapped file that is cut short while it is read ends the process.
        with pyarrow.OSFile(str(path)) as source:
            if _is_arrow_file(path):
                with pyarrow.ipc.open_file(source) as reader:
                    _require_plain_schema(reader.schema, path)
                    for index in range(reader.num_record_batches):
                        yield check(reader.get_batch(index))
                return
            with pyarrow.ipc.open_stream(source) as reader:
                _require_plain_schema(reader.schema, path)
                yield from map(check, reader)
            if source.tell() < source.size():
                raise DataError(path, "holds more behind the end of its table; two files put together? name them both")

    def check(batch: Any) -> Any:
        # The library trusts the file's offsets, and a wrong one would have it read beyond its own memory.
        batch.validate(full=True)
        return batch

    return _read_batches(read_batches(), path, "Arrow", max_row_bytes, bad_rows)


def _rows_at_once(group_bytes: int) -> int:
    """How many rows of a row group of so many unpacked bytes are read at once. Few of a large one: where a column
    stores each long value once and names it by a number, every row may hold a value of nearly that size.
    """
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, group_bytes)))


def _require_plain_schema(schema: Any, path: Path) -> None:
    """Raise DataError for columns that no row can hold: two of one name, or one nested too deeply."""
    if twice := [name for name, count in Counter(schema.names).items() if count > 1]:
        raise DataError(path, f"has two columns named {twice[0][:60]!r}; give each a name of its own")
    for field in schema:
        level = [field.type]
        for _ in range(MAX_DEPTH):
            level = [kind.field(index).type for kind in level for index in range(kind.num_fields)]
        if level:
            raise DataError(path, f"column {field.name[:60]!r}: {DEEP}")


def _read_batches(
    batches: Iterable[Any], path: Path, kind: str, max_row_bytes: int, bad_rows: BadRows | None
) -> NumberedRows:
    number = 0
    with _table_errors(path, kind, lambda: number + 1):
        unpacked = UnpackedBytes(path, "write it as JSON Lines")
        for batch in batches:
            # Row by row, although whole batches convert faster: an error then belongs to one row.
            for index in range(batch.num_rows):
                part = batch.slice(index, 1)
                number += 1
                if batch.nbytes > max_row_bytes and part.nbytes > max_row_bytes:
                    cause = f"longer than {max_row_bytes:,} bytes"
                    report_bad_row(path, "row", BadRow(number, TOO_LONG, cause), bad_rows)
                    continue
                try:
                    [row] = part.to_pylist()
                except UnicodeDecodeError:
                    raise DataError(path, "invalid UTF-8", number, "row") from None
                except (ValueError, OverflowError, LookupError) as error:  # such as a time zone that nobody knows
                    bad = BadRow(number, NO_PYTHON_VALUE, _name_bad_column(part, error))
                    report_bad_row(path, "row", bad, bad_rows)
                    continue
                characters = count_characters(row)
                unpacked.add(_ROW_BYTES + (characters if characters > _LONG_ROW else 0))
                yield number, row
    return number


def _name_bad_column(row: Any, error: Exception) -> str:
    """What is wrong with a row of which a value has no counterpart in Python, such as a date in the year 12000."""
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            column.to_pylist()
        except (ValueError, OverflowError, LookupError) as found:
            return f"column {name[:60]!r} holds a {str(column.type)[:60]} that cannot be read: {found}"
    return f"a value cannot be read: {error}"


@contextlib.contextmanager
def _table_errors(path: Path, kind: str, row: Callable[[], int | None] = lambda: None) -> Iterator[None]:
    """Turn what pyarrow raises for a damaged table into the DataError that names the file and the ``row``."""
    import pyarrow

    try:
        yield
    except DamagedData as error:
        raise DataError(path, str(error), row(), "row") from None
    except UnicodeDecodeError:  # the name of a column
        raise DataError(path, "invalid UTF-8", row(), "row") from None
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(path, f"not {kind}, or damaged: {error}", row(), "row") from None


def count_parquet_rows(path: Path) -> int:
    """The number of rows, by the file's own notes. Raises DataError."""
    import pyarrow.parquet

    with _table_errors(path, "parquet"):
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
        with _table_errors(path, "parquet"):
            return pyarrow.parquet.read_schema(path)
    if form == "arrow":
        with _table_errors(path, "Arrow"), pyarrow.OSFile(str(path)) as source:
            return (pyarrow.ipc.open_file if _is_arrow_file(path) else pyarrow.ipc.open_stream)(source).schema
    return None


def _is_arrow_file(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(len(_ARROW_FILE_MAGIC)) == _ARROW_FILE_MAGIC
