"""Traces of broken tools in a text: control tokens, HTML, escapes, wrongly decoded characters and the like.

Any of them may stand in good data: HTML in an answer on HTML, an escape in code. So a trace counts only where the like
rows have none (see ``rank_among``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Characters of a text that are searched. A broken tool leaves its traces from the start.
MAX_CHARACTERS = 20_000
# Of these so many tell whether a text can be read at all.
MAX_READABLE_CHARACTERS = 2_000
# Fewer letters outside ASCII are no text in another alphabet, read rightly or wrongly.
LEAST_LETTERS = 8
# A text with this much mess in it was read with the wrong decoder: charset_normalizer's own limit for a decoding that
# it gives up. English, code, Russian, Arabic, Chinese, Japanese and Korean texts have 0.00 to 0.02, and texts read
# with a wrong decoder 0.2 to 5.
UNREADABLE = 0.2


@dataclass(frozen=True)
class Trace:
    """One kind of trace.

    ``count``: how often it stands in a text. ``unmistakable``: whether it is a trace in data of any kind, so that rows
    of a new kind, which have no like rows, are looked at as well.
    """

    name: str
    count: Callable[[str], int]
    unmistakable: bool = False


# ChatML, Llama 2 and 3, Gemma, Phi, DeepSeek, and what tokenizers write for their own tokens.
CONTROL_TOKEN = re.compile(
    r"<[|｜][\w▁]+[|｜]>|<</?SYS>>|\[/?INST\]|</?s>|<(?:bos|eos|pad|unk|mask)>|\[(?:PAD|UNK|CLS|SEP|MASK)\]"
    r"|<(?:start|end)_of_(?:turn|text)>"
)
# Between them stands what a model thinks before it answers.
REASONING_TAG = re.compile(r"</?(?:think|thinking|thought|reasoning|scratchpad)>", re.IGNORECASE)
HTML_TAG = re.compile(r"</?(?:[bip]|br|div|span|a|em|strong|li|[uo]l|h\d|td|tr|table|font|img)\b[^<>]*>", re.IGNORECASE)


def _matches(
    pattern: str | re.Pattern[str], flags: re.RegexFlag = re.NOFLAG, signs: tuple[str, ...] = ("",)
) -> Callable[[str], int]:
    """How often a pattern stands in a text. ``signs``: one of them stands in every match; to look for them is faster.

    >>> _matches("&[a-z]+;", signs=("&",))("a &lt; b &lt; c")
    2
    """
    compiled = re.compile(pattern, flags)

    def count(text: str) -> int:
        if not any(sign in text for sign in signs):
            return 0
        return sum(1 for _ in compiled.finditer(text))

    return count


def _is_all(pattern: str, flags: re.RegexFlag) -> Callable[[str], int]:
    """1 where a pattern is the whole text, else 0."""
    compiled = re.compile(pattern, flags)
    return lambda text: int(compiled.fullmatch(text) is not None)


def count_mojibake(text: str) -> int:
    """Signs that text was read with the wrong decoder: pairs of characters, control characters, unreadable text.

    >>> count_mojibake("donâ€™t") > 0, count_mojibake("Do you like green tea?".encode().decode("utf-16-le")) > 0
    (True, True)
    >>> [count_mojibake(text) for text in ("don’t", "Où êtes-vous ?", "你好吗?")]
    [0, 0, 0]
    """
    return len(CONTROL_CHARACTER.findall(text)) + count_wrong_decoding(text)


def count_wrong_decoding(text: str) -> int:
    r"""The same without control characters: pairs of characters, signs for what no decoder knew, unreadable text.

    >>> count_wrong_decoding("donâ€™t") > 0, count_wrong_decoding("a\x00b")
    (True, 0)
    """
    if text.isascii():
        return 0
    from charset_normalizer.md import mess_ratio
    from ftfy.badness import badness

    read = text[:MAX_READABLE_CHARACTERS]
    # Emojis and other signs look like mess to it, and make none.
    letters = sum(character.isalpha() and not character.isascii() for character in read)
    mess = mess_ratio(read, 1.0) if letters >= LEAST_LETTERS else 0.0
    return int(badness(text)) + len(_NO_CHARACTER.findall(text)) + (math.ceil(mess) if mess >= UNREADABLE else 0)


# Control characters of ASCII but tab and line breaks.
CONTROL_CHARACTER = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
# Control characters above ASCII, code points that stand for no character, and the replacement character.
_NO_CHARACTER = re.compile("[\x80-\x84\x86-\x9f\ufffd\ufffe\uffff\ue000-\uf8ff]")

TRACES = (
    Trace(
        "control tokens",
        _matches(CONTROL_TOKEN, signs=("<", "[")),
        unmistakable=True,
    ),
    Trace(
        "names of speakers",
        # Of Vicuna, Alpaca and dialogues pasted as text.
        _matches(
            r"^#{2,3} ?(?:instruction|response|input|system|human|assistant|user)\b"
            r"|^\W*(?:human|user|assistant|system|question|answer|prompt|response|bot|ai|gpt) ?:",
            re.MULTILINE | re.IGNORECASE,
            ("##", ":"),
        ),
    ),
    Trace("reasoning tags", _matches(REASONING_TAG, signs=("<",))),
    Trace(
        "HTML entities",
        _matches(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,24});", re.IGNORECASE, ("&",)),
        unmistakable=True,
    ),
    Trace("HTML tags", _matches(HTML_TAG, signs=("<",))),
    Trace("escape sequences", _matches(r"\\(?:[nrt\"']|u[0-9a-f]{4}|x[0-9a-f]{2})", re.IGNORECASE, ("\\",))),
    Trace("wrongly decoded characters", count_mojibake, unmistakable=True),
    Trace(
        "terminal codes",
        _matches(r"\x1b\[[0-9;]*[A-Za-z]|\[[0-9]{1,2}(?:;[0-9]{1,2})*m", signs=("[",)),
        unmistakable=True,
    ),
    Trace(
        "words for nothing",
        _is_all(r"\W*(?:(?:nan|none|null|nil|undefined|n/?a|\[?object object\]?|todo|tbd)\W*)?", re.IGNORECASE),
    ),
)


def count_traces(texts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """How often each kind of trace stands in each text, by the trace's name, shape (texts,) each."""
    short = [text[:MAX_CHARACTERS] for text in texts]
    return {trace.name: np.array([trace.count(text) for text in short], dtype=np.float64) for trace in TRACES}
