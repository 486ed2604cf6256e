"""What a chat template is given of a row: tools, calls and reasoning as structures where it writes them, else as text.

Templates differ in what they read. Qwen's write tools, calls and reasoning in their own form; Vicuna's reads nothing
but role and content. What a template would leave out goes into the contents, so that a model sees all of a row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from corpus.records import Message

Chat = list[dict[str, Any]]
Tools = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Structures:
    """What a chat template writes out when it is given it as a structure.

    ``arguments_as_text``: it joins a call's arguments to text, so that they must be JSON text and not an object.
    ``system`` and ``tool``: it writes messages of these roles.
    """

    tools: bool = False
    tool_calls: bool = False
    reasoning: bool = False
    arguments_as_text: bool = False
    system: bool = True
    tool: bool = True

    def none(self) -> Structures:
        """The same template, given everything as text."""
        return replace(self, tools=False, tool_calls=False, reasoning=False)


TEXT = Structures()


class TemplateInput(NamedTuple):
    """The messages and the tools (None: none, or in the messages) as ``apply_chat_template`` takes them."""

    chat: Chat
    tools: Tools | None


def to_chat(messages: Iterable[Message], structures: Structures = TEXT) -> Chat:
    r"""The messages as chat templates and chat endpoints take them.

    What a tool answered is said by the user where the template has no role for tools.

    >>> to_chat([Message("assistant", "It is 4.", reasoning="2 and 2")])
    [{'role': 'assistant', 'content': '2 and 2\nIt is 4.'}]
    >>> to_chat([Message("assistant", "It is 4.", reasoning="2 and 2")], Structures(reasoning=True))
    [{'role': 'assistant', 'content': 'It is 4.', 'reasoning_content': '2 and 2'}]
    """
    return [_to_turn(message, structures) for message in messages]


def to_template_input(messages: Sequence[Message], tools: str, structures: Structures) -> TemplateInput:
    """The messages and the tools (canonical JSON, or "") for a template that writes these ``structures``."""
    parsed = _parse_tools(tools) if tools and structures.tools else None
    if tools and parsed is None:
        messages = add_tools_text(messages, tools, structures)
    return TemplateInput(to_chat(messages, structures), parsed)


def add_tools_text(messages: Sequence[Message], tools: str, structures: Structures = TEXT) -> tuple[Message, ...]:
    """The messages with the tools as text: after the system message, which is added where there is none.

    Where the template writes no system message, the tools come first in the first turn.

    >>> [message.content for message in add_tools_text([Message("user", "Hi")], "[]")]
    ['[]', 'Hi']
    """
    first = messages[0] if messages else None
    if first is not None and first.role == "system":
        return replace(first, content="\n\n".join(filter(None, (first.content, tools)))), *messages[1:]
    if structures.system or first is None:
        return Message("system", tools), *messages
    return replace(first, content=f"{tools}\n\n{first.content}"), *messages[1:]


def _to_turn(message: Message, structures: Structures) -> dict[str, Any]:
    """One message. Only an answer's reasoning and calls are structures: templates look for them nowhere else."""
    role = "user" if message.role == "tool" and not structures.tool else message.role
    if not message.reasoning and not message.tool_calls:
        return {"role": role, "content": message.content}
    is_answer = message.role == "assistant"
    calls = _parse_calls(message.tool_calls, structures) if is_answer and structures.tool_calls else None
    apart = is_answer and structures.reasoning and bool(message.reasoning)
    left = replace(
        message,
        reasoning="" if apart else message.reasoning,
        tool_calls="" if calls else message.tool_calls,
    )
    turn: dict[str, Any] = {"role": role, "content": left.text}
    if apart:
        turn["reasoning_content"] = message.reasoning
    if calls:
        turn["tool_calls"] = calls
    return turn


def _parse_calls(text: str, structures: Structures) -> Tools | None:
    """The calls in the form that templates expect; None where they are not a list of named calls."""
    calls = _parse_objects(text)
    if calls is None or not all(isinstance(call.get("name"), str) for call in calls):
        return None
    functions = []
    for call in calls:
        arguments = call.get("arguments", {})
        if structures.arguments_as_text and not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        functions.append({"type": "function", "function": {"name": call["name"], "arguments": arguments}})
    return functions


def _parse_tools(text: str) -> Tools | None:
    """The tools in the form that templates expect: a bare function gets its wrapper. None where they are no objects."""
    tools = _parse_objects(text)
    if tools is None:
        return None
    return [
        tool if "name" not in tool or "function" in tool else {"type": "function", "function": tool} for tool in tools
    ]


def _parse_objects(text: str) -> Tools | None:
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return items if isinstance(items, list) and items and all(isinstance(item, dict) for item in items) else None
