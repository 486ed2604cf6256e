"""Calls of tools, and the tools that may be called, as one canonical text each, however the data writes them."""

from __future__ import annotations

import json
from typing import Any

from corpus.files import json_type
from corpus.files.json_text import DEEP, find_half_character, is_deep
from corpus.files.row import HALF_CHARACTER, TOO_DEEP
from corpus.formats.keys import KeyLedger, is_empty, is_metadata
from corpus.formats.unreadable import Unreadable

# LangChain writes `args`, Anthropic and Bedrock `input`, some exports `parameters`.
ARGUMENT_KEYS = ("arguments", "args", "input", "parameters")
_CALL_KEYS = frozenset(("function", "name", "id", "type", "index", "toolUseId", *ARGUMENT_KEYS))


def canonical_json(value: Any) -> str:
    """Equal values as equal texts.

    >>> canonical_json({"b": "é", "a": [1, 2]})
    '{"a":[1,2],"b":"é"}'
    """
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise Unreadable("wrong type", "a tool holds a value that is no JSON") from None


def write_tools(value: Any) -> str:
    """The tools that a model may call, given as a list or as its JSON text; "" where there is none.

    >>> write_tools('[{"name": "add", "description": ""}]')
    '[{"description":"","name":"add"}]'
    """
    if isinstance(value, (str, bytes)):
        value = parse_json(value)
    return "" if is_empty(value) else canonical_json(value)


def write_calls(value: Any, keys: KeyLedger) -> str:
    """The calls of one turn, given as a list, one object, or the JSON text of either; "" where there is none.

    >>> write_calls([{"id": "7", "function": {"name": "add", "arguments": '{"b": 2, "a": 1}'}}], KeyLedger())
    '[{"arguments":{"a":1,"b":2},"name":"add"}]'
    """
    if isinstance(value, (str, bytes)):
        value = parse_json(value)
    if is_empty(value):
        return ""
    calls = value if isinstance(value, list) else [value]
    return canonical_json([_call(call, keys) for call in calls])


def are_calls(value: Any) -> bool:
    """Whether a value read from JSON is a call of a tool, or a list of calls."""
    calls = value if isinstance(value, list) else [value]
    return bool(calls) and all(isinstance(call, dict) and _name(call) is not None for call in calls)


def parse_json(text: str | bytes) -> Any:
    """The value that a text holds as JSON; the text itself where it is no JSON.

    Raises Unreadable for JSON that a row could not hold either: half a character, or nested too deeply.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise Unreadable(TOO_DEEP, DEEP) from None
    except ValueError:
        return text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    require_sound(value)
    return value


def require_sound(value: Any) -> None:
    """Raise Unreadable for a value that no row may hold, although it was read from a text."""
    if is_deep(value):
        raise Unreadable(TOO_DEEP, DEEP)
    if problem := find_half_character(value):
        raise Unreadable(HALF_CHARACTER, problem)


def _name(call: dict[str, Any]) -> str | None:
    inner = call.get("function")
    name = inner.get("name") if isinstance(inner, dict) else call.get("name", inner)
    return name if isinstance(name, str) and name else None


def _call(call: Any, keys: KeyLedger) -> dict[str, Any]:
    if not isinstance(call, dict):
        raise Unreadable("wrong type", f"a tool call is {json_type(call)}; expected an object with a name")
    name = _name(call)
    if name is None:
        raise Unreadable("wrong type", "a tool call has no name")
    inner = call["function"] if isinstance(call.get("function"), dict) else call
    arguments: Any = next((inner[key] for key in ARGUMENT_KEYS if inner.get(key) is not None), {})
    if isinstance(arguments, str):
        arguments = parse_json(arguments)
    for part in (call, inner):
        for key, value in part.items():
            if key not in _CALL_KEYS and not is_metadata(key) and not is_empty(value):
                keys.note_unread(f"tool_call.{key}")
    return {"name": name, "arguments": arguments}
