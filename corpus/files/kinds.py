"""What a data file is: told once, from its first bytes and its name, before any row is read."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from corpus.errors import DataError
from corpus.files.contents import (
    BYTE_ORDER_MARK,
    READING_ERRORS,
    Compression,
    find_compression,
    open_contents,
    reading_error,
)
from corpus.files.json_text import JSON_DECODER
from corpus.files.not_data import missing_error, require_data
from corpus.files.row import Unit
from corpus.files.suffixes import file_suffix, split_compression

Form = Literal[
    "json lines",  # an object on each line
    "json array",  # one list of objects
    "json wrapper",  # one object that holds a list of objects
    "json objects",  # objects over several lines each, one after the other
    "csv",
    "tsv",
    "parquet",
    "arrow",
]

# Enough to hold the first row of most files, and small enough to be read for every error message.
_HEAD_BYTES = 2**16
_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
# What a list of rows is called in an object around it. Under .jsonl an object with another list is a row.
_WRAPPERS = {
    *("data", "rows", "train", "examples", "items", "records", "instances", "samples", "dataset", "results", "entries"),
}
# By these keys an object is known to be a message of a row, and no row.
_MESSAGE_KEYS = {"role", "from", "speaker", "author"}
# Lists of objects that belong to one row, whatever is in the objects.
_ROW_LISTS = {
    *("messages", "contents", "turns", "dialog", "dialogue", "conversation", "history"),
    *("tools", "functions", "tool_calls", "images", "videos", "audios"),
}


@dataclass(frozen=True)
class FileKind:
    """What the content of a file is, and how it is compressed."""

    form: Form
    compression: Compression = ""

    @property
    def unit(self) -> Unit:
        """What its rows are counted in."""
        return "line" if self.form == "json lines" else "row"


def tell_kind(path: Path) -> FileKind:
    """The kind of a data file. JSON is told by its content: an array may be called .jsonl, and lines .json.

    Raises DataError, with the remedy, for a file that is missing, empty, or something else than data.
    """
    name, _ = split_compression(file_suffix(path))
    head = _read_head(path)
    compression = find_compression(head)
    if compression:
        head = _read_head(path, compression)
        if find_compression(head):
            raise DataError(path, "is compressed twice; unpack it once")
    require_data(path, head)
    if head.startswith(b"PAR1") and name != ".arrow" and not compression:
        return FileKind("parquet")
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")) and not compression:
        return FileKind("arrow")
    if name in (".parquet", ".arrow"):
        if compression:
            raise DataError(path, f"is compressed by {compression} as a whole; unpack it: {name[1:]} packs its columns")
        return FileKind("parquet" if name == ".parquet" else "arrow")
    if name in (".csv", ".tsv"):
        if head.removeprefix(BYTE_ORDER_MARK).lstrip().startswith((b'{"', b"[{")):
            raise DataError(path, "holds JSON, not a table; call it .jsonl or .json")
        return FileKind("csv" if name == ".csv" else "tsv", compression)
    return FileKind(_tell_json_form(head, len(head) < _HEAD_BYTES, name == ".json"), compression)


def name_unit(path: Path) -> Unit:
    """What the rows of a file are counted in; where the file cannot be opened, what its name says."""
    try:
        return tell_kind(path).unit
    except DataError:
        return "line" if split_compression(file_suffix(path))[0] in (".jsonl", ".ndjson") else "row"


def _read_head(path: Path, compression: Compression = "") -> bytes:
    head = b""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError(path, "is a folder; name a file")
        if not stat.S_ISREG(mode):
            # A pipe would be waited for, and a device has no end.
            raise DataError(path, "is a pipe or a device; write its data to a file and name that")
        with open_contents(path, compression) as handle:
            # Piece by piece: of data that is cut short, what can be unpacked is enough to tell its kind.
            while len(head) < _HEAD_BYTES and (piece := handle.read1(_HEAD_BYTES - len(head))):  # type: ignore[attr-defined]
                head += piece
    except (FileNotFoundError, NotADirectoryError) as error:
        if isinstance(error, NotADirectoryError):
            raise DataError(path, f"cannot be read: {error.strerror}") from None
        raise missing_error(path) from None
    except READING_ERRORS as error:
        if compression:
            return head  # cut short or damaged; reading it finds out where
        raise reading_error(path, error, None) from None
    if not head and not compression:
        raise DataError(path, "is empty")
    return head


def _tell_json_form(head: bytes, is_whole: bool, is_document: bool) -> Form:
    r"""How JSON is laid out, by the start of a file.

    ``is_whole``: there is no more of it. ``is_document``: its name does not say that it has lines.

    >>> _tell_json_form(b'{"prompt": "Hi"}\n{"prompt": "Ho"}\n', True, False)
    'json lines'
    >>> _tell_json_form(b'{"version": 1, "data": [{"prompt": "Hi"}]}\n', True, True)
    'json wrapper'
    >>> _tell_json_form(b'{\n "prompt": "Hi"\n}\n{\n "prompt": "Ho"\n}', True, False)
    'json objects'
    """
    text = head.decode("utf-8", "replace")
    start = _skip_space(text, 0)
    if text.startswith("[", start):
        # A list on the first line that another line follows is a row of JSON lines, and a wrong one; so is a list of
        # other things than objects.
        holds_objects = is_document or text[_skip_space(text, start + 1) :][:1] in ("{", "]", "")
        return "json array" if holds_objects and not _is_one_of_many(text, start) else "json lines"
    if not text.startswith("{", start):
        return "json lines"
    line_end = text.find("\n", start)
    first_line = text[start:] if line_end < 0 else text[start:line_end]
    if line_end < 0 and not is_whole:
        # A line longer than what was read.
        return "json wrapper" if _holds_rows(text, start, is_document) else "json lines"
    try:
        JSON_DECODER.raw_decode(first_line)
    except (ValueError, RecursionError):
        second_line = text[line_end:].lstrip().partition("\n")[0] if line_end > 0 else ""
        # An object goes on in the second line, unless that is an object by itself: then the first line is broken.
        goes_on = second_line != "" and not _is_object(second_line)
        if first_line.rstrip()[-1:] in "{[,:" and (goes_on or is_document):
            return "json wrapper" if _holds_rows(text, start, is_document) else "json objects"
        return "json lines"
    is_alone = line_end < 0 or (is_whole and _skip_space(text, line_end) == len(text))
    return "json wrapper" if is_alone and _holds_rows(text, start, is_document) else "json lines"


def _is_object(line: str) -> bool:
    try:
        return isinstance(JSON_DECODER.decode(line), dict)
    except (ValueError, RecursionError):
        return False


def _is_one_of_many(text: str, start: int) -> bool:
    line, _, rest = text[start:].partition("\n")
    try:
        JSON_DECODER.decode(line)
    except (ValueError, RecursionError):
        return False
    return rest[_skip_space(rest, 0) :][:1] in ("[", "{") and rest.strip() != ""


def _holds_rows(text: str, start: int, is_document: bool) -> bool:
    """Whether the object that begins at ``start``, and may be cut off, is no row but holds a list of rows."""
    position = _skip_space(text, start + 1)
    while text.startswith('"', position):
        try:
            key, position = JSON_DECODER.raw_decode(text, position)
            position = _skip_space(text, position)
            position = _skip_space(text, position + 1)  # the colon
            if text.startswith("[", position) and text.startswith("{", _skip_space(text, position + 1)):
                is_wrapper = key not in _ROW_LISTS if is_document else key in _WRAPPERS
                return is_wrapper and not _is_message(text, _skip_space(text, position + 1))
            _, position = JSON_DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            return False
        position = _skip_space(text, position)
        if not text.startswith(",", position):
            return False
        position = _skip_space(text, position + 1)
    return False


def _is_message(text: str, start: int) -> bool:
    try:
        value: Any = JSON_DECODER.raw_decode(text, start)[0]
        return not _MESSAGE_KEYS.isdisjoint(value)
    except (ValueError, RecursionError):
        # Cut off: the keys that can be seen must do.
        found = re.match(r'\{\s*("(?:[^"\\]|\\.)*")', text[start:])
        return found is not None and json.loads(found[1]) in _MESSAGE_KEYS


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
