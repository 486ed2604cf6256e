"""Phrases that burst in: runs of words that stand in many added rows and hardly in rows like them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monitor.like_rows.rank_comparison import exceed_probability

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.like_rows.neighbours import Neighbours

# A phrase is a run of so many words and signs: fewer are common by chance, more are broken up by small changes.
PHRASE_WORDS = 3
# A phrase in fewer added rows is no burst,
LEAST_ROWS = 5
# nor is one in a smaller share of them.
LEAST_SHARE = 0.02
# Only phrases that stand in so many times more of the added rows than of the kept rows are compared with like rows.
LEAST_LIFT = 3.0
# Of these the most frequent ones.
MAX_PHRASES = 400
# Words of a text that are read at its start, and at its end: phrases that a tool leaves stand in both.
WORDS_OF_A_SIDE = 1500
_START, _END = "^", "$"
_WORDS = re.compile(r"\w+|[^\w\s]")
# Words are numbered below 2 to the power of 21: three of them fit into 64 bits, and a sample has far fewer.
_MASK = (1 << 21) - 1


@dataclass(frozen=True)
class Phrase:
    """A run of words that bursts in.

    ``words``: as they stand in the text; "^" is the beginning of a text and "$" its end. ``rows``: whether each added
    row that was read has it, shape (added,). ``found``, ``expected``: how many have it, and how many would if they were
    like their like rows. ``p_value``: corrected for all phrases of the added rows.
    """

    words: tuple[str, ...]
    rows: NDArray[np.bool_]
    found: int
    expected: float
    p_value: float


def list_words(text: str) -> list[str]:
    """The words and signs of a text that are read, between its two ends.

    >>> list_words("So it goes.")
    ['^', 'So', 'it', 'goes', '.', '$']
    """
    words = _WORDS.findall(text)
    if len(words) > 2 * WORDS_OF_A_SIDE:
        words = words[:WORDS_OF_A_SIDE] + words[-WORDS_OF_A_SIDE:]
    return [_START, *words, _END]


@dataclass(frozen=True)
class _Runs:
    """All runs of words, each once for each text that has it.

    ``words``: the different words, by number. ``runs``: the different runs as numbers of words, shape (different,
    PHRASE_WORDS), in the order of the numbers. ``run``, ``text``: for each run of each text their indices, shape (n,).
    """

    words: tuple[str, ...]
    runs: NDArray[np.int64]
    run: NDArray[np.int64]
    text: NDArray[np.int64]


def _list_runs(texts: Sequence[str]) -> _Runs:
    numbers: dict[str, int] = {}
    parts = []
    for text in texts:
        parts.append(np.array([numbers.setdefault(word, len(numbers)) for word in list_words(text)], dtype=np.int64))
    lengths = np.array([max(0, len(part) - PHRASE_WORDS + 1) for part in parts])
    text_of_run = np.repeat(np.arange(len(texts)), lengths)
    columns = [
        np.concatenate([part[step : step + length] for part, length in zip(parts, lengths.tolist(), strict=True)])
        for step in range(PHRASE_WORDS)
    ]
    # Three numbers below 2 to the power of 21 fit into one.
    key = (columns[0] << 42) | (columns[1] << 21) | columns[2]
    different, run = np.unique(key, return_inverse=True)
    once = np.unique(text_of_run * len(different) + run)
    unpacked = np.stack([different >> 42, (different >> 21) & _MASK, different & _MASK], axis=1)
    return _Runs(tuple(numbers), unpacked, once % len(different), once // len(different))


def find_phrases(texts: Sequence[str], kept: int, neighbours: Neighbours, tested: NDArray[np.bool_]) -> list[Phrase]:
    """The phrases that burst in, the most significant first.

    ``texts``: one side of each row, the ``kept`` rows first. ``tested``: which rows count, kept and added ones, shape
    (rows,). How many added rows a phrase would stand in is read off their like rows: in each row with the share of its
    like rows that have the phrase.
    """
    added = np.flatnonzero(tested[kept:]) + kept
    if len(added) < LEAST_ROWS:
        return []
    runs = _list_runs(texts)
    is_kept = np.arange(len(texts)) < kept
    in_added, in_kept = (
        np.bincount(runs.run[rows[runs.text]], minlength=len(runs.runs)) for rows in (tested & ~is_kept, is_kept)
    )
    least = max(LEAST_ROWS, LEAST_SHARE * len(added))
    candidates = np.flatnonzero((in_added >= least) & (in_added / len(added) > LEAST_LIFT * in_kept / kept))
    candidates = candidates[np.argsort(-in_added[candidates], kind="stable")][:MAX_PHRASES]
    order = np.argsort(runs.run, kind="stable")
    bounds = np.searchsorted(runs.run[order], np.stack([candidates, candidates + 1]))
    tried = max(int(np.count_nonzero(in_added)), 1)
    # The like rows of a batch of one source are few different rows, which tell less of what is usual.
    different = len(np.unique(neighbours.index[added]))
    found = []
    for candidate, start, stop in zip(candidates.tolist(), *bounds.tolist(), strict=True):
        has = np.zeros(len(texts), dtype=bool)
        has[runs.text[order[start:stop]]] = True
        share_of_like = has[neighbours.index[added]].mean(axis=1)
        count = int(np.count_nonzero(has[added]))
        # A phrase that no like row has may still stand in a row: as if it stood in half of one like row more.
        usual = min(float((share_of_like.mean() * different + 0.5) / (different + 1)), 1 - 1e-9)
        p = exceed_probability(count, len(added), usual, different)
        words = tuple(runs.words[number] for number in runs.runs[candidate])
        found.append(Phrase(words, has[added], count, usual * len(added), min(p * tried, 1.0)))
    return sorted(found, key=lambda phrase: (phrase.p_value, -phrase.found, phrase.words))
