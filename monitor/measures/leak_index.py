"""An index of evaluation sets by their runs of three words: which rows of the sets have a run that a text has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from corpus.row_sides import normalise_text
from monitor.measures.near_duplicates import hash_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A row of a set with fewer different runs than this, some ten words, cannot be told from small talk.
MIN_RUNS = 8
# An answer of fewer runs, such as a letter, a number or a greeting, is found by its words.
MIN_ANSWER_RUNS = 5
# A run that more rows of a set have is their template, such as "choose the right answer", and tells none of them; so is
# one that more than this share of them has.
TEMPLATE_ROWS = 8
TEMPLATE_SHARE = 0.02
# Slots of the table by which most runs are known at once not to be in the index, for each run that is: one in so many
# gets through by chance. At most 2 to the power of TABLE_BITS slots of a byte.
SLOTS_PER_RUN = 32
TABLE_BITS = 24
QUESTION, ANSWER = 0, 1


class EvaluationRow(NamedTuple):
    """A row of an evaluation set: its number there, from 1, and its messages. Without an answer, that is empty."""

    number: int
    question: tuple[str, ...]
    answer: tuple[str, ...]


@dataclass(frozen=True)
class EvaluationSet:
    """Rows that must not be trained on. ``name``: as params.yaml has it."""

    name: str
    rows: Sequence[EvaluationRow]


class IndexedRow(NamedTuple):
    """A row of the index: the set it is of, and its number there. ``short_answer``: its words, of an answer with fewer
    than MIN_ANSWER_RUNS runs.
    """

    set: int
    number: int
    short_answer: str = ""


@dataclass(frozen=True)
class LeakIndex:
    """The runs of all distinct rows of some evaluation sets, each row with two sides: what it asks, what it answers.

    - ``sets``: their names. ``rows``: those that can be looked for. ``distinct``, ``too_short``: by set, how many there
      are, and how many are not looked for.
    - ``runs``: ascending, shape (runs,). ``starts``, shape (runs + 1,), and ``places``: the sides that have each run, a
      side as 2 · row + QUESTION or ANSWER.
    - ``sides``: for each side, the positions of its runs in ``runs``.
    """

    sets: tuple[str, ...]
    rows: tuple[IndexedRow, ...]
    distinct: tuple[int, ...]
    too_short: tuple[int, ...]
    runs: NDArray[np.uint64]
    starts: NDArray[np.int64]
    places: NDArray[np.int64]
    sides: tuple[NDArray[np.int64], ...]
    table: NDArray[np.bool_]
    shift: int

    @property
    def side_runs(self) -> NDArray[np.int64]:
        """How many runs each side has, shape (2 · rows,)."""
        return np.array([len(side) for side in self.sides], dtype=np.int64)

    def look_up(self, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of some runs are in the index: their positions among ``hashes``, and in ``runs``; shape (found,) each."""
        maybe = np.flatnonzero(self.table[hashes >> np.uint64(self.shift)])
        at = np.searchsorted(self.runs, hashes[maybe])
        at[at == len(self.runs)] = 0
        is_found = self.runs[at] == hashes[maybe]
        return maybe[is_found], at[is_found]


def build_index(sets: Sequence[EvaluationSet]) -> LeakIndex | None:
    """The index of some sets; None where no row of them can be looked for. A row that comes again counts once."""
    kept: list[IndexedRow] = []
    sides: list[NDArray[np.uint64]] = []
    distinct, too_short = [0] * len(sets), [0] * len(sets)
    seen: set[bytes] = set()
    for place, evaluation in enumerate(sets):
        found = []
        for row in evaluation.rows:
            both = hash_messages(row.question), hash_messages(row.answer)
            key = b"|".join(side.tobytes() for side in both)
            if key not in seen:
                seen.add(key)
                distinct[place] += 1
                is_short = len(both[ANSWER]) < MIN_ANSWER_RUNS
                short_answer = normalise_text(" ".join(row.answer)) if is_short else ""
                found.append((IndexedRow(place, row.number, short_answer), both))
        common = _find_templates([np.union1d(*both) for _, both in found])
        for indexed, both in found:
            rare = [np.setdiff1d(side, common) for side in both]
            if sum(map(len, rare)) < MIN_RUNS:
                too_short[place] += 1
            else:
                kept.append(indexed)
                sides += rare
    if not kept:
        return None
    sizes = np.array([len(side) for side in sides])
    runs, where = np.unique(np.concatenate(sides), return_inverse=True)
    owner = np.repeat(np.arange(len(sides)), sizes)
    order = np.lexsort((owner, where))
    starts = np.concatenate([[0], np.cumsum(np.bincount(where, minlength=len(runs)))])
    bits = min(TABLE_BITS, int(SLOTS_PER_RUN * len(runs)).bit_length())
    table = np.zeros(2**bits, dtype=bool)
    table[runs >> np.uint64(64 - bits)] = True
    return LeakIndex(
        tuple(evaluation.name for evaluation in sets),
        tuple(kept),
        tuple(distinct),
        tuple(too_short),
        runs,
        starts,
        owner[order],
        tuple(np.split(where, np.cumsum(sizes)[:-1])),
        table,
        64 - bits,
    )


def hash_messages(messages: Sequence[str]) -> NDArray[np.uint64]:
    """The different runs of three words within single messages, ascending. Case, spacing and punctuation do not count."""
    said = [message.lower() for message in messages if message.strip()]
    return np.unique(hash_runs(said)[0]) if said else np.empty(0, dtype=np.uint64)


def _find_templates(rows: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """The runs that too many of the rows have; ``rows``: the runs of each."""
    if not rows:
        return np.empty(0, dtype=np.uint64)
    runs, counts = np.unique(np.concatenate(rows), return_counts=True)
    common: NDArray[np.uint64] = runs[counts > max(TEMPLATE_ROWS, TEMPLATE_SHARE * len(rows))]
    return common
