"""What one training record is: a conversation, or a preference between two answers to the same prompt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from json.encoder import encode_basestring as encode_text
from typing import Literal, NamedTuple

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Message:
    """What one speaker says in one turn.

    ``reasoning``: what was thought before the answer, where the data keeps it apart. ``tool_calls``: the calls of tools
    as canonical JSON, a list of objects with a name and arguments, or "". ``trained``: False for an answer that stays
    in the conversation but must not be learned (OpenAI's ``weight: 0``).
    """

    role: Role
    content: str
    reasoning: str = ""
    tool_calls: str = ""
    trained: bool = True

    @property
    def text(self) -> str:
        r"""All that the turn says, as one text: its reasoning, its content, its tool calls.

        >>> Message("assistant", "4", reasoning="2 and 2").text
        '2 and 2\n4'
        """
        if not self.reasoning and not self.tool_calls:
            return self.content
        return "\n".join(part for part in (self.reasoning, self.content, self.tool_calls) if part)

    @property
    def is_plain(self) -> bool:
        """Whether the message is a role and a content and nothing else."""
        return self.trained and not self.reasoning and not self.tool_calls


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation: its messages in order.

    ``source``: where the data says it comes from, or "". ``row``: its number, from 1, in the file it was read from.
    ``tools``: the tools that the model may call, as canonical JSON, or "".
    """

    messages: tuple[Message, ...]
    source: str = ""
    row: int = 0
    tools: str = ""

    def turns(self) -> tuple[tuple[str, Message], ...]:
        """Each message with its role, in order. The tools come first, with the tag "tools"."""
        return (*_tools_turn(self.tools), *[(message.role, message) for message in self.messages])


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt with a chosen answer, a rejected answer, or both.

    A pair has both. An unpaired row (KTO's boolean label) has one: ``chosen`` where the label is true,
    ``rejected`` where it is false; the other is empty. ``chosen_score`` is the judge's grade of the chosen
    answer where the data carries one (Table 2's *Score* baseline sorts by it). ``tools``: the tools that the model may
    call, as canonical JSON, or "".
    """

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...] = ()
    rejected: tuple[Message, ...] = ()
    source: str = ""
    row: int = 0
    chosen_score: float | None = None
    tools: str = ""

    def turns(self) -> tuple[tuple[str, Message], ...]:
        """Each message with a tag: its role, after "chosen" or "rejected" where it belongs to an answer.

        The tools come first, with the tag "tools".
        """
        tagged: list[tuple[str, Message]] = [*_tools_turn(self.tools)]
        tagged += [(message.role, message) for message in self.prompt]
        tagged += [(f"chosen {message.role}", message) for message in self.chosen]
        tagged += [(f"rejected {message.role}", message) for message in self.rejected]
        return tuple(tagged)


Record = Conversation | Preference


def chosen_conversation(preference: Preference) -> Conversation:
    """The prompt with the chosen answer, as the conversation that SFT would learn.

    >>> pair = Preference((Message("user", "Hi"),), (Message("assistant", "Hello!"),), (Message("assistant", "No"),))
    >>> [message.content for message in chosen_conversation(pair).messages]
    ['Hi', 'Hello!']
    """
    messages = (*preference.prompt, *preference.chosen)
    return Conversation(messages, preference.source, preference.row, preference.tools)


def _tools_turn(tools: str) -> tuple[tuple[str, Message], ...]:
    return (("tools", Message("system", tools)),) if tools else ()


class HashedRecord(NamedTuple):
    """A record with its ``content_hash``, by which a row is known again in another version."""

    record: Record
    hash: str


def canonical_text(record: Record) -> str:
    r"""The text that is measured: role tags and texts, never ids, keys or sources.

    >>> canonical_text(Conversation((Message("user", "Hi"), Message("assistant", "Hello!"))))
    'user: Hi\nassistant: Hello!\n\n'
    """
    return "".join(f"{tag}: {message.text}\n" for tag, message in record.turns()) + "\n"


def plain_text(record: Record) -> str:
    r"""What is said, without role tags: the messages, with a line break between them.

    For methods that were made for texts without roles; a preference gives its prompt and both answers.

    >>> plain_text(Conversation((Message("user", "Hi"), Message("assistant", "Hello!"))))
    'Hi\nHello!'
    """
    return "\n".join(message.text for _, message in record.turns())


def answers_of(record: Record) -> str:
    r"""The answers of the assistant as one text, which for a preference are those of the chosen answer.

    >>> answers_of(Conversation((Message("user", "Hi"), Message("assistant", "Hello!"))))
    'Hello!'
    """
    messages = record.chosen if isinstance(record, Preference) else record.messages
    return "\n".join(message.text for message in messages if message.role == "assistant")


def content_hash(record: Record) -> str:
    """128-bit BLAKE2b of all that is said and trained on, as 32 hex digits. Row number and source do not enter.

    >>> content_hash(Conversation((Message("user", "Hi"), Message("assistant", "Hello!"))))
    '3d2c4d70bce98d71d0d92789f03bf59d'
    """
    # JSON, not canonical_text: a message that contains "\nuser: " must not get the hash of two messages.
    payload = f"[{','.join([_hashed_json(tag, message) for tag, message in record.turns()])}]"
    return hashlib.blake2b(payload.encode(), digest_size=16).hexdigest()


def _hashed_json(tag: str, message: Message) -> str:
    # Written piece by piece, which takes a third of the time of json.dumps over all.
    # A plain message is hashed as it was before messages had more than a content, so that old histories stay readable.
    if message.is_plain:
        return f'["{tag}",{encode_text(message.content)}]'
    parts = (tag, message.content, message.reasoning, message.tool_calls, message.trained)
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))


def hash_fraction(digest: str) -> float:
    """A content hash as a uniform number in [0, 1): the same row lands on the same side of a split in every version.

    >>> hash_fraction("80000000000000000000000000000000")
    0.5
    """
    # 52 bits fit a float exactly, so the result is always below 1.
    return int(digest[:13], 16) / 16**13


def data_hash(row_hashes: Iterable[str]) -> str:
    """The identity of a data version: BLAKE2b over its rows' content hashes in file order, as 32 hex digits."""
    digest = hashlib.blake2b(digest_size=16)
    for row_hash in row_hashes:
        digest.update(bytes.fromhex(row_hash))
    return digest.hexdigest()
