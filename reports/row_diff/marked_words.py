"""What an edit did to a text, word by word: which words stayed, which went, which came."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

Mark = Literal["same", "old", "new"]

# A word, a run of blanks, or a sign. Scripts without spaces between words are cut into characters: a sentence of
# Chinese would otherwise be one word, and its smallest edit would mark all of it.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORDS = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|\s+|[^\w\s]")
# difflib's time grows as the product of both lengths. Beyond this one, a second on a slow machine, what lies between
# the first and the last word that differ counts as replaced.
_MAX_PRODUCT = 4_000_000
# Words that stayed are shown up to so many beside an edit; more than twice as many are left out between two.
CONTEXT_WORDS = 40


class MarkedText(NamedTuple):
    mark: Mark
    text: str


def mark_words(old: str, new: str) -> list[MarkedText]:
    """The two texts as one: those of "same" and "old" joined are the old one, of "same" and "new" the new one.

    >>> [tuple(part) for part in mark_words("Tea is hot.", "Tea was hot.")]
    [('same', 'Tea '), ('old', 'is'), ('new', 'was'), ('same', ' hot.')]
    """
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    start = _count_equal(a, b)
    end = _count_equal(a[start:][::-1], b[start:][::-1])
    middle_a, middle_b = a[start : len(a) - end], b[start : len(b) - end]
    parts = [MarkedText("same", "".join(a[:start]))]
    for same, i, j in _match(middle_a, middle_b):
        if same:
            parts.append(MarkedText("same", "".join(i)))
        else:
            parts += [MarkedText("old", "".join(i)), MarkedText("new", "".join(j))]
    parts.append(MarkedText("same", "".join(a[len(a) - end :]) if end else ""))
    return _join(parts)


def shorten(parts: Sequence[MarkedText], words: int = CONTEXT_WORDS) -> list[MarkedText]:
    """The same with an ellipsis where many words stayed.

    >>> [part.text for part in shorten([MarkedText("same", "a b c d e"), MarkedText("old", "f")], 2)]
    ['… e', 'f']
    """
    short = []
    for place, part in enumerate(parts):
        found = _WORDS.findall(part.text)
        before, after = place > 0, place < len(parts) - 1
        if part.mark != "same" or len(found) <= words * (before + after):
            short.append(part)
            continue
        head = "".join(found[:words]) if before else ""
        tail = "".join(found[-words:]) if after else ""
        short.append(MarkedText("same", f"{head}…{tail}"))
    return short


def _count_equal(a: Sequence[str], b: Sequence[str]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _match(a: list[str], b: list[str]) -> Iterator[tuple[bool, list[str], list[str]]]:
    if len(a) * len(b) > _MAX_PRODUCT:
        yield False, a, b
        return
    for what, i, i_end, j, j_end in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        yield what == "equal", a[i:i_end], b[j:j_end]


def _join(parts: Sequence[MarkedText]) -> list[MarkedText]:
    """Without empty parts, and with neighbours of one mark as one."""
    found: list[MarkedText] = []
    for part in parts:
        if not part.text:
            continue
        if found and found[-1].mark == part.mark:
            found[-1] = MarkedText(part.mark, found[-1].text + part.text)
        else:
            found.append(part)
    return found
