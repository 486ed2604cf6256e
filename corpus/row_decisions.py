"""Which records are kept: each is decided by itself, and for every one that is left out there is a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from corpus.files import MAX_ROW_BYTES
from corpus.formats import FormatChoice
from corpus.records import Conversation, Preference, Record, chosen_conversation, content_hash
from corpus.row_facts import count_characters

Reason = Literal["empty answer", "too long", "held out"]


@dataclass(frozen=True)
class PrepareParams:
    """The section ``prepare`` of params.yaml: which rows are left out, and when a file is refused.

    ``format``: of all files that hold what this format holds; "auto" tells it from the rows. ``ignore_keys``: keys of
    rows, messages and parts that are passed over as if they were not there. ``max_characters``: in all messages of a
    row together; a longer row is left out. ``max_dropped_share``: the largest share of the rows read that may be left
    out; held-out rows do not count. ``max_row_bytes``: the size of one row in the file, checked before it is parsed.
    """

    format: FormatChoice = "auto"
    ignore_keys: tuple[str, ...] = ()
    max_characters: int = 1_000_000
    max_dropped_share: float = 0.05
    max_row_bytes: int = MAX_ROW_BYTES

    def __post_init__(self) -> None:
        if self.max_characters < 1 or self.max_row_bytes < 1:
            raise ValueError("max_characters and max_row_bytes must be at least 1")
        if not 0 <= self.max_dropped_share <= 1:
            raise ValueError(f"max_dropped_share must lie between 0 and 1, found {self.max_dropped_share}")


@dataclass(frozen=True, slots=True)
class Decision:
    """A record with its content hash, and the ``reason`` it is left out for; None for a record that is kept."""

    record: Record
    hash: str
    reason: Reason | None


def prepare_records(
    records: Iterable[Record], params: PrepareParams, held_out: frozenset[str] = frozenset()
) -> Iterator[Decision]:
    """Decide row by row what is kept. ``held_out``: content hashes of rows that must not be trained on.

    >>> from corpus.records import Message
    >>> messages = (Message("user", "Hi"), Message("assistant", " "))
    >>> [decision.reason for decision in prepare_records([Conversation(messages)], PrepareParams())]
    ['empty answer']
    """
    return (decide_record(record, params, held_out) for record in records)


def decide_record(record: Record, params: PrepareParams, held_out: frozenset[str] = frozenset()) -> Decision:
    """Decide on one record, as ``prepare_records`` does on many."""
    digest = content_hash(record)
    reason: Reason | None = None
    if digest in held_out or (held_out and _chosen_is_held_out(record, held_out)):
        reason = "held out"
    elif not all([answer.strip() for answer in _final_answers(record)]):
        reason = "empty answer"
    elif count_characters(record) > params.max_characters:
        reason = "too long"
    return Decision(record, digest, reason)


def _chosen_is_held_out(record: Record, held_out: frozenset[str]) -> bool:
    """Whether a preference would teach an answer that is kept for evaluation: held-out rows are conversations."""
    if not isinstance(record, Preference) or not record.chosen:
        return False
    return content_hash(chosen_conversation(record)) in held_out


def _final_answers(record: Record) -> list[str]:
    sides = (record.messages,) if isinstance(record, Conversation) else (record.chosen, record.rejected)
    return [
        side[-1].text
        if side[-1].role == "assistant"
        else next(message.text for message in reversed(side) if message.role == "assistant")
        for side in sides
        if side
    ]
