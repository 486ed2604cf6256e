"""Data files as numbered rows: JSON lines, a JSON array, either of them gzipped, or parquet."""

from __future__ import annotations

import gzip
import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

from corpus.artifacts import atomic_writer
from corpus.errors import BadRow, DataError

Row = dict[str, Any]

SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet")
# Far above any real conversation, far below what an export that lost its line breaks amounts to.
MAX_ROW_BYTES = 32 * 2**20
PARQUET_BATCH_ROWS = 256

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_JSON_SPACE = re.compile(r"[ \t\r\n]*")
# A regular expression finds this four times as fast as `in` does.
_HALF_ESCAPED = re.compile(r"\\u[dD]")


def read_rows(
    path: str | Path, max_row_bytes: int = MAX_ROW_BYTES, bad_rows: Callable[[BadRow], None] | None = None
) -> Iterator[tuple[int, Row]]:
    """The rows of a data file with their 1-based numbers, in file order.

    A row's number is its line in JSON lines (blank lines are skipped, yet counted) and its position in a JSON array or
    a parquet file. A JSON array is held in memory as a whole, a parquet file one row group at a time, and JSON lines
    one line at a time.

    A row that is no object is passed to ``bad_rows`` where that is given, and skipped.

    Raises DataError, naming the file, the row and the cause, at the first row that is not one JSON object of at most
    ``max_row_bytes`` bytes of valid Unicode, and for a file that is missing, empty, damaged or of another type.
    """
    suffix = file_suffix(path)
    _require_content(path)
    if suffix == ".parquet":
        rows: Iterator[tuple[int, Any]] = _read_parquet(path, max_row_bytes)
    elif _holds_lines(path):
        rows = _read_lines(path, max_row_bytes)
    else:
        rows = _read_array(path, max_row_bytes)
    number = 0
    for number, row in rows:
        if not isinstance(row, dict):
            detail = f"expected a JSON object, found {json_type(row)}"
            if bad_rows is None:
                raise row_error(path, detail, number)
            bad_rows(BadRow(number, "not an object", detail))
            continue
        yield number, row
    if number == 0:
        raise DataError(path, "holds no rows")


def write_rows(path: str | Path, rows: Iterable[Row], like: str | Path | None = None) -> None:
    """Write rows in the type that the suffix of ``path`` names, whole or not at all.

    A parquet file takes the schema of ``like``, or one inferred from the rows. Equal rows give equal bytes.
    Raises DataError for another suffix, or for values that the type cannot hold.
    """
    suffix = file_suffix(path)
    with atomic_writer(path, "wb") as handle:
        if suffix == ".parquet":
            _write_parquet(handle, path, rows, like)
        elif suffix.endswith(".gz"):
            # Without a name and a time in its header, equal content gives equal gzip bytes.
            with gzip.GzipFile("", "wb", fileobj=handle, mtime=0) as compressed:
                _write_json(cast(IO[bytes], compressed), path, rows)
        else:
            _write_json(handle, path, rows)


def copy_rows(
    source: str | Path, target: str | Path, numbers: Sequence[int], max_row_bytes: int = MAX_ROW_BYTES
) -> None:
    """Write the rows of ``source`` with these numbers, in this order, with all their fields, to ``target``.

    Only the copied rows are held in memory. Raises DataError as ``read_rows`` does, and for a number without a row.
    """
    wanted = set(numbers)
    found = {number: row for number, row in read_rows(source, max_row_bytes) if number in wanted}
    if missing := wanted - found.keys():
        raise row_error(source, "no such row", min(missing))
    write_rows(target, (found[number] for number in numbers), like=source)


def row_error(path: str | Path, cause: str, number: int) -> DataError:
    """The DataError for one row, which JSON lines call a line and the other file types a row."""
    return DataError(path, cause, number, "line" if _holds_lines(path) else "row")


def file_suffix(path: str | Path) -> str:
    """The suffix that names the file's type, one of SUFFIXES. Raises DataError for any other.

    >>> file_suffix("data/sft.v2.JSONL.gz")
    '.jsonl.gz'
    """
    name = Path(path).name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise DataError(path, f"unknown file type; accepted are {', '.join(SUFFIXES)}")


def json_type(value: object) -> str:
    """A value's type in the words of JSON, for messages.

    >>> json_type({"role": "user"}), json_type(None), json_type(True)
    ('an object', 'null', 'a boolean')
    """
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), f"a {type(value).__name__}")


def _holds_lines(path: str | Path) -> bool:
    return file_suffix(path).startswith(".jsonl")


def _require_content(path: str | Path) -> None:
    try:
        if Path(path).is_dir():
            raise DataError(path, "is a directory; give a data file")
        if Path(path).stat().st_size == 0:
            raise DataError(path, "is empty")
    except FileNotFoundError:
        raise DataError(path, "no such file") from None
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror}") from None


