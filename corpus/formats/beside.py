"""What stands beside the texts of a row and belongs to them: a system text, earlier turns, tools, source and score."""

from __future__ import annotations

import math
from typing import Any

from corpus.files import Row, json_type
from corpus.formats.content import read_text
from corpus.formats.keys import HISTORY_KEY, SCORE_KEYS, SOURCE_KEYS, SYSTEM_KEYS, TOOLS_KEYS, KeyLedger, is_empty
from corpus.formats.kinds import Format
from corpus.formats.messages import Messages, read_messages
from corpus.formats.tools import write_tools
from corpus.formats.unreadable import Unreadable
from corpus.records import Message

# The formats whose key `system` earlier versions of the tool read too.
_SYSTEM_READ_BEFORE: frozenset[Format] = frozenset(("sharegpt", "alpaca", "preference", "sharegpt_preference"))


def add_before(row: Row, messages: Messages, format: Format, keys: KeyLedger) -> Messages:
    """The messages of a row with what comes before them: its system text, then its history.

    A system message that the messages begin with is the one that counts; another system text beside them is named as
    not read.
    """
    earlier = _read_history(row.get(HISTORY_KEY), keys)
    begins = bool(messages) and messages[0].role == "system"
    head, rest = (messages[:1], messages[1:]) if begins else ((), messages)
    texts = [(key, text) for key in SYSTEM_KEYS if (text := _read_system(row.get(key), key, keys))]
    if texts and not begins:
        head = (Message("system", texts[0][1]),)
        if texts[0][0] != "system" or format not in _SYSTEM_READ_BEFORE:
            keys.note_read_anew()
    for key, text in texts:
        if text != head[0].content:
            keys.note_unread(key)
    return (*head, *earlier, *rest)


def read_tools(row: Row, keys: KeyLedger) -> str:
    """The tools that a row lets the model call, as canonical JSON, or ""."""
    found = [(key, text) for key in TOOLS_KEYS if (text := write_tools(row.get(key)))]
    if not found:
        return ""
    keys.note_read_anew()
    for key, text in found[1:]:
        if text != found[0][1]:
            keys.note_unread(key)
    return found[0][1]


def read_source(row: Row) -> str:
    """Where a row says it comes from; "" where it does not say so in words."""
    return next((row[key] for key in SOURCE_KEYS if isinstance(row.get(key), str)), "")


def read_score(row: Row) -> float | None:
    """The grade of the chosen answer, None where there is none or it is no finite number."""
    for key in SCORE_KEYS:
        value: Any = row.get(key)
        # The bound also leaves out whole numbers that are too large for a float.
        if type(value) in (int, float) and math.isfinite(value if type(value) is float else 0) and abs(value) < 1e300:
            return float(value)
    return None


def _read_system(value: Any, key: str, keys: KeyLedger) -> str:
    return "" if is_empty(value) else read_text(value, f"{key!r}", keys)


def _read_history(value: Any, keys: KeyLedger) -> Messages:
    """Earlier turns: pairs of a question and an answer, as LLaMA-Factory and ms-swift have them, or messages."""
    if is_empty(value):
        return ()
    keys.note_read_anew()
    if not isinstance(value, list):
        return read_messages(value, HISTORY_KEY, keys)
    if all(isinstance(item, dict) for item in value):
        return read_messages(value, HISTORY_KEY, keys)
    turns = []
    for number, pair in enumerate(value, start=1):
        if not isinstance(pair, list) or len(pair) != 2:
            found = f"a list of {len(pair)}" if isinstance(pair, list) else json_type(pair)
            raise Unreadable("wrong type", f"pair {number} of 'history' is {found}; expected a question and its answer")
        asked, answered = (read_text(text, f"pair {number} of 'history'", keys) for text in pair)
        turns += [Message("user", asked), Message("assistant", answered)]
    return tuple(turns)
