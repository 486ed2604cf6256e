"""Messages: one of them, and lists of them in every way that they are kept."""

from __future__ import annotations

import ast
import warnings
from itertools import cycle
from typing import Any

from corpus.files import json_type
from corpus.files.json_text import is_json
from corpus.formats.content import Content, read_content, read_text
from corpus.formats.dialogue import split_dialogue
from corpus.formats.keys import KeyLedger, is_empty, is_metadata, is_unsupported
from corpus.formats.roles import CALL_ROLES, PLAIN_ROLES, ROLE_NAMES, role_of
from corpus.formats.tools import are_calls, canonical_json, parse_json, require_sound, write_calls
from corpus.formats.unreadable import Unreadable, Unsupported, quote
from corpus.records import Message, Role

Messages = tuple[Message, ...]

# Who speaks: OpenAI, ShareGPT, MOSS, exports of chat programs, LangChain.
ROLE_KEYS = ("role", "from", "speaker", "author", "sender", "type")
# What is said; where a message has several, the first that holds something is read. Old ShareGPT dumps mix the last
# three with `value`; `parts` is Gemini's.
CONTENT_KEYS = ("content", "value", "text", "markdown", "parts")
# What was thought before the answer: DeepSeek and vLLM, Qwen and Ollama, OpenRouter and vLLM's newer name.
REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
# Whether the turn is learned: OpenAI and Mistral, axolotl, axolotl's other name, ms-swift.
MASK_KEYS = ("weight", "train", "training", "loss")
CALLS_KEY, OLD_CALL_KEY = "tool_calls", "function_call"
_READ = frozenset((*ROLE_KEYS, *CONTENT_KEYS, *REASONING_KEYS, *MASK_KEYS, CALLS_KEY, OLD_CALL_KEY, "data"))
_ROLE_KEYS = frozenset(ROLE_KEYS)
# Python's parser takes some hundred bytes for each; rows that are longer are left out by default anyway.
_LONGEST_PYTHON = 1_000_000
_PAIR_KEYS = frozenset(("input", "output"))
# Notes of chat programs about a message.
_METADATA = frozenset(("additional_kwargs", "response_metadata", "usage_metadata", "example", "loc"))


def read_turns(value: Any, name: str, role: Role, keys: KeyLedger) -> Messages:
    """A text that ``role`` says, one message, or a list of messages. ``name``: of the column, for messages."""
    if isinstance(value, str):
        listed = parse_list(value)
        if listed is None:
            return (Message(role, value),)
        keys.note_read_anew()
        return read_messages(listed, name, keys)
    if isinstance(value, dict) and not _is_columns(value):
        return (read_message(value, f"{name!r}", keys),)
    if isinstance(value, (bytes, float)) or (isinstance(value, list) and len(value) == 1 and isinstance(value[0], str)):
        return (Message(role, read_content(value, f"{name!r}", keys).text),)
    return read_messages(value, name, keys)


def read_messages(value: Any, name: str, keys: KeyLedger) -> Messages:
    """A list of messages, also as its JSON text, as a list of texts in turn, as lists of roles and contents, or as one
    text that is a dialogue. ``name``: of the column, for messages.
    """
    if isinstance(value, list):
        items = value
    else:
        if isinstance(value, (str, bytes)):
            given = read_content(value, f"{name!r}", keys).text
            if turns := split_dialogue(given):
                return turns
            listed = parse_list(given)
            value = parse_json(given) if listed is None else listed
        items = _zip_columns(value, name) if isinstance(value, dict) and _is_columns(value) else value
        if not isinstance(items, list):
            raise Unreadable("wrong type", f"{name!r} is {json_type(items)}; expected a list of messages")
    if not items:
        raise Unreadable("blank row", f"{name!r} is an empty list")
    if isinstance(items[0], str) and all(isinstance(item, str) for item in items):
        speakers: tuple[Role, ...] = ("user", "assistant")
        return tuple(Message(role, text) for role, text in zip(cycle(speakers), items, strict=False))
    if isinstance(items[0], dict) and items[0].keys() >= _PAIR_KEYS:
        return _read_pairs(items, name, keys)
    messages = []
    for item in items:
        # Most messages of most files are a role and a text. This way is several times as fast as the other.
        if type(item) is dict and len(item) == 2:
            speaker = item.get("role") or item.get("from")
            text = item.get("content", item.get("value"))
            role = PLAIN_ROLES.get(speaker) if type(speaker) is str else None
            if role is not None and type(text) is str:
                messages.append(Message(role, text))
                continue
        messages.append(read_message(item, f"message {len(messages) + 1} of {name!r}", keys))
    return tuple(messages)


