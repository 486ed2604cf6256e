"""JSON as data files have it: values, what is wrong with a text that is none, and characters that are cut in half."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from corpus.files.row import HALF_CHARACTER, NO_OBJECT, TOO_DEEP, describe_other_type

# Raw surrogates are refused as UTF-8 already; only such an escape can make one. A regular expression finds it four
# times as fast as `in` does.
HALF_ESCAPED = re.compile(r"\\u[dD]")


def _read_constant(name: str) -> None:
    """NaN and the infinities, which JSON does not have, are how pandas writes an empty cell: null."""


def _finite_number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is too large for a number")
    return number


# Lists and objects within each other. A tool's schema may have twenty levels. Code that follows the nesting ends at
# Python's own limit of some hundreds, which differs between versions.
MAX_DEPTH = 100
# Values in a row: a conversation of 10,000 turns has 50,000. A value of two bytes takes up to a hundred in memory, so
# a row of the largest size could take gigabytes.
MAX_VALUES = 2**20
# The longest integer that Python reads from a text has 4,300 digits; written in another base it may have more.
_MAX_INTEGER_BITS = 14_000

DEEP = f"nested too deeply: more than {MAX_DEPTH} lists and objects within each other"
CROWDED = f"more than {MAX_VALUES:,} values"
_STRING_OR_MARK = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{},]', re.DOTALL)

JSON_DECODER = json.JSONDecoder(parse_constant=_read_constant, parse_float=_finite_number)
JSON_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def find_half_character(value: object) -> str | None:
    r"""What is wrong with a value that holds half a character; None where it does not.

    >>> find_half_character({"text": "\ud83d"})
    'lone surrogate \\ud83d: half a character, which no text can hold'
    """
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        code = f"\\u{ord(error.object[error.start]):04x}"
        return f"lone surrogate {code}: half a character, which no text can hold"
    return None


def find_fault(value: object, text: str, start: int = 0, end: int | None = None) -> tuple[str, str] | None:
    """Why a value is no row: the reason to count by, and what is wrong; None where it is one.

    ``start``, ``end``: where the value stands in the ``text`` that it was read from.

    >>> find_fault([1], "[1]"), find_fault({}, "{}")
    (('not an object', 'expected a JSON object, found a list'), None)
    """
    if may_be_deep(text, start, end) and is_deep(value):
        return TOO_DEEP, DEEP
    if HALF_ESCAPED.search(text, start, len(text) if end is None else end) and (half := find_half_character(value)):
        return HALF_CHARACTER, half
    return None if isinstance(value, dict) else (NO_OBJECT, describe_other_type(value))


def is_deep(value: object) -> bool:
    """Whether lists and objects stand more than MAX_DEPTH deep in each other.

    >>> is_deep(json.loads("[" * 100 + "]" * 100)), is_deep(json.loads("[" * 101 + "]" * 101))
    (False, True)
    """
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [item for held in level for item in _held_by(held)]
        if not level:
            return False
    return any(isinstance(item, (dict, list)) for item in level)


def may_be_deep(text: str, start: int = 0, end: int | None = None) -> bool:
    """Whether a text has so many brackets that `is_deep` must look at its value. Nearly every row has fewer."""
    return text.count("[", start, end) + text.count("{", start, end) > MAX_DEPTH


def is_crowded(text: str, start: int = 0) -> bool:
    """Whether the list or object that begins at ``start`` holds more than MAX_VALUES values, told without parsing."""
    if len(text) - start <= MAX_VALUES or sum(text.count(mark, start) for mark in ",[{") <= MAX_VALUES:
        return False
    depth = values = 0
    for match in _STRING_OR_MARK.finditer(text, start):
        mark = match[0][0]
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
            if depth <= 0:
                return False
        values += mark in "[{,"
        if values > MAX_VALUES:
            return True
    return False


def is_json(value: object) -> bool:
    """Whether a value that Python reads from a text could stand in JSON: no sets, bytes, or keys that are numbers.

    >>> is_json([{"role": "user", "weight": None}]), is_json({1: "a"}), is_json((1, 2))
    (True, False, False)
    """
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if not all(isinstance(key, str) for key in item):
                return False
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif (type(item) is int and item.bit_length() > _MAX_INTEGER_BITS) or not isinstance(
            item, (str, int, float, type(None))
        ):
            return False
    return True


def _held_by(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def describe_syntax_error(error: Exception, lines_before: int = 0, columns_before: int = 0) -> str:
    """Why a text is not JSON, and where; ``lines_before`` and ``columns_before``: the text that stands before it.

    >>> describe_syntax_error(json.JSONDecodeError("Expecting value", "[1, ]", 4))
    'not JSON: Expecting value (column 5)'
    """
    if isinstance(error, json.JSONDecodeError):
        line = error.lineno + lines_before
        column = error.colno + (columns_before if error.lineno == 1 else 0)
        where = f"line {line}, column {column}" if line > 1 else f"column {column}"
        return f"not JSON: {error.msg} ({where})"
    if isinstance(error, RecursionError):
        return "not JSON: nested too deeply"
    return f"not JSON: {error}"
