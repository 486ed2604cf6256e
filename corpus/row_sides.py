"""The two sides of a row, what is asked and what is answered, and keys by which an edited row is known again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from corpus.records import Message, Preference, Record, hash_fraction

# Of ASCII, each letter, digit and underscore in lower case, and a space in place of all else; other bytes stay. These
# are the characters that `\w` matches: those that are alphanumeric, and the underscore.
_WORDS = bytes(ord(chr(i).lower()) if chr(i).isalnum() or chr(i) == "_" else ord(" ") for i in range(128))
_WORDS += bytes(range(128, 256))
# What is no word and not ASCII.
_OTHERS = re.compile(r"[^\w\x00-\x7f]+")


class RowSides(NamedTuple):
    """What is asked, without system messages, and what a model is trained to answer. Messages are joined by "\\n"."""

    prompt: str
    answer: str


def split_sides(record: Record) -> RowSides:
    """The sides of a row. Of a preference the answer is the chosen one, or the rejected one where none was chosen.

    A system message belongs to neither: the same one is often put before many rows, and says nothing of what they ask.

    >>> from corpus.records import Conversation
    >>> messages = Message("system", "Be kind."), Message("user", "Tea?"), Message("assistant", "Yes.")
    >>> split_sides(Conversation(messages))
    RowSides(prompt='Tea?', answer='Yes.')
    """
    if isinstance(record, Preference):
        return RowSides(_join(record.prompt, answers=False), _join(record.chosen or record.rejected, answers=True))
    return RowSides(_join(record.messages, answers=False), _join(record.messages, answers=True))


def _join(messages: Sequence[Message], *, answers: bool) -> str:
    return "\n".join(m.text for m in messages if m.role != "system" and (m.role == "assistant") == answers)


def normalise_text(text: str) -> str:
    """The words in lower case. Texts that differ only in case, spacing and punctuation become the same.

    >>> normalise_text("Hello,   WORLD!")
    'hello world'
    """
    return _find_words(text).decode()


def _find_words(text: str) -> bytes:
    """The words in lower case, in UTF-8. It takes a third of the time of a search by a regular expression, because most
    text is ASCII, of which bytes are translated at once.
    """
    raw = text.encode() if text.isascii() else _OTHERS.sub(" ", text.lower()).encode()
    return b" ".join(raw.translate(_WORDS).split())


def side_key(text: str) -> int:
    """64 bits of the words of a text in lower case: another case, spacing or punctuation leaves the key as it is.

    Of a text without words, such as "?!", all characters count.

    >>> side_key("Hello,  World!") == side_key("hello world")
    True
    """
    words = _find_words(text) or text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest(), "big")


def question_key(record: Record) -> int:
    """The key of what a row asks, so that a row whose answer was edited keeps it; of a row that asks nothing, the key
    of its answer.

    >>> from corpus.records import Conversation
    >>> asked = Message("user", "Tea?")
    >>> before, after = (Conversation((asked, Message("assistant", answer))) for answer in ("Yes.", "No."))
    >>> question_key(before) == question_key(after) == side_key("Tea?")
    True
    """
    sides = split_sides(record)
    return side_key(sides.prompt if sides.prompt.strip() else sides.answer)


def key_fraction(key: int) -> float:
    """A key as a uniform number in [0, 1), by which rows are split.

    >>> key_fraction(2**63)
    0.5
    """
    return hash_fraction(f"{key:016x}")
