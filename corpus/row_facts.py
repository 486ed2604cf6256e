"""What is known of each row of a version without its text: its hash, its number, its length, its source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np

from corpus.records import Conversation, HashedRecord, Record
from corpus.row_hashes import RowHashes

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RowFacts(NamedTuple):
    """Shape (rows,) each, in file order.

    ``hashes``: content hashes. ``numbers``: of the rows in the input file, from 1. ``characters``: of all their
    messages together. ``source``: an index into the names in ``sources``.
    """

    hashes: RowHashes
    numbers: NDArray[np.int64]
    characters: NDArray[np.int64]
    source: NDArray[np.int32]
    sources: tuple[str, ...]


@runtime_checkable
class _WithFacts(Protocol):
    facts: RowFacts


def hashes_of(records: Sequence[HashedRecord]) -> RowHashes:
    """The content hashes of some rows, in their order. Rows that lie in a file are not read for it.

    >>> from corpus.records import Conversation, Message
    >>> row = Conversation((Message("user", "Hi"), Message("assistant", "Hello!")), source="mail", row=7)
    >>> rows = [HashedRecord(row, "0" * 32)]
    >>> hashes_of(rows)[0] == "0" * 32, numbers_of(rows).tolist(), characters_of(rows).tolist(), sources_of(rows)
    (True, [7], [8], ['mail'])
    """
    if isinstance(records, _WithFacts):
        return records.facts.hashes
    return RowHashes.of([row_hash for _, row_hash in records])


def numbers_of(records: Sequence[HashedRecord]) -> NDArray[np.int64]:
    """The number of each row in its input file, from 1, shape (rows,)."""
    if isinstance(records, _WithFacts):
        return records.facts.numbers
    return np.array([record.row for record, _ in records], dtype=np.int64)


def characters_of(records: Sequence[HashedRecord]) -> NDArray[np.int64]:
    """The characters of all messages of each row, shape (rows,)."""
    if isinstance(records, _WithFacts):
        return records.facts.characters
    return np.array([count_characters(record) for record, _ in records], dtype=np.int64)


def sources_of(records: Sequence[HashedRecord]) -> list[str]:
    """The source of each row, in their order."""
    if isinstance(records, _WithFacts):
        names = records.facts.sources
        return [names[i] for i in records.facts.source.tolist()]
    return [record.source for record, _ in records]


def locate_rows(
    records: Sequence[HashedRecord], numbers: Sequence[int], hashes: Sequence[str]
) -> NDArray[np.int64] | None:
    """Indices of the rows with these numbers and content hashes, in their order; None where one is not there.

    >>> from corpus.records import Conversation, Message
    >>> rows = [HashedRecord(Conversation((Message("user", "Hi"),), row=i), f"{i}" * 32) for i in (1, 2, 3)]
    >>> locate_rows(rows, [3, 1], ["3" * 32, "1" * 32]).tolist()
    [2, 0]
    """
    all_numbers, all_hashes = numbers_of(records), hashes_of(records)
    candidates = np.flatnonzero(np.isin(all_numbers, np.array(numbers, dtype=np.int64))).tolist()
    index_of = {(int(all_numbers[i]), all_hashes[i]): i for i in candidates}
    found = [index_of.get(key) for key in zip(numbers, hashes, strict=True)]
    return None if None in found else np.array(found, dtype=np.int64)


def count_characters(record: Record) -> int:
    """Characters of all that a record says, its tools included."""
    if isinstance(record, Conversation):
        return len(record.tools) + sum([len(message.text) for message in record.messages])
    messages = (*record.prompt, *record.chosen, *record.rejected)
    return len(record.tools) + sum([len(message.text) for message in messages])
