"""What is known of the two sides of each row without their texts: keys by which they are known again in other rows."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np

from corpus.records import HashedRecord
from corpus.row_hashes import RowHashes
from corpus.row_sides import RowSides, side_key, split_sides

if TYPE_CHECKING:
    from numpy.typing import NDArray

    # Which of some rows to take, by their indices and the keys of their prompts and answers; shape (rows,).
    ChooseRows = Callable[[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]], NDArray[np.bool_]]

# Rows that are asked about at once, in 24 MB.
PORTION = 2**20
# Of a side that is empty. No text but one in 2**64 has it.
NO_KEY = 2**64 - 1
# No rule asks whether an answer has more words than this.
MOST_WORDS = 16


class SideFacts(NamedTuple):
    """Shape (rows,) each, in file order, see `corpus.row_sides`.

    ``prompt``, ``answer``: side keys, NO_KEY of an empty side. ``question``: question keys. ``answers``: hashes of the
    answers as they are, without blanks around them. ``answer_words``: how many words the answers have, at most
    MOST_WORDS.
    """

    prompt: NDArray[np.uint64]
    answer: NDArray[np.uint64]
    question: NDArray[np.uint64]
    answers: RowHashes
    answer_words: NDArray[np.uint8]

    def take(self, rows: NDArray[np.int64]) -> SideFacts:
        """Those of some rows, by their indices."""
        answers = RowHashes(self.answers.digests[rows])
        return SideFacts(self.prompt[rows], self.answer[rows], self.question[rows], answers, self.answer_words[rows])


@runtime_checkable
class _WithSides(Protocol):
    def read_sides(self) -> SideFacts: ...


def side_facts_of(records: Sequence[HashedRecord], rows: NDArray[np.int64] | None = None) -> SideFacts:
    """The facts of all rows, or of those with these indices. Of rows that lie in a file they are measured once.

    >>> from corpus.records import Conversation, Message
    >>> row = Conversation((Message("user", "Tea?"), Message("assistant", "Yes, please.")))
    >>> facts = side_facts_of([HashedRecord(row, "0" * 32)])
    >>> bool(facts.question[0] == facts.prompt[0] == side_key("tea")), facts.answer_words.tolist()
    (True, [2])
    """
    if isinstance(records, _WithSides):
        facts = records.read_sides()
        return facts if rows is None else facts.take(rows)
    chosen = range(len(records)) if rows is None else rows.tolist()
    return measure_sides(split_sides(records[i][0]) for i in chosen)


def side_keys_of(
    records: Sequence[HashedRecord], rows: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The keys of the prompts and of the answers of the rows with these indices, shape (rows,) each."""
    if isinstance(records, _WithSides):
        facts = records.read_sides()
        return facts.prompt[rows], facts.answer[rows]
    prompt, answer, *_ = side_facts_of(records, rows)
    return prompt, answer


def choose_by_sides(
    records: Sequence[HashedRecord], wanted: NDArray[np.bool_], choose: ChooseRows
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Of the ``wanted`` rows those that are chosen by the keys of their sides: their indices, and both keys.

    ``choose`` is asked portion by portion, so that of many rows only the chosen ones take memory.
    """
    found = []
    for start in range(0, len(wanted), PORTION):
        rows = start + np.flatnonzero(wanted[start : start + PORTION])
        prompt, answer = side_keys_of(records, rows)
        chosen = choose(rows, prompt, answer)
        found.append((rows[chosen], prompt[chosen], answer[chosen]))
    none = np.zeros(0, dtype=np.uint64)
    found.append((none.astype(np.int64), none, none))
    rows, prompt, answer = (np.concatenate(part) for part in zip(*found, strict=True))
    return rows, prompt, answer


def measure_sides(sides: Iterable[RowSides]) -> SideFacts:
    """The facts of rows, by their sides, which are read once and not held."""
    prompts, answers, questions = array("Q"), array("Q"), array("Q")
    digests, words = bytearray(), bytearray()
    for asked, answered in sides:
        prompts.append(side_key(asked) if asked else NO_KEY)
        answers.append(side_key(answered) if answered else NO_KEY)
        # As `question_key` has it.
        is_asked = bool(asked) and not asked.isspace()
        questions.append(prompts[-1] if is_asked else answers[-1] if answered else side_key(""))
        digests += hashlib.blake2b(answered.strip().encode("utf-8", "surrogatepass"), digest_size=16).digest()
        words.append(len(answered.split(None, MOST_WORDS)[:MOST_WORDS]))
    prompt, answer, question = (np.array(column, dtype=np.uint64) for column in (prompts, answers, questions))
    return SideFacts(prompt, answer, question, RowHashes.of_bytes(digests), np.array(words, dtype=np.uint8))