def _open(path: str | Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if file_suffix(path).endswith(".gz") else open(path, "rb")


def _reading_error(path: str | Path, error: Exception, number: int) -> DataError:
    if isinstance(error, EOFError):
        return row_error(path, "the gzip data ends early; was the file cut short?", number)
    if isinstance(error, (gzip.BadGzipFile, zlib.error)):
        return row_error(path, f"not gzip, or damaged: {error}", number)
    return row_error(path, f"cannot be read: {getattr(error, 'strerror', None) or error}", number)


def _read_lines(path: str | Path, max_row_bytes: int) -> Iterator[tuple[int, Any]]:
    number = 0
    try:
        with _open(path) as handle:
            # One byte more than the limit and the line break: an endless line is noticed without being read whole.
            while line := handle.readline(max_row_bytes + 2):
                number += 1
                if len(line.rstrip(b"\r\n")) > max_row_bytes:
                    raise row_error(path, f"longer than {max_row_bytes:,} bytes; are line breaks missing?", number)
                if number == 1:
                    line = line.removeprefix(_BYTE_ORDER_MARK)
                if not line.strip():
                    continue
                text = _decode(line, path, number)
                try:
                    value = _DECODER.decode(text)
                    _require_whole_characters(text, value, path, number)
                except (ValueError, RecursionError) as error:
                    ending = "" if line.endswith(b"\n") else "; the file ends inside this line: was it cut short?"
                    raise row_error(path, f"not JSON: {_syntax_cause(error)}{ending}", number) from None
                yield number, value
    except (OSError, EOFError, zlib.error) as error:
        raise _reading_error(path, error, number + 1) from None


def _read_array(path: str | Path, max_row_bytes: int) -> Iterator[tuple[int, Any]]:
    try:
        with _open(path) as handle:
            text = _decode(handle.read().removeprefix(_BYTE_ORDER_MARK), path, None)
    except (OSError, EOFError, zlib.error) as error:
        raise _reading_error(path, error, 1) from None
    position = _skip_space(text, 0)
    if not text.startswith("[", position):
        raise DataError(path, "expected an array of objects; a file of one object per line is named .jsonl")
    position = _skip_space(text, position + 1)
    number = 0
    while number > 0 or not text.startswith("]", position):
        number += 1
        try:
            value, end = _DECODER.raw_decode(text, position)
            _require_whole_characters(text[position:end], value, path, number)
            if len(text[position:end].encode()) > max_row_bytes:
                raise row_error(path, f"longer than {max_row_bytes:,} bytes", number)
            position = _skip_space(text, end)
            if not text.startswith((",", "]"), position):
                raise json.JSONDecodeError("Expecting ',' or ']'", text, position)
        except (ValueError, RecursionError) as error:
            ending = "" if text.rstrip().endswith("]") else "; the array has no end: was the file cut short?"
            raise row_error(path, f"not JSON: {_syntax_cause(error)}{ending}", number) from None
        yield number, value
        if text[position] == "]":
            break
        position = _skip_space(text, position + 1)
    if _skip_space(text, position + 1) != len(text):
        raise DataError(path, "not JSON: more text after the end of the array")


def _read_parquet(path: str | Path, max_row_bytes: int) -> Iterator[tuple[int, Row]]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        # pre_buffer would hold the whole file.
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            for batch in file.iter_batches(PARQUET_BATCH_ROWS):
                # Row by row, although whole batches convert faster: an error then belongs to one row.
                for index in range(batch.num_rows):
                    part = batch.slice(index, 1)
                    if batch.nbytes > max_row_bytes and part.nbytes > max_row_bytes:
                        raise row_error(path, f"longer than {max_row_bytes:,} bytes", number + 1)
                    row = part.to_pylist()[0]
                    number += 1
                    yield number, row
    except UnicodeDecodeError:
        raise row_error(path, "invalid UTF-8", number + 1) from None
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise row_error(path, f"not parquet, or damaged: {error}", number + 1) from None


def _write_json(handle: IO[bytes], path: str | Path, rows: Iterable[Row]) -> None:
    lines = _holds_lines(path)
    if not lines:
        handle.write(b"[")
    for number, row in enumerate(rows, start=1):
        try:
            text = _ENCODER.encode(row).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise row_error(path, f"cannot be written as JSON: {error}", number) from None
        if lines:
            handle.write(text + b"\n")
        else:
            handle.write((b",\n" if number > 1 else b"\n") + text)
    if not lines:
        handle.write(b"\n]\n")


def _write_parquet(handle: IO[bytes], path: str | Path, rows: Iterable[Row], like: str | Path | None) -> None:
    import pyarrow
    import pyarrow.parquet

    objects = list(rows)
    try:
        if like is not None and file_suffix(like) == ".parquet":
            table = pyarrow.Table.from_pylist(objects, schema=pyarrow.parquet.read_schema(like))
        else:
            # Through a struct array, because from_pylist takes its columns from the first row alone.
            table = pyarrow.Table.from_struct_array(pyarrow.array(objects))
        pyarrow.parquet.write_table(table, handle, write_page_checksum=True)
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(path, f"cannot be written as parquet: {error}") from None


def _decode(raw: bytes, path: str | Path, number: int | None) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        if number is None:  # a JSON array: rows are not known yet, lines are
            number = raw.count(b"\n", 0, error.start) + 1
            raise DataError(path, f"invalid UTF-8 (byte 0x{raw[error.start]:02x})", number) from None
        raise row_error(path, f"invalid UTF-8 at byte {error.start + 1} (0x{raw[error.start]:02x})", number) from None


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite_number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is too large for a number")
    return number


_DECODER = json.JSONDecoder(parse_constant=_reject_constant, parse_float=_finite_number)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def _syntax_cause(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        return f"{error.msg} ({line}column {error.colno})"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error)


def _require_whole_characters(text: str, value: object, path: str | Path, number: int) -> None:
    # Raw surrogates are already refused as UTF-8; only an escape can still make one.
    if _HALF_ESCAPED.search(text) is None:
        return
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        code = f"\\u{ord(error.object[error.start]):04x}"
        raise row_error(path, f"lone surrogate {code}: half a character, which no text can hold", number) from None


def _skip_space(text: str, position: int) -> int:
    match = _JSON_SPACE.match(text, position)
    return match.end() if match else position
