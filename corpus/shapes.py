"""Whether a document that was read is what a dataclass describes: its types, its keys, its numbers, its version."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import reprlib
from typing import Any, TypeVar

from corpus.visible_text import can_be_written

T = TypeVar("T")

# No document of ours has more than ten levels. Deeper ones would exhaust the stack of whoever walks through them.
MAX_DEPTH = 100
# From the smallest to one above the largest number of 64 bits, which stands for "all keys" in a row table. Larger ones
# fit no array and no float.
SMALLEST, LARGEST = -(2**63), 2**64
# How msgspec ends a message that is not about the document as a whole.
_PLACE = re.compile(r" - at `\$(.*)`$", re.S)


class ShapeError(ValueError):
    """What is wrong with a document. ``where``: the place in it, as in ``rules[0].status``; "" for the whole of it.

    ``is_newer``: it is of a later version than this program knows, so nothing is wrong with it.

    >>> str(ShapeError("rules[0].status", "missing key"))
    'rules[0].status: missing key'
    """

    def __init__(self, where: str, cause: str, is_newer: bool = False) -> None:
        self.is_newer = is_newer
        super().__init__(f"{where}: {cause}" if where else cause)


def decode_json(content: bytes) -> Any:
    """A JSON document, without what no result holds and many programs read differently or not at all.

    Raises ShapeError for what is not JSON in UTF-8; for NaN, infinity and numbers beyond 64 bits; for a key that stands
    twice in an object, of which most readers take the last one only; for half a surrogate pair, which cannot be
    written; and beyond MAX_DEPTH levels.

    >>> decode_json(b'{"r": 2.5}')
    {'r': 2.5}
    >>> decode_json(b'{"r": [1, NaN]}')
    Traceback (most recent call last):
    corpus.shapes.ShapeError: r[1]: nan is no finite number
    """
    sound = _decode_sound(content)
    return sound[0] if sound else _decode_exactly(content)


def _decode_sound(content: bytes) -> tuple[Any] | None:
    """The document in ``content``, in half the time; None where it may hold what `decode_json` refuses.

    >>> _decode_sound(b'{"r": [1, 2.5]}'), _decode_sound(b'{"r": 1, "r": 2}')
    (({'r': [1, 2.5]},), None)
    """
    import msgspec

    if b"\\" in content:
        return None
    try:
        document = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    texts = _count_texts(document)
    # Without a backslash each text stands between two quotation marks. Where a key stands twice, one is lost.
    return (document,) if texts is not None and 2 * texts == content.count(b'"') else None


def _count_texts(document: Any) -> int | None:
    """How many keys and texts a document has; None beyond MAX_DEPTH levels, or with a number of more than 64 bits."""
    texts, level = 0, [document]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is str:
                texts += 1
            elif kind is dict:
                texts += len(value)
                below += value.values()
            elif kind is list:
                below += value
            elif kind is int and not SMALLEST <= value <= LARGEST:
                return None
        if not below:
            return texts
        level = below
    return None


def _decode_exactly(content: bytes) -> Any:
    """Decode by the letter, to say what is wrong and where."""
    try:
        document = json.loads(content.decode(), object_pairs_hook=_build_object)
    except UnicodeDecodeError as error:
        raise ShapeError("", f"not UTF-8 (byte {error.start + 1})") from None
    except RecursionError:
        raise ShapeError("", f"nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:  # not JSON, a key twice, or an integer of more digits than Python reads
        cause = error if isinstance(error, json.JSONDecodeError | ShapeError) else "a number with too many digits"
        raise ShapeError("", f"not JSON: {cause}" if content.strip() else "it is empty") from None
    check_values(document)
    return document


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) < len(pairs):
        names = [name for name, _ in pairs]
        raise ShapeError("", f"the key {max(names, key=names.count)!r} stands twice in an object")
    return built


def check_values(document: Any, most: int | None = None, finite: bool = True) -> None:
    """Raise ShapeError, naming the place, where a document holds a value that `decode_json` refuses.

    ``most``: it may hold so many values in all; YAML can repeat one a billion times in a few lines. ``finite``:
    whether floats must be.
    """
    waiting: list[tuple[Any, str, int]] = [(document, "", 1)]
    seen = 0
    while waiting:
        value, where, depth = waiting.pop()
        seen += 1
        if depth > MAX_DEPTH:
            raise ShapeError("", f"nested deeper than {MAX_DEPTH} levels")
        if most is not None and seen > most:
            raise ShapeError("", "repeats its parts so often, by aliases, that nobody could have meant it")
        if isinstance(value, dict):
            waiting += [(item, join_place(where, str(key)), depth + 1) for key, item in value.items()]
            waiting += [(key, where, depth + 1) for key in value]
        elif isinstance(value, list):
            waiting += [(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
        elif isinstance(value, str):
            if not value.isascii() and not can_be_written(value):
                raise ShapeError(where, "a text with half a surrogate pair")
        elif isinstance(value, float) and finite and not math.isfinite(value):
            raise ShapeError(where, f"{value} is no finite number")
        elif isinstance(value, int) and not SMALLEST <= value <= LARGEST:
            raise ShapeError(where, "a whole number of more than 64 bits")


def join_place(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


class _ShortRepr(reprlib.Repr):
    """So much of a value is shown in a message: enough to find it by."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = self.maxdict = self.maxlist = self.maxtuple = 3
        self.maxstring = self.maxother = 60
        self.fillvalue = "…"


