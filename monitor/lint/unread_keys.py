"""Keys of a row that its format does not read, and that are not known to be mere metadata."""

from __future__ import annotations

from corpus.files import Row
from corpus.formats import SCORE_KEYS, SOURCE_KEYS, Format

_READ: dict[Format, frozenset[str]] = {
    "messages": frozenset({"messages"}),
    "sharegpt": frozenset({"conversations", "system"}),
    "alpaca": frozenset({"instruction", "input", "output", "system"}),
    "prompt_completion": frozenset({"prompt", "completion"}),
    "preference": frozenset({"prompt", "chosen", "rejected", "system", *SCORE_KEYS}),
    "sharegpt_preference": frozenset({"conversations", "chosen", "rejected", "system", *SCORE_KEYS}),
    "unpaired": frozenset({"prompt", "completion", "label"}),
    "prepared": frozenset({"messages", "row", "hash", "tools"}),
    "prepared_preference": frozenset({"prompt", "chosen", "rejected", "row", "hash", "tools", *SCORE_KEYS}),
}
_METADATA = frozenset({"id", "idx", "index", "uuid", *SOURCE_KEYS})


def find_unread_keys(row: Row, format: Format) -> list[str]:
    """The keys in question, in the order of the row. A key without a value does not count.

    >>> find_unread_keys({"prompt": "2+2?", "completion": "4", "id": 7, "images": ["a.png"]}, "prompt_completion")
    ['images']
    """
    read = _READ[format]
    return [
        key for key, value in row.items() if key not in read and key not in _METADATA and value not in (None, "", [])
    ]
