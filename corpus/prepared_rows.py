"""The canonical rows that `corpus.prepare` writes and every later stage reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from json.encoder import encode_basestring as encode_text
from pathlib import Path
from typing import Annotated

import msgspec

from corpus.errors import PreparedRowsError
from corpus.files import Row
from corpus.records import Conversation, HashedRecord, Message, Preference, Record, Role

MAKE_IT = "run `entropylaw prepare` or `dvc repro`"


class PreparedRow(msgspec.Struct, forbid_unknown_fields=True):
    """A line of a prepared file: the ``messages`` of a conversation, or the three parts of a preference."""

    source: str
    row: int
    hash: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    messages: tuple[Message, ...] | None = None
    prompt: tuple[Message, ...] = ()
    chosen: tuple[Message, ...] = ()
    rejected: tuple[Message, ...] = ()
    chosen_score: float | None = None
    tools: str = ""

    def build(self) -> Record:
        if self.messages is not None:
            return Conversation(self.messages, self.source, self.row, self.tools)
        sides = self.prompt, self.chosen, self.rejected
        return Preference(*sides, self.source, self.row, self.chosen_score, self.tools)


class _LightMessage(msgspec.Struct, gc=False):
    """A ``Message`` for those who only read: msgspec makes it in a fifth of the time."""

    role: Role
    content: str
    reasoning: str = ""
    tool_calls: str = ""
    trained: bool = True

    text = Message.text


# Nothing in it refers to anything that refers back to it, so Python's search for such circles may pass it over.
class LightRow(PreparedRow, gc=False):
    """A ``PreparedRow`` for those who only read the texts of its messages: these have what a ``Message`` has, but are
    of another type, and are not to be handed on.
    """

    messages: tuple[_LightMessage, ...] | None = None  # type: ignore[assignment]
    prompt: tuple[_LightMessage, ...] = ()  # type: ignore[assignment]
    chosen: tuple[_LightMessage, ...] = ()  # type: ignore[assignment]
    rejected: tuple[_LightMessage, ...] = ()  # type: ignore[assignment]


def read_prepared(path: str | Path) -> Iterator[HashedRecord]:
    """Stream the records of a prepared file with their content hashes, as stored: these are not computed again.

    Raises PreparedRowsError when the file is missing, or is not what ``prepare_file`` wrote.
    """
    number = 0
    decoder = msgspec.json.Decoder(PreparedRow)
    try:
        with open(path, "rb") as handle:
            for line in handle:
                number += 1
                row = decoder.decode(line)
                yield HashedRecord(row.build(), row.hash)
    except OSError as error:
        raise explain_missing(path, error) from None
    except (ValueError, RecursionError) as error:  # of JSON, of UTF-8, or of another shape
        raise explain_bad_row(path, error, number) from None
    if number == 0:
        raise PreparedRowsError(path, f"is empty; {MAKE_IT}")


def explain_missing(path: object, error: OSError) -> PreparedRowsError:
    cause = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
    return PreparedRowsError(path, f"{cause}; {MAKE_IT}")


def explain_bad_row(path: object, error: Exception, number: int) -> PreparedRowsError:
    return PreparedRowsError(path, f"not a prepared row ({error}); {MAKE_IT}", number)


def write_row(record: Record, digest: str) -> str:
    """The line of a prepared file for a record: ``to_row`` as JSON, written several times as fast."""
    if isinstance(record, Conversation) and not record.tools:
        messages = ", ".join([_write_message(message) for message in record.messages])
        source = encode_text(record.source)
        return f'{{"messages": [{messages}], "source": {source}, "row": {record.row}, "hash": "{digest}"}}\n'
    if isinstance(record, Preference) and not record.tools:
        prompt, chosen, rejected = (
            ", ".join([_write_message(message) for message in side])
            for side in (record.prompt, record.chosen, record.rejected)
        )
        sides = f'"prompt": [{prompt}], "chosen": [{chosen}], "rejected": [{rejected}]'
        score = "" if record.chosen_score is None else f', "chosen_score": {record.chosen_score!r}'
        source = encode_text(record.source)
        return f'{{{sides}{score}, "source": {source}, "row": {record.row}, "hash": "{digest}"}}\n'
    return json.dumps(to_row(record, digest), ensure_ascii=False) + "\n"


def _write_message(message: Message) -> str:
    if message.is_plain:
        return f'{{"role": "{message.role}", "content": {encode_text(message.content)}}}'
    return json.dumps(_message_row(message), ensure_ascii=False)


def to_row(record: Record, digest: str) -> Row:
    """The canonical row of a record and its content hash: what a prepared file holds on each line."""
    tail: Row = {"source": record.source, "row": record.row, "hash": digest}
    if record.tools:
        tail["tools"] = record.tools
    if isinstance(record, Conversation):
        return {"messages": _plain(record.messages), **tail}
    score = {} if record.chosen_score is None else {"chosen_score": record.chosen_score}
    return {
        "prompt": _plain(record.prompt),
        "chosen": _plain(record.chosen),
        "rejected": _plain(record.rejected),
        **score,
        **tail,
    }


def _plain(messages: tuple[Message, ...]) -> list[Row]:
    return [_message_row(message) for message in messages]


def _message_row(message: Message) -> Row:
    """The message as an object, without what it does not have."""
    row: Row = {"role": message.role, "content": message.content}
    if not message.is_plain:
        row |= {key: text for key in ("reasoning", "tool_calls") if (text := getattr(message, key))}
        if not message.trained:
            row["trained"] = False
    return row