def show_value(value: object) -> str:
    """A value for a message, as Python writes it, cut short where it is long or has many parts.

    >>> show_value("x" * 1000), show_value([[[[1]]]] * 10)
    ("'xxxxxxxxxxxxxxxxxxxxxxxxxxx…xxxxxxxxxxxxxxxxxxxxxxxxxxxx'", '[[[[…]]], [[[…]]], [[[…]]], …]')
    """
    return _ShortRepr().repr(value)


def list_added(shape: type) -> tuple[str, ...]:
    """The keys that a dataclass lists in ``ADDED``: a later release added them, so files of earlier ones lack them.

    Each has a default. Where it is None, it is not written either, so that what knows nothing of the key is the same
    bytes as before there was one.
    """
    added: tuple[str, ...] = getattr(shape, "ADDED", ())
    return added


def parse_shape(document: Any, shape: type[T], complete: bool = False) -> T:
    """Build a dataclass, with all that it holds, from a document of plain values.

    Raises ShapeError where a key is missing that has no default, or with ``complete`` any; where a key is not known;
    where a value is of another type, or none of those that a Literal lists; and where ``schema_version`` is not the one
    that the dataclass has by default.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Point:
    ...     r: float
    ...     name: str = ""
    >>> parse_shape({"r": 2}, Point)
    Point(r=2.0, name='')
    >>> parse_shape({"r": None}, Point)
    Traceback (most recent call last):
    corpus.shapes.ShapeError: r: expected float, found null
    >>> parse_shape({"r": 2, "l": 5.1}, Point)
    Traceback (most recent call last):
    corpus.shapes.ShapeError: l: unknown key; known are r, name
    """
    import msgspec

    _check_version(document, shape)
    try:
        parsed = msgspec.convert(document, shape)
    except msgspec.ValidationError as error:
        raise _describe(str(error)) from None
    _check_keys(parsed, document, "", complete)
    return parsed


def _check_version(document: Any, shape: Any) -> None:
    fields = {field.name: field for field in dataclasses.fields(shape)} if dataclasses.is_dataclass(shape) else {}
    if "schema_version" not in fields or not isinstance(document, dict):
        return
    if "schema_version" not in document:
        raise ShapeError("schema_version", "missing key")
    known: Any = fields["schema_version"].default
    found = document["schema_version"]
    if type(found) is int and found > known:
        raise ShapeError("", "written by a newer entropylaw; update this one to read it", is_newer=True)
    if type(found) is not int or found != known:
        raise ShapeError("schema_version", f"expected {known}, found {json.dumps(found)[:40]}")


def _describe(message: str) -> ShapeError:
    """In our words what msgspec says, such as "Expected `float`, got `null` - at `$.rules[0].p_value`"."""
    found = _PLACE.search(message)
    where = found.group(1).removeprefix(".") if found else ""
    cause = message[: found.start()] if found else message
    if missing := re.fullmatch("Object missing required field `(.*)`", cause):
        return ShapeError(join_place(where, missing.group(1)), "missing key")
    cause = cause.replace("`", "").replace(", got ", ", found ").replace("Invalid enum value", "Unknown value")
    return ShapeError(where, cause[:1].lower() + cause[1:])


def _check_keys(parsed: Any, document: Any, where: str, complete: bool) -> None:
    """A key that the dataclass does not have may change what the others mean: it is not passed over."""
    if isinstance(parsed, list | tuple):
        for i, value in enumerate(document):
            if isinstance(value, dict | list):  # few are: a long history holds many values
                _check_keys(parsed[i], value, f"{where}[{i}]", complete)
        return
    if dataclasses.is_dataclass(parsed):
        shape: type = type(parsed)
        known, needed = _list_keys(shape, complete)
        parts = vars(parsed) if hasattr(parsed, "__dict__") else {name: getattr(parsed, name) for name in known}
    elif isinstance(parsed, dict):
        known, needed, parts = tuple(parsed), (), parsed
    else:
        return
    for key, value in document.items():
        if key not in known:
            raise ShapeError(join_place(where, key), f"unknown key; known are {', '.join(known)}")
        if isinstance(value, dict | list):
            _check_keys(parts[key], value, join_place(where, key), complete)
    for name in needed:
        if name not in document:
            raise ShapeError(join_place(where, name), "missing key")


@functools.cache
def _list_keys(shape: type, complete: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys of a dataclass, and those of them that must be there."""
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(shape)
    # msgspec takes what a class has inherited for a default.
    added = list_added(shape)
    needed = tuple(field.name for field in fields if not _has_default(field) or (complete and field.name not in added))
    return tuple(field.name for field in fields), needed


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
