"""The bytes that stand around and between the rows of a set when it is compressed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Framing:
    """The bytes around and between the rows of a set before it is compressed.

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
# What Python's str() makes of a list of rows, which is what the paper's authors compress in their program.
PYTHON_LIST = Framing(b"[", b", ", b"]")


def reference_text(row: Mapping[str, Any]) -> bytes:
    """A row as it stands in the ``str()`` of a list of rows, to select as the authors' program does.

    >>> reference_text({"id": "a", "conversations": []})
    b"{'id': 'a', 'conversations': []}"
    """
    return repr(row).encode()
