"""Phrases that burst in: runs of words that stand in many added rows and hardly in rows like them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monitor.like_rows.rank_test import exceed_probability

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


def list_phrases(text: str) -> set[tuple[str, ...]]:
    """The phrases of a text, each once.

    >>> sorted(list_phrases("So it goes."))
    [('So', 'it', 'goes'), ('^', 'So', 'it'), ('goes', '.', '$'), ('it', 'goes', '.')]
    """
    words = re.findall(r"\w+|[^\w\s]", text)
    if len(words) > 2 * WORDS_OF_A_SIDE:
        words = words[:WORDS_OF_A_SIDE] + words[-WORDS_OF_A_SIDE:]
    words = [_START, *words, _END]
    return {tuple(words[i : i + PHRASE_WORDS]) for i in range(len(words) - PHRASE_WORDS + 1)}


def find_phrases(texts: Sequence[str], kept: int, neighbours: Neighbours, tested: NDArray[np.bool_]) -> list[Phrase]:
    """The phrases that burst in, the most significant first.

    ``texts``: one side of each row, the ``kept`` rows first. ``tested``: which rows count, kept and added ones, shape
    (rows,). How many added rows a phrase would stand in is read off their like rows: in each row with the share of its
    like rows that have the phrase.
    """
    added = np.flatnonzero(tested[kept:]) + kept
    if len(added) < LEAST_ROWS:
        return []
    of_row = [list_phrases(text) for text in texts]
    in_added = Counter(phrase for i in added for phrase in of_row[i])
    in_kept = Counter(phrase for i in range(kept) for phrase in of_row[i])
    least = max(LEAST_ROWS, LEAST_SHARE * len(added))
    candidates = [
        phrase
        for phrase, count in in_added.most_common()
        if count >= least and count / len(added) > LEAST_LIFT * in_kept[phrase] / kept
    ][:MAX_PHRASES]
    # The like rows of a batch of one source are few different rows, which tell less of what is usual.
    different = len(np.unique(neighbours.index[added]))
    found = []
    for phrase in candidates:
        has = np.array([phrase in phrases for phrases in of_row])
        share_of_like = has[neighbours.index[added]].mean(axis=1)
        count = int(np.count_nonzero(has[added]))
        # A phrase that no like row has may still stand in a row: as if it stood in half of one like row more.
        likes = neighbours.index.shape[1]
        usual = float((share_of_like.mean() * likes + 0.5) / (likes + 1))
        usual = max(min(usual, 1 - 1e-9), 0.5 / (kept + 1))
        p = exceed_probability(count, len(added), usual, different)
        found.append(Phrase(phrase, has[added], count, usual * len(added), min(1.0, p * max(len(in_added), 1))))
    return sorted(found, key=lambda phrase: (phrase.p_value, -phrase.found, phrase.words))
