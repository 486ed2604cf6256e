"""A row as it stands in a data file, and what becomes of one that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final, Literal

from corpus.errors import BadRow, DataError

Row = dict[str, Any]
# Is told of each row that cannot be read; the reading then goes on after it.
BadRows = Callable[[BadRow], None]
Unit = Literal["line", "row"]
# Rows with their numbers; what the generator returns is the number of the last one, good or bad, 0 without any.
NumberedRows = Generator[tuple[int, Row], None, int]

# Far above any real conversation, far below what an export that lost its line breaks amounts to.
MAX_ROW_BYTES = 32 * 2**20

# About what a number, or an empty list, takes.
_PLAIN_CHARACTERS = 9

# The reasons by which rows that cannot be read are counted.
HALF_CHARACTER: Final = "half a character"
TOO_LONG: Final = "too long"
TOO_DEEP: Final = "nested too deeply"
# Of a table: a value that its type allows and Python has no counterpart of.
NO_PYTHON_VALUE: Final = "unreadable value"
NO_OBJECT: Final = "not an object"


def count_characters(value: object) -> int:
    """About how many characters a value has: those of its texts, and some for each other value.

    >>> count_characters({"a": "text", "b": [1, None]})
    40
    """
    total, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, (list, tuple)):
            waiting += item
        total += len(item) if isinstance(item, (str, bytes)) else _PLAIN_CHARACTERS
    return total


def report_bad_row(path: Path, unit: Unit, bad: BadRow, bad_rows: BadRows | None) -> None:
    """Tell ``bad_rows`` of a row that cannot be read; without it, raise the DataError that names the row."""
    if bad_rows is None:
        raise DataError(path, bad.detail, bad.number, unit)
    bad_rows(bad)


def describe_other_type(value: object) -> str:
    """
    >>> describe_other_type([1])
    'expected a JSON object, found a list'
    """
    return f"expected a JSON object, found {json_type(value)}"


def json_type(value: object) -> str:
    """A value's type in the words of JSON, for messages.

    >>> json_type({"role": "user"}), json_type(None), json_type(True)
    ('an object', 'null', 'a boolean')
    """
    if value is None:
        return "null"
    if isinstance(value, bytes):
        return "binary data"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), f"a {type(value).__name__}")
