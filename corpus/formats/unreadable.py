"""Why a row is no training record. The words are the same in every command and in prepare.json."""

from __future__ import annotations

from typing import Literal

from corpus.errors import LONGEST_CAUSE

# Why a single row is left out; the rows around it are read. `corpus.files` has reasons of its own for rows that are
# damaged before anybody looks at their keys.
RowProblem = Literal[
    "blank row",
    "blank message",
    "empty answer",
    "no answer",
    "no prompt",
    "no label",
    "missing key",
    "unknown role",
    "wrong type",
    "more than two answers",
    "nothing to train on",
    # Of JSON within a text; `corpus.files` says the same of a row.
    "half a character",
    "nested too deeply",
]


class Unreadable(Exception):
    """One row is not a record. ``reason``: in two words, to be counted by; ``detail``: what exactly is wrong."""

    def __init__(self, reason: RowProblem, detail: str) -> None:
        detail = detail[:LONGEST_CAUSE]
        super().__init__(detail)
        self.reason: RowProblem = reason
        self.detail = detail


class Unsupported(Exception):
    """A row says something that changes training and that this tool cannot read. It is never left out in silence,
    and not as one bad row either, since a file mostly has it in many rows: the file is refused.
    """


def quote(value: object) -> str:
    """A value as it stands in a message, cut where it is long."""
    # The beginning is enough of a text, which may have a million characters.
    text = repr(value[:61] if isinstance(value, str) else value)
    return text if len(text) <= 60 else f"{text[:60]}…"