def parse_list(text: str) -> list[Any] | None:
    """The messages that a text holds as JSON, or as Python writes them into a table; None where it is another text.

    >>> parse_list("[{'role': 'user', 'content': '2+2?'}]")
    [{'role': 'user', 'content': '2+2?'}]
    """
    stripped = text.strip()
    if not (stripped.startswith(("[{", "[ {", "[\n")) and stripped.endswith("]")):
        return None
    value = parse_json(stripped)
    if isinstance(value, str):
        value = _parse_python(stripped)
    listed = isinstance(value, list) and all(isinstance(item, dict) for item in value)
    return value if listed and all(not _ROLE_KEYS.isdisjoint(item) for item in value) else None


def _parse_python(text: str) -> Any:
    """The value that a text holds as Python writes it; None where it is none that JSON could hold."""
    if len(text) > _LONGEST_PYTHON:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes, which are the data's
            value = ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    if not is_json(value):
        return None
    require_sound(value)
    return value


def _read_pairs(items: list[Any], name: str, keys: KeyLedger) -> Messages:
    """Turns that are kept two by two, a question in `input` and its answer in `output`, as Capybara has them."""
    messages = []
    for number, item in enumerate(items, start=1):
        where = f"pair {number} of {name!r}"
        if not isinstance(item, dict) or not item.keys() >= _PAIR_KEYS:
            raise Unreadable("wrong type", f"{where} has no input and output")
        for key, value in item.items():
            if key not in _PAIR_KEYS:
                _pass_over(key, value, where, keys)
        messages.append(Message("user", read_text(item["input"], f"'input' of {where}", keys)))
        messages.append(Message("assistant", read_text(item["output"], f"'output' of {where}", keys)))
    return tuple(messages)


def read_message(item: Any, where: str, keys: KeyLedger) -> Message:
    """One message with all that it says. ``where``: the message in the words of an error."""
    if not isinstance(item, dict):
        raise Unreadable("wrong type", f"{where} is {json_type(item)}; expected an object with a role and a content")
    if isinstance(item.get("data"), dict):  # LangChain keeps all but the role one level deeper
        item = {**item["data"], **{key: value for key, value in item.items() if key != "data"}}
    if not keys.ignored.isdisjoint(item):
        for key in keys.ignored & item.keys():
            if not is_empty(item[key]):
                keys.note_unread(f"message.{key}")
        item = {key: value for key, value in item.items() if key not in keys.ignored}
    role, name = _read_role(item, where)
    content_key = next((key for key in CONTENT_KEYS if not is_empty(item.get(key))), None)
    if content_key is None:
        content_key = next((key for key in CONTENT_KEYS if item.get(key) is not None), None)
    content = (
        Content("") if content_key is None else _read_said(item[content_key], role, f"{content_key!r} of {where}", keys)
    )
    for key, value in item.items():
        if key not in _READ:
            _pass_over(key, value, where, keys)
        elif key in CONTENT_KEYS and key != content_key and value != item[content_key or key] and not is_empty(value):
            keys.note_unread(f"message.{key}")
    reasoning = _read_reasoning(item, where, content, keys)
    text, calls = _read_calls(item, name, content, keys)
    if content_key is None and not calls:
        missing = [key for key in CONTENT_KEYS if key in item]
        problem = f"{missing[0]!r} is null" if missing else f"missing key {'value' if 'from' in item else 'content'!r}"
        raise Unreadable("empty answer" if role == "assistant" else "blank message", f"{where}: {problem}")
    role = "tool" if content.is_result and role == "user" else role
    return Message(role, text, reasoning, calls, _read_mask(item, role, where, keys))


