"""Traces of broken tools in a text: control tokens, HTML, escapes, wrongly decoded characters and the like.

Any of them may stand in good data: HTML in an answer on HTML, an escape in code. So a trace counts only where the like
rows have none (see ``rank_among``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Characters of a text that are searched. A broken tool leaves its traces from the start.
MAX_CHARACTERS = 20_000


@dataclass(frozen=True)
class Trace:
    """One kind of trace. ``says``: what rows with it have. ``count``: how often it stands in a text."""

    name: str
    says: str
    count: Callable[[str], int]


def _matches(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> Callable[[str], int]:
    compiled = re.compile(pattern, flags)
    return lambda text: sum(1 for _ in compiled.finditer(text))


def count_mojibake(text: str) -> int:
    """Characters and pairs of them that appear where text was read with the wrong decoder.

    >>> count_mojibake("donâ€™t"), count_mojibake("don’t"), count_mojibake("a\ufffdb")
    (1, 0, 1)
    """
    if text.isascii():
        return len(_CONTROLS.findall(text))
    from ftfy.badness import badness

    return int(badness(text)) + len(_CONTROLS.findall(text))


# Control characters but tab and line breaks, code points that stand for no character, and the replacement character.
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufffd\ufffe\uffff\ue000-\uf8ff]")

TRACES = (
    Trace(
        "control tokens",
        "hold control tokens of chat templates",
        # ChatML, Llama 2 and 3, Gemma, Phi, DeepSeek, Vicuna and Alpaca, and what tokenizers write for their own tokens.
        _matches(
            r"<[|｜][\w▁]+[|｜]>|<</?SYS>>|\[/?INST\]|</?s>|<(?:bos|eos|pad|unk|mask)>|\[(?:PAD|UNK|CLS|SEP|MASK)\]"
            r"|<(?:start|end)_of_(?:turn|text)>|^#{2,3} ?(?:Instruction|Response|Input|System|Human|Assistant|User):?",
            re.MULTILINE | re.IGNORECASE,
        ),
    ),
    Trace(
        "speakers",
        "name speakers in the text",
        _matches(r"^\W*(?:human|user|assistant|system|question|answer|prompt|response|bot|ai|gpt) ?:", re.M | re.I),
    ),
    Trace("reasoning tags", "hold tags of reasoning", _matches(r"</?(?:think|thinking|thought|reasoning|scratchpad)>", re.I)),
    Trace("HTML entities", "hold HTML entities", _matches(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,24});", re.I)),
    Trace("HTML tags", "hold HTML tags", _matches(r"</?(?:[bip]|br|div|span|a|em|strong|li|[uo]l|h\d|td|tr|table|font|img)\b[^<>]*>", re.I)),
    Trace("escapes", "hold escapes, such as a literal \\n", _matches(r"\\(?:[nrt\"']|u[0-9a-f]{4}|x[0-9a-f]{2})", re.I)),
    Trace("mojibake", "hold wrongly decoded characters", count_mojibake),
    Trace("terminal codes", "hold codes for a terminal", _matches(r"\x1b\[[0-9;]*[A-Za-z]|\[[0-9]{1,2}(?:;[0-9]{1,2})*m")),
    Trace("no answer", "say no more than that nothing is there", _matches(r"\A\W*(?:nan|none|null|nil|undefined|n/?a|\[?object object\]?|todo|tbd)?\W*\Z", re.I)),
)  # fmt: skip


def count_traces(texts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """How often each kind of trace stands in each text, by the trace's name, shape (texts,) each."""
    short = [text[:MAX_CHARACTERS] for text in texts]
    return {trace.name: np.array([trace.count(text) for text in short], dtype=np.float64) for trace in TRACES}
