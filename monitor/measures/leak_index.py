"""An index of evaluation sets by their runs of three words: which rows of the sets have a run that a text has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from corpus.row_sides import normalise_text
from monitor.measures.near_duplicates import hash_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

Number = TypeVar("Number", np.uint64, np.int64)

# A row of a set with fewer different runs than this, some ten words, cannot be told from small talk.
MIN_RUNS = 8
# An answer of fewer runs, such as a letter, a number or a greeting, is found by its words.
MIN_ANSWER_RUNS = 5
# A run that more rows of a set have is their template, such as "choose the right answer", and tells none of them.
TEMPLATE_ROWS = 8
# In a large set it is so many of them.
TEMPLATE_SHARE = 0.02
# Slots of the table by which most runs are known at once not to be in the index, for each run that is: one in so many
# gets through by chance.
SLOTS_PER_RUN = 32
# The table has at most 2 to this power of slots, of a byte each: 16 MB.
TABLE_BITS = 24
# The sides of a row of a set.
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
    - ``sides``: for each side, the positions of its runs in ``runs``; ``side_runs``: how many they are.
    - ``table``, ``shift``: whether a run whose upper bits, behind ``shift`` lower ones, are these may be there.
    """

    sets: tuple[str, ...]
    rows: tuple[IndexedRow, ...]
    distinct: tuple[int, ...]
    too_short: tuple[int, ...]
    runs: NDArray[np.uint64]
    starts: NDArray[np.int64]
    places: NDArray[np.int64]
    sides: tuple[NDArray[np.int64], ...]
    side_runs: NDArray[np.int64]
    table: NDArray[np.bool_]
    shift: int

    def look_up(self, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of some runs are in the index: their positions in ``hashes``, and in ``runs``; shape (found,) each."""
        maybe = np.flatnonzero(self.table[hashes >> np.uint64(self.shift)])
        at = np.searchsorted(self.runs, hashes[maybe])
        at[at == len(self.runs)] = 0
        is_found = self.runs[at] == hashes[maybe]
        return maybe[is_found], at[is_found]


def build_index(sets: Sequence[EvaluationSet]) -> LeakIndex | None:
    """The index of some sets; None where no row of them can be looked for. A row that comes again counts once."""
    found = _read_sets(sets)
    rows = [row for row, _ in found]
    of_set = np.array([row.set for row in rows], dtype=np.int64)
    sizes = np.array([len(side) for _, both in found for side in both], dtype=np.int64)
    sides = [side for _, both in found for side in both]
    if not sizes.sum():
        return None
    runs, where = np.unique(np.concatenate(sides), return_inverse=True)
    owner = np.repeat(np.arange(len(sides)), sizes)
    is_rare = ~_flag_templates(where, owner // 2, of_set)
    of_row = np.bincount(owner[is_rare] // 2, minlength=len(rows))
    is_kept = of_row >= MIN_RUNS
    too_short = np.bincount(of_set[~is_kept], minlength=len(sets))
    is_used = is_rare & is_kept[owner // 2]
    if not is_used.any():
        return None
    used, where = np.unique(where[is_used], return_inverse=True)
    runs = runs[used]
    # Rows are numbered anew, without those that are too short.
    number = np.cumsum(is_kept) - 1
    owner = 2 * number[owner[is_used] // 2] + owner[is_used] % 2
    side_runs = np.bincount(owner, minlength=2 * int(np.count_nonzero(is_kept)))
    order = np.argsort(where, kind="stable")
    bits = min(TABLE_BITS, int(SLOTS_PER_RUN * len(runs)).bit_length())
    table = np.zeros(2**bits, dtype=bool)
    table[runs >> np.uint64(64 - bits)] = True
    return LeakIndex(
        tuple(evaluation.name for evaluation in sets),
        tuple(row for row, keep in zip(rows, is_kept.tolist(), strict=True) if keep),
        tuple(np.bincount(of_set, minlength=len(sets)).tolist()),
        tuple(too_short.tolist()),
        runs,
        np.concatenate([[0], np.cumsum(np.bincount(where, minlength=len(runs)))]),
        owner[order],
        tuple(np.split(where, np.cumsum(side_runs)[:-1])),
        side_runs,
        table,
        64 - bits,
    )


def _read_sets(sets: Sequence[EvaluationSet]) -> list[tuple[IndexedRow, tuple[NDArray[np.uint64], NDArray[np.uint64]]]]:
    """Each distinct row of some sets, with the runs of its question, and those that the answer has beside them."""
    found = []
    seen: set[bytes] = set()
    for place, evaluation in enumerate(sets):
        for row in evaluation.rows:
            question = hash_messages(row.question)
            # What an answer says again of its question is no evidence that a row has the answer.
            both = question, np.setdiff1d(hash_messages(row.answer), question, assume_unique=True)
            key = b"|".join([side.tobytes() for side in both])
            if key not in seen:
                seen.add(key)
                is_short = len(both[ANSWER]) < MIN_ANSWER_RUNS
                short_answer = normalise_text(" ".join(row.answer)) if is_short else ""
                found.append((IndexedRow(place, row.number, short_answer), both))
    return found


def hash_messages(messages: Sequence[str]) -> NDArray[np.uint64]:
    """The different runs of three words within single messages, ascending; whatever their case and punctuation."""
    said = [message.lower() for message in messages if message.strip()]
    return sort_once(hash_runs(said)[0]) if said else np.empty(0, dtype=np.uint64)


def sort_once(numbers: NDArray[Number]) -> NDArray[Number]:
    """The different numbers, ascending. `np.unique` gives the same; its table of hashes takes ten times as long."""
    ordered = np.sort(numbers)
    once: NDArray[Number] = ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]
    return once


def _flag_templates(run: NDArray[np.int64], row: NDArray[np.int64], of_set: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which runs of rows are of their set's template, because too many of its rows have them.

    ``run``, ``row``: positions, ``row`` ascending; shape (found,) each. ``of_set``: the set of each row.
    """
    rows = len(of_set)
    pairs = run * rows + row
    key = (pairs // rows) * (int(of_set.max()) + 1) + of_set[pairs % rows]
    keys, counts = np.unique(key, return_counts=True)
    most = np.maximum(TEMPLATE_ROWS, TEMPLATE_SHARE * np.bincount(of_set))
    common = keys[counts > most[keys % (int(of_set.max()) + 1)]]
    flags: NDArray[np.bool_] = np.isin(run * (int(of_set.max()) + 1) + of_set[row], common)
    return flags
