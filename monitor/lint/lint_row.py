"""One row as the checks see it: its record, and what several checks want to know of it, worked out once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from corpus.records import Conversation, Message, Record, Role
from corpus.row_sides import RowSides, normalise_text, split_sides


class Place(NamedTuple):
    """Where a row stands: the file, by its position on the command line from 0, and the row's number there from 1."""

    file: int
    row: int


class RowText(NamedTuple):
    """A text of a row that somebody wrote: what one message says, without tool calls, which are JSON."""

    role: Role
    text: str


@dataclass(frozen=True)
class LintRow:
    """A row that could be read. ``index``: its position among all such rows, from 0. ``hash``: its content hash."""

    index: int
    place: Place
    record: Record
    hash: str

    @cached_property
    def sides(self) -> RowSides:
        return split_sides(self.record)

    @cached_property
    def dialogue(self) -> tuple[Message, ...]:
        """The messages in the order in which a model is trained on them; of a preference those of the chosen answer."""
        if isinstance(self.record, Conversation):
            return self.record.messages
        return self.record.prompt + (self.record.chosen or self.record.rejected)

    @cached_property
    def messages(self) -> tuple[Message, ...]:
        """All messages of the row, those of a rejected answer too."""
        if isinstance(self.record, Conversation):
            return self.record.messages
        return self.record.prompt + self.record.chosen + self.record.rejected

    @cached_property
    def texts(self) -> tuple[RowText, ...]:
        """What all messages say: the reasoning and the content of each, where it has them."""
        return tuple(
            RowText(message.role, text)
            for message in self.messages
            for text in (message.reasoning, message.content)
            if text
        )

    @cached_property
    def answers(self) -> str:
        """All that the assistant says in the row, in rejected answers too, joined by line breaks."""
        return "\n".join(message.text for message in self.messages if message.role == "assistant")

    @cached_property
    def final_answer(self) -> Message:
        """The last assistant message of the dialogue. Every record has one."""
        return next(message for message in reversed(self.dialogue) if message.role == "assistant")

    @cached_property
    def prompt_key(self) -> int:
        """64 bits of all that the answers depend on: the tools, system messages and what is asked; 0 if nothing is.

        Another case or spacing leaves it as it is.
        """
        if not self.sides.prompt.strip():
            return 0
        given = [message.content for message in self.messages if message.role == "system"]
        return text_key("\n".join([self.record.tools, *given, self.sides.prompt]))

    @cached_property
    def answer_key(self) -> int:
        """64 bits of what is answered, as ``prompt_key``; 0 if nothing is."""
        return text_key(self.sides.answer) if self.sides.answer.strip() else 0


def text_key(text: str) -> int:
    """64 bits of a text without case, white space, and the punctuation at its end. Signs within it count: C is not C++.

    >>> text_key("Hello,  World!") == text_key("hello, world"), text_key("-5") == text_key("5")
    (True, False)
    """
    plain = " ".join(text.lower().split()).rstrip(".!?…。！？")
    return int.from_bytes(hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case.

    >>> words_of("Hello,  World!")
    ['hello', 'world']
    """
    return normalise_text(text).split()
