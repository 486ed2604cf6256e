"""JSON lines: an object on each line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from json import JSONDecodeError
from pathlib import Path
from typing import IO

from corpus.errors import BadRow, DataError
from corpus.files.contents import BYTE_ORDER_MARK, READING_ERRORS, encoding_error, reading_error
from corpus.files.json_text import CROWDED, DEEP, JSON_DECODER, describe_syntax_error, find_fault, is_crowded
from corpus.files.not_data import MERGE_MARKER, merge_error
from corpus.files.row import HALF_CHARACTER, TOO_DEEP, TOO_LONG, BadRows, NumberedRows, report_bad_row

_RAW_HALF = "a surrogate written as UTF-8: half a character, which no text can hold"
_TEXT_MARK = BYTE_ORDER_MARK.decode()


def read_lines(handle: IO[bytes], path: Path, max_row_bytes: int, bad_rows: BadRows | None) -> NumberedRows:
    """The rows by their line numbers. Blank lines are skipped, yet counted. One line is held at a time."""
    return (yield from decode_lines(number_lines(handle, path, max_row_bytes), path, max_row_bytes, bad_rows))


def number_lines(handle: IO[bytes], path: Path, max_row_bytes: int) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, by their numbers; of one that is too long, only the beginning."""
    number = 0
    try:
        # One byte more than the limit and the line break: an endless line is noticed without being read whole.
        while line := handle.readline(max_row_bytes + 2):
            number += 1
            if line.isspace():
                number += skip_line_breaks(handle)
                continue
            yield number, line
            if len(line) > max_row_bytes and _is_too_long(line, max_row_bytes):
                _skip_line(handle, line, max_row_bytes)
    except READING_ERRORS as error:
        raise reading_error(path, error, number + 1) from None


def decode_lines(
    lines: Iterable[tuple[int, bytes]], path: Path, max_row_bytes: int, bad_rows: BadRows | None
) -> NumberedRows:
    """The rows of some of a file's lines, as ``number_lines`` has them."""
    last = 0
    decode = JSON_DECODER.decode
    for number, line in lines:
        if len(line) > max_row_bytes and _is_too_long(line, max_row_bytes):
            cause = f"longer than {max_row_bytes:,} bytes; are line breaks missing?"
            report_bad_row(path, "line", BadRow(number, TOO_LONG, cause), bad_rows)
            last = number
            continue
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            if not _holds_half_character(line):
                raise encoding_error(path, error, number) from None
            last = number
            report_bad_row(path, "line", BadRow(number, HALF_CHARACTER, _RAW_HALF), bad_rows)
            continue
        # A mark also stands in the middle of a file, where `cat` put two files together.
        if text[0] == _TEXT_MARK:
            text = text.lstrip(_TEXT_MARK)
        if is_crowded(text):
            last = number
            report_bad_row(path, "line", BadRow(number, TOO_LONG, CROWDED), bad_rows)
            continue
        try:
            value = decode(text)
            fault = find_fault(value, text)
        except RecursionError:
            fault = TOO_DEEP, DEEP
        except ValueError as error:
            if not text.strip():
                continue
            raise _syntax_error(path, text, error, number) from None
        last = number
        if fault:
            report_bad_row(path, "line", BadRow(number, *fault), bad_rows)
        else:
            yield number, value
    return last


def is_blank(line: bytes) -> bool:
    """Whether a line is passed over as empty by ``decode_lines``: it holds nothing but spaces of any script."""
    return not line.decode(errors="replace").lstrip(_TEXT_MARK).strip()


def _is_too_long(line: bytes, max_row_bytes: int) -> bool:
    return len(line.rstrip(b"\r\n")) > max_row_bytes


def skip_line_breaks(handle: IO[bytes]) -> int:
    """Step over the line breaks that come next, of which there may be millions, and count them."""
    # As far as the buffer holds them.
    ahead: bytes = handle.peek()  # type: ignore[attr-defined]
    count = len(ahead) - len(ahead.lstrip(b"\n"))
    handle.read(count)
    return count


def _holds_half_character(line: bytes) -> bool:
    """Whether a line would be UTF-8 but for surrogates, which some programs write as they are."""
    try:
        line.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def _skip_line(handle: IO[bytes], line: bytes, max_row_bytes: int) -> None:
    while line and not line.endswith(b"\n"):
        line = handle.readline(max_row_bytes + 2)


def _syntax_error(path: Path, text: str, error: Exception, number: int) -> DataError:
    """The DataError for a line that is not JSON, with the likely cause."""
    stripped = text.strip()
    if MERGE_MARKER.match(stripped):
        return merge_error(path, number)
    cause = describe_syntax_error(error)
    if isinstance(error, JSONDecodeError) and error.msg == "Extra data":
        rest = text[error.pos :].strip()
        if rest == ",":
            cause += (
                "; the line ends in a comma: delete it with `sed 's/,[[:space:]]*$//'`, or make the file a JSON array"
            )
        elif rest.lstrip(_TEXT_MARK)[:1] == "{":
            cause += "; two objects stand on one line: put a line break between them"
    elif not text.endswith("\n"):
        cause += "; the file ends inside this line: was it cut short?"
    elif stripped.startswith("{'"):
        cause += "; a Python dictionary, not JSON: write rows with json.dumps"
    elif stripped[-1:] in ("{", "[", ","):
        cause += "; does an object go over several lines? `jq -c . ` writes one on each line"
    return DataError(path, cause, number)
