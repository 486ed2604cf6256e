"""The names of the formats, and which of the two kinds of training records each of them holds."""

from __future__ import annotations

from typing import Literal

Format = Literal[
    "messages",
    "sharegpt",
    "alpaca",
    "prompt_completion",
    "text",
    "preference",
    "sharegpt_preference",
    "rejected_response",
    "ranked",
    "openai_preference",
    "unpaired",
    "prepared",
    "prepared_preference",
]
FormatChoice = Literal["auto", Format]
Kind = Literal["conversations", "preferences"]

# The edition of this package, kept with every accepted version. The first passed over system texts in most formats,
# histories, tools, reasoning and masks; rows that have none of them are the same in both.
READER = 2

CONVERSATIONS: frozenset[Format] = frozenset(
    ("messages", "sharegpt", "alpaca", "prompt_completion", "text", "prepared")
)
# What `corpus.prepare` writes.
PREPARED: frozenset[Format] = frozenset(("prepared", "prepared_preference"))


def kind_of(format: Format) -> Kind:
    """Whether rows of a format are conversations or preferences.

    >>> kind_of("alpaca"), kind_of("unpaired")
    ('conversations', 'preferences')
    """
    return "conversations" if format in CONVERSATIONS else "preferences"