def _read_said(value: Any, role: Role, where: str, keys: KeyLedger) -> Content:
    if role == "tool" and isinstance(value, dict) and not {"parts", "text"} & value.keys():
        return Content(canonical_json(value))  # what a tool gave back, kept as it is
    return read_content(value, where, keys)


def _read_role(item: dict[str, Any], where: str) -> tuple[Role, str]:
    key = next((key for key in ROLE_KEYS if item.get(key) is not None), "role")
    name = item.get(key)
    if isinstance(name, dict):  # ChatGPT's own export
        name = name.get("role")
    role = role_of(name)
    if role is None:
        problem = f"no {key!r}" if name is None else f"unknown role {quote(name)}"
        raise Unreadable("unknown role", f"{where} has {problem}; known are {', '.join(ROLE_NAMES)}")
    return role, str(name).lower()


def _read_reasoning(item: dict[str, Any], where: str, content: Content, keys: KeyLedger) -> str:
    found = [key for key in REASONING_KEYS if not is_empty(item.get(key))]
    if not found:
        return content.reasoning
    keys.note_read_anew()
    text = read_content(item[found[0]], f"{found[0]!r} of {where}", keys).text
    for key in found[1:]:
        if item[key] != item[found[0]]:
            keys.note_unread(f"message.{key}")
    if content.reasoning and content.reasoning != text:
        return f"{text}\n{content.reasoning}"
    return text


def _read_calls(item: dict[str, Any], role_name: str, content: Content, keys: KeyLedger) -> tuple[str, str]:
    """The text and the tool calls of a turn."""
    given = item.get(CALLS_KEY)
    old = item.get(OLD_CALL_KEY)
    if is_empty(given) and not is_empty(old):
        keys.note_read_anew()
        given = old
    if not is_empty(given):
        return content.text, write_calls(given, keys)
    if role_name in CALL_ROLES and content.text.strip():
        called = parse_json(content.text)
        # What is no JSON is kept as what the assistant says: it is what the model learns to write.
        if are_calls(called):
            keys.note_read_anew()
            return "", write_calls(called, keys)
    return content.text, content.tool_calls


def _read_mask(item: dict[str, Any], role: Role, where: str, keys: KeyLedger) -> bool:
    trained = True
    for key in MASK_KEYS:
        value = item.get(key)
        if is_empty(value):
            continue
        if value not in (0, 1):  # False and True among them
            raise Unsupported(
                f"{where} has {key!r} {quote(value)}; a turn is learned (1) or not (0), and no weight between is "
                f"known here; name {key} in prepare.ignore_keys to learn every answer in full"
            )
        if role == "assistant":
            trained = trained and bool(value)
        elif value and key != "weight":
            raise Unsupported(
                f"{where} has {key!r} {quote(value)}, but only answers of the assistant are learned here; name {key} "
                "in prepare.ignore_keys to read the rows without their masks"
            )
    if not trained:
        keys.note_read_anew()
    return trained


def _pass_over(key: str, value: Any, where: str, keys: KeyLedger) -> None:
    # A name says which of several persons or tools speaks, and some templates write it.
    if key in _METADATA or is_empty(value) or (key != "name" and is_metadata(key)):
        return
    if key in keys.ignored or not is_unsupported(key):
        keys.note_unread(f"message.{key}")
        return
    raise Unsupported(
        f"{where} has {key!r}, which changes training and is not supported; name {key} in prepare.ignore_keys to read "
        "the rows without it"
    )


def _is_columns(value: dict[str, Any]) -> bool:
    """Whether an object holds lists of roles and contents in place of a list of messages, as `datasets` keeps them."""
    return any(isinstance(value.get(key), list) for key in ROLE_KEYS)


def _zip_columns(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    columns = {key: column for key, column in value.items() if column is not None}
    lengths = {len(column) if isinstance(column, list) else -1 for column in columns.values()}
    if len(lengths) != 1 or -1 in lengths:
        raise Unreadable(
            "wrong type", f"{name!r} holds columns of different lengths; expected one role for each content"
        )
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
