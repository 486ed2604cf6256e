"""The bytes that stand around and between the rows of a set when it is compressed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Framing:
    """The bytes that stand before, between and after the rows of a set when it is compressed.

    >>> PYTHON_LIST.raw_bytes(text_bytes=7, rows=2) == len("[1234, 567]")
    True
    """

    opening: bytes = b""
    separator: bytes = b""
    closing: bytes = b""

    def raw_bytes(self, text_bytes: Any, rows: int) -> Any:
        """Bytes of a set of ``rows`` rows with ``text_bytes`` bytes of text in all (an int or an integer array)."""
        return text_bytes + len(self.opening) + len(self.closing) + len(self.separator) * max(rows - 1, 0)


PLAIN = Framing()
# A list of rows as Python's str() writes it, which is what the program of the paper's authors compresses.
PYTHON_LIST = Framing(b"[", b", ", b"]")


def reference_text(row: Mapping[str, Any]) -> bytes:
    """A row as Python's ``str()`` writes it within a list: what ``compat: reference`` compresses.

    >>> reference_text({"id": "a", "conversations": []})
    b"{'id': 'a', 'conversations': []}"
    """
    return repr(row).encode()
