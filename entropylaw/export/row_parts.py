"""Parts of rows as more than one trainer wants them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from corpus.records import Message, Preference, Record
from entropylaw.export.losses import Losses

MASKED = "the mark that an answer is not to be learned"
TOOLS, CALLS, REASONING = "the tools", "calls of tools", "reasoning"


def read_calls(message: Message) -> list[dict[str, Any]]:
    """The calls of tools that a message makes, each with a name and arguments."""
    calls: list[dict[str, Any]] = json.loads(message.tool_calls) if message.tool_calls else []
    return calls


def read_tools(record: Record) -> list[Any]:
    """The tools that a model may call, as the data describes them."""
    tools = json.loads(record.tools) if record.tools else []
    return tools if isinstance(tools, list) else [tools]


def count_masked(answers: Iterable[Message], record: Record, losses: Losses) -> None:
    """Count a row that has an answer which must not be learned, where the trainer would learn it."""
    if not all(message.trained for message in answers):
        losses.alter(MASKED, record.row)


def split_answers(preference: Preference) -> list[tuple[tuple[Message, ...], bool]]:
    """The answers of a preference, each with whether it is the chosen one: what KTO reads."""
    sides = ((preference.chosen, True), (preference.rejected, False))
    return [(answer, is_chosen) for answer, is_chosen in sides if answer]
