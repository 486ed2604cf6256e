"""Rows that are conversations: each format's keys, read into messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from corpus.files import Row, json_type
from corpus.formats.content import read_text
from corpus.formats.dialogue import split_dialogue
from corpus.formats.keys import KeyLedger, is_empty
from corpus.formats.kinds import Format
from corpus.formats.messages import Messages, read_messages, read_turns
from corpus.formats.unreadable import RowProblem, Unreadable
from corpus.records import Message

# What a row lacks when one of these keys holds nothing.
_MISSING: dict[str, RowProblem] = {
    "messages": "blank row",
    "conversations": "blank row",
    "text": "blank row",
    "prompt": "no prompt",
    "instruction": "no prompt",
    "label": "no label",
}


def require(row: Row, key: str) -> Any:
    """The value of a key. Raises Unreadable where it is missing or null."""
    value = row.get(key)
    if value is None:
        if key not in row:
            raise Unreadable("missing key", f"missing key {key!r}")
        raise Unreadable(_MISSING.get(key, "empty answer"), f"{key!r} is null")
    return value


def require_answer(messages: Messages, key: str | None = None) -> Messages:
    """The messages. Raises Unreadable where the assistant says nothing in them."""
    if all(message.role != "assistant" for message in messages):
        raise Unreadable("no answer", f"no assistant turn in {key!r}" if key else "no assistant turn")
    return messages


def read_question(row: Row, keys: KeyLedger) -> Messages:
    """What an alpaca row asks: its instruction, and below it the input; the input alone where there is nothing else."""
    instruction = row.get("instruction")
    asked = "" if is_empty(instruction) else read_text(instruction, "'instruction'", keys)
    given = row.get("input")
    context = "" if given is None else read_text(given, "'input'", keys)
    if not asked and not context:
        require(row, "instruction")
        asked = read_text(instruction, "'instruction'", keys)
    if not asked.strip() and context.strip():
        keys.note_read_anew()
        return (Message("user", context),)
    return (Message("user", f"{asked}\n\n{context}" if context else asked),)


def read_prompt(row: Row, keys: KeyLedger) -> Messages | None:
    """What a row with answers in columns of their own asks, None where it has no column for that."""
    for key in ("prompt", "conversations", "messages"):
        if row.get(key) is not None:
            return read_turns(row[key], key, "user", keys)
    if row.get("instruction") is not None or not is_empty(row.get("input")):
        return read_question(row, keys)
    return None


def read_answer(row: Row, key: str, keys: KeyLedger) -> Messages:
    """The answer in a column: a text, a message, or messages."""
    value = require(row, key)
    if value == []:
        raise Unreadable("empty answer", f"{key!r} is an empty list")
    return require_answer(read_turns(value, key, "assistant", keys), key)


def read_conversation(row: Row, format: Format, keys: KeyLedger) -> Messages:
    """The messages of a row of a format that holds conversations, without what stands beside them."""
    return CONVERSATION_READERS[format](row, keys)


def _alpaca(row: Row, keys: KeyLedger) -> Messages:
    output = require(row, "output")
    return (*read_question(row, keys), Message("assistant", read_text(output, "'output'", keys)))


def _prompt_completion(row: Row, keys: KeyLedger) -> Messages:
    return read_turns(require(row, "prompt"), "prompt", "user", keys) + read_answer(row, "completion", keys)


def _text(row: Row, keys: KeyLedger) -> Messages:
    turns = split_dialogue(read_text(require(row, "text"), "'text'", keys))
    if turns is None:
        raise Unreadable("no prompt", "'text' does not say where the question ends and the answer begins")
    return turns


def read_prepared_messages(value: Any, key: str) -> Messages:
    """Messages as `corpus.prepare` wrote them: taken as they are."""
    if not isinstance(value, list):
        raise Unreadable("wrong type", f"{key!r} is {json_type(value)}; expected a list of messages")
    messages = []
    for item in value:
        if not isinstance(item, dict) or not isinstance(item.get("content"), str):
            raise Unreadable("wrong type", f"{key!r} holds no message with a content")
        role = item.get("role")
        if role not in ("system", "user", "assistant", "tool"):
            raise Unreadable("unknown role", f"{key!r} has unknown role {role!r}")
        others = item.get("reasoning") or "", item.get("tool_calls") or ""
        if not all(isinstance(text, str) for text in others):
            raise Unreadable("wrong type", f"{key!r} holds no message as `entropylaw prepare` writes it")
        messages.append(Message(role, item["content"], *others, item.get("trained") is not False))
    return tuple(messages)


def _prepared(row: Row, keys: KeyLedger) -> Messages:
    return read_prepared_messages(require(row, "messages"), "messages")


CONVERSATION_READERS: dict[Format, Callable[[Row, KeyLedger], Messages]] = {
    "messages": lambda row, keys: read_messages(require(row, "messages"), "messages", keys),
    "sharegpt": lambda row, keys: read_messages(require(row, "conversations"), "conversations", keys),
    "alpaca": _alpaca,
    "prompt_completion": _prompt_completion,
    "text": _text,
    "prepared": _prepared,
}
