"""JSON that is no lines: an array, an object around it, or objects over several lines; read a value at a time."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

from corpus.errors import BadRow, DataError
from corpus.files.contents import READING_ERRORS, encoding_error, reading_error
from corpus.files.json_text import CROWDED, DEEP, JSON_DECODER, describe_syntax_error, find_fault, is_crowded
from corpus.files.not_data import MERGE_MARKER, merge_error
from corpus.files.row import TOO_DEEP, TOO_LONG, BadRows, NumberedRows, Row, json_type, report_bad_row

# Larger pieces are not read faster, and a value that a piece ends in is parsed twice.
_PIECE_BYTES = 2**18
_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
_OUT_OF_STRING, _IN_STRING = re.compile(r'"|[\[{]++|[\]}]++'), re.compile(r'\\.|"', re.DOTALL)
# What needs no count of brackets: whole strings, and lists and objects that hold none.
_STRING = r'"(?:[^"\\]|\\.)*+"'
_FLAT = re.compile(
    rf'(?:[^"\[\]{{}}]++|{_STRING}|\[(?:[^"\[\]{{}}]++|{_STRING})*+\]|\{{(?:[^"\[\]{{}}]++|{_STRING})*+\}})++',
    re.DOTALL,
)
# A value without an end is read to this many times the largest size of a row, then the reading stops.
_SWALLOWED = 4
# A text that ends in half a token fails this close to its end; \ud83d\ude00 is the longest token that can be split.
_SPLIT_TOKEN = 16


# What has to be seen of a line to know it for a marker that Git wrote.
_MARKER_CHARACTERS = 10


class _BadValue(Exception):
    """A value that is not read: of more bytes than a row may have, of too many values, or nested too deeply."""

    def __init__(self, reason: str, cause: str) -> None:
        super().__init__(cause)
        self.reason, self.cause = reason, cause


def read_array(handle: IO[bytes], path: Path, max_row_bytes: int, bad_rows: BadRows | None) -> NumberedRows:
    """The objects of a JSON array by their positions."""
    stream = _JsonStream(handle, path, max_row_bytes)
    stream.expect("[")
    yield from _read_list(stream, bad_rows)
    if stream.peek():
        raise stream.error(
            "not JSON: more text after the end of the array; two files put together? `jq -s add` joins arrays"
        )
    return stream.number


def read_objects(handle: IO[bytes], path: Path, max_row_bytes: int, bad_rows: BadRows | None) -> NumberedRows:
    """Objects that stand one after the other, over several lines each, by their positions."""
    stream = _JsonStream(handle, path, max_row_bytes)
    while stream.peek():
        yield from stream.read_row(bad_rows)
        if stream.peek() == ",":
            raise stream.error("not JSON: objects divided by commas; put [ before the first and ] after the last")
    return stream.number


def read_wrapper(handle: IO[bytes], path: Path, max_row_bytes: int, bad_rows: BadRows | None) -> NumberedRows:
    """The objects of the one list of objects in an object, by their positions in that list."""
    stream = _JsonStream(handle, path, max_row_bytes)
    stream.expect("{")
    found: str | None = None
    while stream.peek() != "}":
        key = stream.read_whole_value()
        if not isinstance(key, str):
            raise stream.error(f"not JSON: expected a key, found {json_type(key)}")
        stream.expect(":")
        if stream.peek() == "[" and stream.peek_second() == "{":
            if found is not None:
                raise DataError(
                    path,
                    f"holds two lists of rows, {found!r} and {key!r}; write one of them into a file of its own with "
                    f"`jq -c '.[\"{found}\"][]' {path.name} > {path.stem}.{found}.jsonl`",
                )
            found = key
            stream.expect("[")
            yield from _read_list(stream, bad_rows)
        else:
            stream.skip_value()
        if stream.peek() != "}":
            stream.expect(",")
    stream.expect("}")
    if stream.peek():
        raise stream.error("not JSON: more text after the end of the object")
    return stream.number


def _read_list(stream: _JsonStream, bad_rows: BadRows | None) -> Iterator[tuple[int, Row]]:
    """The objects of a list whose bracket has been read, and its end."""
    if stream.peek() == "]":
        stream.expect("]")
        return
    while True:
        yield from stream.read_row(bad_rows)
        if stream.peek() == "]":
            stream.expect("]")
            return
        stream.expect(",")


class _JsonStream:
    """The text of a JSON file, of which no more is held than a piece and the value that is being read."""

    def __init__(self, handle: IO[bytes], path: Path, max_row_bytes: int) -> None:
        self.handle, self.path, self.max_row_bytes = handle, path, max_row_bytes
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.text = ""
        self.start = self.position = 0
        self.number = 0  # of the row that is being read
        self.ended = False
        # What stood before `text`, for messages.
        self.lines_before = self.columns_before = 0

    def read_row(self, bad_rows: BadRows | None) -> Iterator[tuple[int, Row]]:
        """The next value as a row with its number; nothing where it is a bad row."""
        self.number += 1
        try:
            value = self.read_value()
        except _BadValue as bad:
            report_bad_row(self.path, "row", BadRow(self.number, bad.reason, bad.cause), bad_rows)
            self.skip_value()
            return
        if fault := find_fault(value, self.text, self.start, self.position):
            report_bad_row(self.path, "row", BadRow(self.number, *fault), bad_rows)
        else:
            yield self.number, value

    def read_value(self) -> Any:
        """The next value; `text` then holds it from `start` to `position`. Raises DataError and _BadValue."""
        self.peek()
        while True:
            if is_crowded(self.text, self.position):
                raise _BadValue(TOO_LONG, CROWDED)
            try:
                value, end = JSON_DECODER.raw_decode(self.text, self.position)
            except json.JSONDecodeError as error:
                is_split = error.msg.startswith("Unterminated string") or error.pos > len(self.text) - _SPLIT_TOKEN
                if is_split and self._read_for_value():
                    continue
                self._fail(error)
            except RecursionError:
                raise _BadValue(TOO_DEEP, DEEP) from None
            except ValueError as error:
                self._fail(error)
            # A number that ends where the text does may go on.
            if end == len(self.text) and self._read_for_value():
                continue
            self._require_length(self.position, end)
            self.start, self.position = self.position, end
            return value

    def read_whole_value(self) -> Any:
        """The next value, which is no row: the file cannot be read on without it."""
        try:
            return self.read_value()
        except _BadValue as bad:
            raise self.error(bad.cause) from None

    def expect(self, character: str) -> None:
        """Step over the next character that is no space. Raises DataError where it is another one."""
        if self.peek() != character:
            wanted = {"[": "'['", "{": "'{'", ",": "',' or ']'" if self.number else "','"}.get(
                character, repr(character)
            )
            self._fail(json.JSONDecodeError(f"Expecting {wanted}", self.text, self.position))
        self.position += 1

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            match = _SPACE.match(self.text, self.position)
            self.position = match.end() if match else self.position
            if self.position < len(self.text):
                return self.text[self.position]
            if not self._read_piece(_PIECE_BYTES):
                return ""

    def peek_second(self) -> str:
        """The character after the next one, spaces left out; empty where it is not near."""
        self.peek()
        if len(self.text) - self.position < 1000:
            self._read_piece(_PIECE_BYTES)
        match = _SPACE.match(self.text, self.position + 1)
        return self.text[match.end() : match.end() + 1] if match else ""

    def error(self, cause: str) -> DataError:
        return DataError(self.path, cause, self.number or None, "row")

    def _fail(self, error: Exception) -> NoReturn:
        if isinstance(error, json.JSONDecodeError):
            start = self.text.rfind("\n", 0, error.pos) + 1
            if MERGE_MARKER.match(self.text[start : start + _MARKER_CHARACTERS].partition("\n")[0].rstrip("\r")):
                raise merge_error(self.path, self.lines_before + error.lineno) from None
        cause = describe_syntax_error(error, self.lines_before, self.columns_before)
        text = self.text.rstrip()
        if self.ended and (self.position >= len(text) or not text.endswith(("]", "}"))):
            cause += "; it has no end: was the file cut short?"
        raise self.error(cause) from None

    def _require_length(self, start: int, end: int) -> None:
        # No character takes more than four bytes, so short values need not be encoded.
        if (end - start) * 4 > self.max_row_bytes and len(self.text[start:end].encode()) > self.max_row_bytes:
            raise self._too_long()

    def _too_long(self) -> _BadValue:
        return _BadValue(TOO_LONG, f"longer than {self.max_row_bytes:,} bytes")

    def _read_for_value(self) -> bool:
        """Read on in a value that does not end yet; as much again as there is, so that long ones are parsed seldom."""
        waiting = len(self.text) - self.position
        if waiting > self.max_row_bytes:
            raise self._too_long()
        return self._read_piece(max(_PIECE_BYTES, waiting))

    def _read_piece(self, size: int) -> bool:
        """Add a piece to the text and drop what was read of it; False at the end of the file."""
        if self.ended:
            return False
        try:
            piece = self.handle.read(size)
        except READING_ERRORS as error:
            raise reading_error(self.path, error, self.number or 1, "row") from None
        self.ended = not piece
        self._drop_read_text()
        try:
            self.text += self.decoder.decode(piece, final=self.ended)
        except UnicodeDecodeError as error:
            raise self._encoding_error(error) from None
        return True

    def _drop_read_text(self) -> None:
        dropped = self.text[: self.position]
        if breaks := dropped.count("\n"):
            self.lines_before += breaks
            self.columns_before = len(dropped) - dropped.rfind("\n") - 1
        else:
            self.columns_before += len(dropped)
        self.text, self.position = self.text[self.position :], 0

    def _encoding_error(self, error: UnicodeDecodeError) -> DataError:
        before = error.object[: error.start]
        line_start = before.rfind(b"\n") + 1
        line = self.lines_before + self.text.count("\n") + before.count(b"\n") + 1
        within = error.object[line_start:]
        start = error.start - line_start
        local = UnicodeDecodeError("utf-8", within, start, start + error.end - error.start, error.reason)
        return encoding_error(self.path, local, line)

    def skip_value(self) -> None:
        """Step over a value without holding it: to where as many brackets are closed as were opened."""
        if self.peek() not in ('"', "[", "{"):
            self.read_whole_value()
            return
        depth, in_string, stepped = 0, False, 0
        while True:
            if depth and not in_string and (flat := _FLAT.match(self.text, self.position)):
                stepped += flat.end() - self.position
                self.position = flat.end()
            found = (_IN_STRING if in_string else _OUT_OF_STRING).search(self.text, self.position)
            if found is None:
                # A backslash at the end waits for the character that it escapes.
                waiting = in_string and self.text.endswith("\\")
                stepped += len(self.text) - self.position
                if stepped > _SWALLOWED * self.max_row_bytes:
                    cause = f"not JSON: a value of more than {_SWALLOWED * self.max_row_bytes:,} characters"
                    raise self.error(f"{cause}; is its end missing?")
                self.position = max(self.position, len(self.text) - waiting)
                if not self._read_piece(_PIECE_BYTES):
                    raise self.error("not JSON: a value has no end; was the file cut short?")
                continue
            stepped += found.end() - self.position
            self.position = found.end()
            if in_string:
                in_string = found[0] != '"'
            elif found[0] == '"':
                in_string = True
            elif found[0][0] in "[{":
                depth += len(found[0])
            elif len(found[0]) >= depth:
                self.position = found.start() + depth
                return
            else:
                depth -= len(found[0])
            if depth == 0 and not in_string:
                return
