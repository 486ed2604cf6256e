"""Phrases that burst in: runs of words that stand in many added rows and hardly in rows like them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monitor.like_rows.numbered_words import NumberedWords, key_runs, number_keys
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
_WORD = re.compile(r"\w")


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


@dataclass(frozen=True)
class PhraseRuns:
    """All runs of PHRASE_WORDS words and signs of some texts.

    - ``words``: the different words and signs, by number. ``number``: of each word that is read, one text after the
      other, with "^" before each text and "$" behind it, shape (n,). ``count``: of each text, shape (texts,).
    - ``place``: where in ``number`` each different run stands first, shape (different,).
    - ``run``, ``text``: the indices of each run of each text, each pair once, shape (pairs,).
    """

    words: tuple[str, ...]
    number: NDArray[np.int32]
    count: NDArray[np.int64]
    place: NDArray[np.int64]
    run: NDArray[np.int32]
    text: NDArray[np.int32]


def list_phrase_runs(found: NumberedWords) -> PhraseRuns:
    """The runs of texts that were taken apart. Of a long text its start and its end are read.

    >>> from monitor.like_rows.numbered_words import number_words
    >>> runs = list_phrase_runs(number_words(["So it goes?!"]))
    >>> [runs.words[number] for number in runs.number]
    ['^', 'So', 'it', 'goes', '?', '!', '$']
    """
    read = _put_ends(_split_signs(found))
    keyed = key_runs(read, PHRASE_WORDS)
    run, different = number_keys(keyed.key)
    place = np.empty(different, dtype=np.int64)
    # Of several values for one index numpy keeps the last.
    place[run[::-1]] = keyed.start[::-1]
    pairs = np.sort(keyed.text * different + run)
    pairs = pairs[np.flatnonzero(np.diff(pairs, prepend=-1))]
    run, text = (part.astype(np.int32) for part in (pairs % max(different, 1), pairs // max(different, 1)))
    return PhraseRuns(read.words, read.number, read.count, place, run, text)


def _split_signs(found: NumberedWords) -> NumberedWords:
    """The same with each sign for itself."""
    # Of the different words few are more than one sign.
    runs = [i for i, word in enumerate(found.words) if len(word) > 1 and not _WORD.match(word)]
    signs = [found.words[i] for i in runs]
    single = {word: number for number, word in enumerate(found.words) if len(word) == 1}
    words = list(found.words)
    for sign in dict.fromkeys((_START, _END, *"".join(signs))):
        if sign not in single:
            single[sign] = len(words)
            words.append(sign)
    length = np.ones(len(found.words), dtype=np.int64)
    length[runs] = [len(run) for run in signs]
    of_word = length[found.number]
    number = np.repeat(found.number, of_word)
    ends = np.cumsum(of_word)
    split = np.flatnonzero(of_word > 1)
    index_of_run = np.zeros(len(found.words), dtype=np.int64)
    index_of_run[runs] = np.arange(len(runs))
    parts = [np.array([single[sign] for sign in run], dtype=np.int32) for run in signs]
    for at, end in zip(index_of_run[found.number[split]].tolist(), ends[split].tolist(), strict=True):
        number[end - len(parts[at]) : end] = parts[at]
    count = np.diff(np.concatenate([[0], ends])[np.concatenate([[0], np.cumsum(found.count)])])
    return NumberedWords(tuple(words), number, count)


def _put_ends(found: NumberedWords) -> NumberedWords:
    """The words and signs that are read, between the two ends of each text."""
    taken = np.ones(len(found.number), dtype=bool)
    ends = np.cumsum(found.count)
    for text in np.flatnonzero(found.count > 2 * WORDS_OF_A_SIDE).tolist():
        taken[ends[text] - found.count[text] + WORDS_OF_A_SIDE : ends[text] - WORDS_OF_A_SIDE] = False
    number = np.zeros(np.count_nonzero(taken) + 2 * len(found.count), dtype=np.int32)
    count = np.minimum(found.count, 2 * WORDS_OF_A_SIDE) + 2
    ends = np.cumsum(count)
    inside = np.ones(len(number), dtype=bool)
    inside[ends - count], inside[ends - 1] = False, False
    number[inside] = found.number[taken]
    number[ends - count], number[ends - 1] = found.words.index(_START), found.words.index(_END)
    return NumberedWords(found.words, number, count)


def find_phrases(
    runs: PhraseRuns,
    places: NDArray[np.int64],
    kept: int,
    neighbours: Neighbours,
    tested: NDArray[np.bool_],
) -> list[Phrase]:
    """The phrases that burst in, the most significant first.

    ``runs``: of one side of each row. ``places``: which of these rows are compared, the ``kept`` ones first, shape
    (rows,). ``tested``: which of these count, kept and added ones, shape (rows,). How many added rows a phrase would
    stand in is read off their like rows: in each row with the share of its like rows that have the phrase.
    """
    added = np.flatnonzero(tested[kept:]) + kept
    if len(added) < LEAST_ROWS:
        return []
    row_of = np.full(len(runs.count), -1)
    row_of[places] = np.arange(len(places))
    row = row_of[runs.text]
    is_tested = np.zeros(len(places) + 1, dtype=bool)
    is_tested[added] = True
    # A row that is not compared has row −1, and so the last flag.
    in_added, in_kept = (
        np.bincount(runs.run[flags], minlength=len(runs.place)) for flags in (is_tested[row], (row >= 0) & (row < kept))
    )
    least = max(LEAST_ROWS, LEAST_SHARE * len(added))
    candidates = np.flatnonzero((in_added >= least) & (in_added / len(added) > LEAST_LIFT * in_kept / kept))
    candidates = _take_most_frequent(candidates, in_added, runs, row_of)
    is_candidate = np.zeros(len(runs.place), dtype=bool)
    is_candidate[candidates] = True
    looked_at = np.flatnonzero(is_candidate[runs.run] & (row >= 0))
    order = looked_at[np.argsort(runs.run[looked_at], kind="stable")]
    bounds = np.searchsorted(runs.run[order], np.stack([candidates, candidates + 1]))
    tried = max(int(np.count_nonzero(in_added)), 1)
    # The like rows of a batch of one source are few different rows, which tell less of what is usual.
    different = len(np.unique(neighbours.index[added]))
    found = []
    for candidate, start, stop in zip(candidates.tolist(), *bounds.tolist(), strict=True):
        has = np.zeros(len(places), dtype=bool)
        has[row[order[start:stop]]] = True
        share_of_like = has[neighbours.index[added]].mean(axis=1)
        count = int(np.count_nonzero(has[added]))
        # A phrase that no like row has may still stand in a row: as if it stood in half of one like row more.
        usual = min(float((share_of_like.mean() * different + 0.5) / (different + 1)), 1 - 1e-9)
        p = exceed_probability(count, len(added), usual, different)
        place = int(runs.place[candidate])
        words = tuple(runs.words[number] for number in runs.number[place : place + PHRASE_WORDS])
        found.append(Phrase(words, has[added], count, usual * len(added), min(p * tried, 1.0)))
    return sorted(found, key=lambda phrase: (phrase.p_value, -phrase.found, phrase.words))


def _take_most_frequent(
    candidates: NDArray[np.int64], in_added: NDArray[np.int64], runs: PhraseRuns, row_of: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The MAX_PHRASES runs that stand in the most added rows; of equals those whose words come first in the rows."""
    if len(candidates) <= MAX_PHRASES:
        return candidates
    count = np.zeros(int(row_of.max()) + 1, dtype=np.int64)
    count[row_of[row_of >= 0]] = runs.count[row_of >= 0]
    start = np.cumsum(count) - count
    first = np.full(len(runs.words), len(runs.number))
    # Where each word would stand if the texts that are compared stood one after the other, in their order.
    place = np.repeat(start[row_of] - (np.cumsum(runs.count) - runs.count), runs.count) + np.arange(len(runs.number))
    compared = np.repeat(row_of >= 0, runs.count)
    np.minimum.at(first, runs.number[compared], place[compared])
    keys = [first[runs.number[runs.place[candidates] + step]] for step in reversed(range(PHRASE_WORDS))]
    return candidates[np.lexsort((*keys, -in_added[candidates]))][:MAX_PHRASES]
