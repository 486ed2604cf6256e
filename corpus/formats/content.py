"""What one message says: a text, or the parts that it is written in."""

from __future__ import annotations

from typing import Any, NamedTuple

from corpus.files import json_type
from corpus.formats.keys import KeyLedger, is_empty, is_metadata
from corpus.formats.tools import canonical_json, write_calls
from corpus.formats.unreadable import Unreadable, Unsupported, quote

# The names under which a part carries its text: OpenAI's, LLaMA-Factory's, LangChain's.
TEXT_KEYS = ("text", "value", "content")
_TEXT_TYPES = frozenset(("text", "input_text", "output_text"))
_THOUGHT_TYPES = frozenset(("thinking", "reasoning"))
# Anthropic's `tool_use` and `tool_result`, Gemini's and Bedrock's keys for the same.
_CALL_KEYS = ("functionCall", "function_call", "toolUse")
_RESULT_KEYS = ("functionResponse", "function_response", "toolResult")


class Content(NamedTuple):
    """``text``, ``reasoning`` and ``tool_calls`` as a `Message` has them. ``is_result``: a tool says it."""

    text: str
    reasoning: str = ""
    tool_calls: str = ""
    is_result: bool = False


def read_text(value: Any, where: str, keys: KeyLedger) -> str:
    r"""A text, or the text of its parts. A list of texts is one text of several lines.

    >>> read_text(["a", "b"], "'input'", KeyLedger())
    'a\nb'
    """
    if isinstance(value, str):
        return value
    content = read_content(value, where, keys)
    if content.reasoning or content.tool_calls:
        raise Unreadable("wrong type", f"{where} holds a tool call or a thought; expected text")
    return content.text


def read_content(value: Any, where: str, keys: KeyLedger) -> Content:
    """What a content says, in any of the ways that are in use. ``where``: the content in the words of an error."""
    if isinstance(value, str):
        return Content(value)
    if isinstance(value, bytes):
        return Content(_decode(value, where))
    if isinstance(value, float) and is_empty(value):
        return Content("")
    if isinstance(value, dict):
        # ChatGPT's own export keeps the parts one level deeper.
        if "parts" not in value:
            return _join([value], where, keys)
        _note_others(value, ("parts", "content_type", "role"), keys)
        return _join(value["parts"], where, keys)
    if not isinstance(value, list):
        raise Unreadable("wrong type", f"{where} is {json_type(value)}; expected text")
    if value and all(isinstance(part, (str, bytes)) for part in value):
        return Content("\n".join(read_content(part, where, keys).text for part in value))
    return _join(value, where, keys)


def _decode(raw: bytes, where: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Unreadable("wrong type", f"{where} is binary data that is no UTF-8 text") from None


def _join(parts: Any, where: str, keys: KeyLedger) -> Content:
    if not isinstance(parts, list):
        raise Unreadable("wrong type", f"{where} has 'parts' that are {json_type(parts)}; expected a list")
    contents = [_read_part(part, where, keys) for part in parts if not is_empty(part) or isinstance(part, str)]
    calls = [content.tool_calls[1:-1] for content in contents if content.tool_calls]
    return Content(
        "".join(content.text for content in contents),
        "".join(content.reasoning for content in contents),
        f"[{','.join(calls)}]" if calls else "",
        any(content.is_result for content in contents),
    )


def _read_part(part: Any, where: str, keys: KeyLedger) -> Content:
    if isinstance(part, (str, bytes)):
        return Content(part if isinstance(part, str) else _decode(part, where))
    if not isinstance(part, dict):
        raise Unreadable("wrong type", f"{where} has a part that is {json_type(part)}; only text parts are read")
    kind = part["type"] if isinstance(part.get("type"), str) else None
    if kind == "tool_use":
        return Content("", tool_calls=write_calls([part], keys))
    if kind == "tool_result":
        _note_others(part, ("type", "content", "tool_use_id", "is_error"), keys)
        return Content(_read_result(part), is_result=True)
    for key in (*_CALL_KEYS, *_RESULT_KEYS):
        if part.get(key):
            _note_others(part, (key, "type"), keys)
            if key in _CALL_KEYS:
                return Content("", tool_calls=write_calls([part[key]], keys))
            return Content(_read_result(part[key]), is_result=True)
    if kind in _THOUGHT_TYPES or part.get("thought") is True:
        said = next((key for key in (kind or "", *TEXT_KEYS) if isinstance(part.get(key), str)), None)
        _note_others(part, (said, "type", "thought", "signature"), keys)
        return Content("", reasoning=part[said] if said else "")
    said = next((key for key in TEXT_KEYS if isinstance(part.get(key), str)), None)
    if (kind is None or kind in _TEXT_TYPES) and said is not None:
        _note_others(part, (said, "type", "role"), keys)
        return Content(part[said])
    name = kind or next((key for key, held in part.items() if not is_empty(held)), "")
    if name in keys.ignored:
        keys.note_unread(f"part.{name}")
        return Content("")
    raise Unsupported(
        f"{where} has a part that is {quote(name)}, and only text is read; name {name} in prepare.ignore_keys "
        "to read the rows without such parts"
    )


def _read_result(result: dict[str, Any] | Any) -> str:
    held = result
    if isinstance(result, dict):
        held = next((result[key] for key in ("content", "response") if result.get(key) is not None), {})
    texts = held if isinstance(held, list) else [held]
    if all(isinstance(item, str) or (isinstance(item, dict) and isinstance(item.get("text"), str)) for item in texts):
        return "".join(item if isinstance(item, str) else item["text"] for item in texts)
    return canonical_json(held)


def _note_others(part: dict[str, Any], read: tuple[object, ...], keys: KeyLedger) -> None:
    for key, value in part.items():
        if key not in read and not is_metadata(key) and not is_empty(value):
            if key not in keys.ignored and key.startswith(("image", "audio", "video")):
                raise Unsupported(f"a part of a message has {quote(key)} beside its text, and only text is read")
            keys.note_unread(f"part.{key}")
