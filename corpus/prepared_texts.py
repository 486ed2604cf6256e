"""The canonical text of each prepared row, read several times as fast as its record."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec

from corpus.prepared_rows import PreparedRow, read_prepared
from corpus.records import Role, canonical_text


# Nothing here refers to anything that refers back to it, so Python's search for such circles may pass it over.
class _Turn(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A ``corpus.records.Message``, field by field."""

    role: Role
    content: str
    reasoning: str = ""
    tool_calls: str = ""
    trained: bool = True


class _Row(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A ``PreparedRow`` whose messages are not built; those of a preference and the tools are only looked for."""

    source: str
    row: int
    hash: str
    messages: tuple[_Turn, ...] | None = None
    prompt: msgspec.Raw = msgspec.Raw()
    chosen: msgspec.Raw = msgspec.Raw()
    rejected: msgspec.Raw = msgspec.Raw()
    chosen_score: float | None = None
    tools: str = ""


def read_prepared_texts(path: str | Path) -> Iterator[tuple[str, bytes]]:
    """Stream the source and the canonical text, in UTF-8, of each row of a prepared file.

    Raises PreparedRowsError as ``read_prepared`` does.
    """
    decoder, full = msgspec.json.Decoder(_Row), msgspec.json.Decoder(PreparedRow)
    read = 0
    try:
        with open(path, "rb") as handle:
            for line in handle:
                row = decoder.decode(line)
                text = _join(row) or canonical_text(full.decode(line).build()).encode()
                read += 1
                yield row.source, text
    except (OSError, ValueError, RecursionError):
        # The reader of records says what is wrong, and where.
        deque(read_prepared(path), maxlen=0)
        raise
    if not read:
        next(read_prepared(path))


def _join(row: _Row) -> bytes:
    """The text of a conversation of plain messages, as ``canonical_text`` has it; nothing for any other row."""
    if row.tools or not row.messages:
        return b""
    parts = []
    for message in row.messages:
        if message.reasoning or message.tool_calls:
            return b""
        parts.append(f"{message.role}: {message.content}\n")
    parts.append("\n")
    return "".join(parts).encode()
