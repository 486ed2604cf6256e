"""Parts of rows as more than one trainer wants them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from corpus.errors import PreparedRowsError
from corpus.files.json_text import JSON_DECODER
from corpus.prepared_rows import MAKE_IT
from corpus.records import Message, Preference, Record
from corpus.shapes import ShapeError, parse_shape
from entropylaw.export.losses import Losses

MASKED = "the mark that an answer is not to be learned"
TOOLS, CALLS, REASONING = "the tools", "calls of tools", "reasoning"


def read_calls(message: Message) -> list[dict[str, Any]]:
    """The calls of tools that a message makes, each with a name and arguments."""
    return _read(message.tool_calls, list[dict[str, Any]]) if message.tool_calls else []


def read_tools(record: Record) -> list[Any]:
    """The tools that a model may call, as the data describes them."""
    tools = _read(record.tools, list[Any] | dict[str, Any] | str) if record.tools else []
    return tools if isinstance(tools, list) else [tools]


def _read(text: str, shape: Any) -> Any:
    """What a prepared row holds as canonical JSON. Raises PreparedRowsError where it does not: the row was edited.

    It is read as data is: a number may have more than 64 bits, which no result has.
    """
    try:
        return parse_shape(JSON_DECODER.decode(text), shape)
    except (ShapeError, ValueError, RecursionError) as error:
        raise PreparedRowsError(
            "prepared rows", f"tools or tool calls that cannot be read ({error}); {MAKE_IT}"
        ) from None


def count_masked(answers: Iterable[Message], record: Record, losses: Losses) -> None:
    """Count a row that has an answer which must not be learned, where the trainer would learn it."""
    if not all(message.trained for message in answers):
        losses.alter(MASKED, record.row)


def split_answers(preference: Preference) -> list[tuple[tuple[Message, ...], bool]]:
    """The answers of a preference, each with whether it is the chosen one: what KTO reads."""
    sides = ((preference.chosen, True), (preference.rejected, False))
    return [(answer, is_chosen) for answer, is_chosen in sides if answer]
