"""Ways to damage a document in one place, and the text of a file anywhere."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any, Literal

from hypothesis import strategies as st

Place = tuple[str | int, ...]
# What JSON has no number for, or Python no room; each stands for itself in the text of a file.
TOKENS = {"nan": "NaN", "infinity": "-Infinity", "beyond": "1e999", "endless": "9" * 5000, "huge": "9" * 400}
# Of these, nothing that a file may hold is left.
Kind = Literal["type", "null", "removed", "renamed", "nested", "twice", "surrogate"]
STRUCTURAL: tuple[str, ...] = ("type", "null", "removed", "renamed", "nested", "surrogate", *TOKENS)
# Values of the right type: whatever follows, it is an answer and no accident.
VALUES = (0, -1, 1, 2**53, 2**63, -(2**63), 0.0, -0.5, 1e308, -1e308, 5e-324, "", "x", "\n", "\x00", "é" * 300, "../x")

HOSTILE = (b"\xff", b"\x00", b"\n", b"[" * 5000, b"\xef\xbb\xbf", b'"', b"}", b"\xed\xa0\x80", b"9" * 5000, b"-")
OTHER = (b"", b"null", b"[]", b"{}", b"\xff\xfe", b"0")


def list_places(document: Any, place: Place = ()) -> Iterator[Place]:
    """Every part of a document, the document itself left out."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield (*place, key)
        yield from list_places(value, (*place, key))


@st.composite
def damaged_json(draw: st.DrawFn, document: Any) -> tuple[str, bool]:
    """The text of a document with one place damaged, and whether a value of the same type stands there now."""
    changed = copy.deepcopy(document)
    *above, key = draw(st.sampled_from(list(list_places(document))))
    holder = changed
    for part in above:
        holder = holder[part]
    kind = draw(st.sampled_from((*STRUCTURAL, "value", "value")))
    same_type = kind == "value"
    old = holder[key]
    if kind in ("removed", "renamed") and isinstance(holder, dict):
        del holder[key]
        if kind == "renamed":
            holder[f"{key}s"] = old
    elif kind == "value":
        fitting = [value for value in VALUES if type(value) is type(old) and value != old] or [old]
        holder[key] = draw(st.sampled_from(fitting))
    else:
        others = [value for value in ("text", 7, 7.5, True, [], {}, [7], {"a": 7}) if type(value) is not type(old)]
        holder[key] = {
            "null": None,
            "nested": _nest(old),
            "surrogate": "\ud83d",
            **{name: f"<{name}>" for name in TOKENS},
        }.get(kind, draw(st.sampled_from(others)))
    text = json.dumps(changed)
    for name, token in TOKENS.items():
        text = text.replace(f'"<{name}>"', token)
    return text, same_type


def _nest(value: Any) -> Any:
    for _ in range(300):
        value = [value]
    return value


@st.composite
def damaged_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """A file cut short, emptied, with bytes exchanged, put in or repeated, or of other content altogether."""
    at = draw(st.integers(0, len(content)))
    kind = draw(st.sampled_from(("cut", "exchanged", "put in", "repeated", "other", "twice")))
    if kind == "cut":
        return content[:at]
    if kind == "exchanged":
        return content[:at] + draw(st.binary(min_size=1, max_size=4)) + content[at + 4 :]
    if kind == "put in":
        hostile = [
            b"\xff",
            b"\x00",
            b"\n",
            b"[" * 5000,
            b"\xef\xbb\xbf",
            b'"',
            b"}",
            b"\xed\xa0\x80",
            b"9" * 5000,
            b"-",
        ]
        return content[:at] + draw(st.sampled_from(hostile)) + content[at:]
    if kind == "repeated":
        return content[:at] + content[max(0, at - 40) : at] + content[at:]
    return (
        content + content if kind == "twice" else draw(st.sampled_from([b"", b"null", b"[]", b"{}", b"\xff\xfe", b"0"]))
    )
