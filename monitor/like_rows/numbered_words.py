"""The words of texts as numbers: each text is taken apart once, and everything that counts words counts numbers."""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monitor.measures.row_sketch import mix_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORD = re.compile(r"\w+")
_WORD_OR_SIGNS = re.compile(r"\w+|[^\w\s]+")
# Of these the lower case depends on the characters beside them, or is two characters, of which one is in no word.
_ODD_CAPITALS = "Σİ"


@dataclass(frozen=True)
class NumberedWords:
    """The words of some texts, one text after the other, and between them runs of signs, such as "?!".

    ``words``: the different ones, by number. ``number``: of each word, shape (n,). ``count``: of words in each text,
    shape (texts,).
    """

    words: tuple[str, ...]
    number: NDArray[np.int32]
    count: NDArray[np.int64]

    def only_words(self) -> NumberedWords:
        """The same without signs. A word keeps its number."""
        is_word = np.array([_WORD.match(word) is not None for word in self.words], dtype=bool)
        taken = is_word[self.number]
        before = np.concatenate([[0], np.cumsum(taken)])
        count = np.diff(before[np.concatenate([[0], np.cumsum(self.count)])])
        return NumberedWords(self.words, self.number[taken], count)

    def join(self, group: NDArray[np.int64], groups: int) -> NumberedWords:
        """The texts of each group as one text. ``group``: of each text, ascending, shape (texts,); −1 for none."""
        taken = np.repeat(group >= 0, self.count)
        count = np.bincount(group[group >= 0], self.count[group >= 0], groups).astype(np.int64)
        return NumberedWords(self.words, self.number[taken], count)


def number_words(texts: Sequence[str]) -> NumberedWords:
    """Take texts apart into words and runs of signs.

    >>> found = number_words(["So it goes.", "So?!"])
    >>> found.words, found.number.tolist(), found.count.tolist()
    (('So', 'it', 'goes', '.', '?!'), [0, 1, 2, 3, 0, 4], [4, 2])
    """
    numbers = _make_numbers()
    found = array("i")
    count = np.zeros(len(texts), dtype=np.int64)
    for i, text in enumerate(texts):
        before = len(found)
        found.extend(map(numbers.__getitem__, _WORD_OR_SIGNS.findall(text)))
        count[i] = len(found) - before
    return NumberedWords(tuple(numbers), np.array(found, dtype=np.int32), count)


def lower_words(texts: Sequence[str], found: NumberedWords) -> NumberedWords:
    """What ``number_words`` finds in the texts in lower case, from what it ``found`` in them as they are.

    >>> texts = ["So it GOES.", "so?"]
    >>> lower = lower_words(texts, number_words(texts))
    >>> lower.words, lower.number.tolist()
    (('so', 'it', 'goes', '.', '?'), [0, 1, 2, 3, 0, 4])
    """
    numbers = _make_numbers()
    of_word = np.array([numbers[word.lower()] for word in found.words], dtype=np.int32)
    number, count = of_word[found.number], found.count
    odd = [
        i for i, text in enumerate(texts) if not text.isascii() and any(capital in text for capital in _ODD_CAPITALS)
    ]
    if odd:
        count = count.copy()
        parts = np.split(number, np.cumsum(found.count))[: len(texts)]
        for i in odd:
            words = _WORD_OR_SIGNS.findall(texts[i].lower())
            parts[i] = np.array([numbers[word] for word in words], dtype=np.int32)
            count[i] = len(words)
        number = np.concatenate(parts)
    return NumberedWords(tuple(numbers), number, count)


def _make_numbers() -> defaultdict[str, int]:
    """A number for each word, in the order in which they are first asked for."""
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    return numbers


@dataclass(frozen=True)
class KeyedRuns:
    """All runs of so many words within one text. ``key``: equal runs have the same, and two different runs with a
    chance of 2 to the power of −64; ``start``: the index of its first word; ``text``: of its text. Shape (runs,) each.
    """

    key: NDArray[np.uint64]
    start: NDArray[np.int64]
    text: NDArray[np.int64]


def key_runs(found: NumberedWords, words: int) -> KeyedRuns:
    """The runs of so many words of each text, one text after the other.

    >>> runs = key_runs(number_words(["to be or to be", "to be"]), 2)
    >>> runs.start.tolist(), [int(runs.key[0] == key) for key in runs.key], runs.text.tolist()
    ([0, 1, 2, 3, 5], [1, 0, 0, 1, 1], [0, 0, 0, 0, 1])
    """
    begins = np.ones(len(found.number), dtype=bool)
    ends = np.cumsum(found.count)
    for left in range(1, words):
        begins[ends[found.count >= left] - left] = False
    start = np.flatnonzero(begins)
    keys = mix_bits(found.number[start].astype(np.uint64))
    for step in range(1, words):
        keys = mix_bits(keys ^ found.number[start + step].astype(np.uint64))
    text = np.repeat(np.arange(len(found.count)), np.maximum(found.count - (words - 1), 0))
    return KeyedRuns(keys, start, text)


def number_keys(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int32], int]:
    """Equal keys as equal numbers from 0, shape (n,); and how many different ones there are."""
    import pandas as pd

    codes, different = pd.factorize(keys)
    return codes.astype(np.int32), len(different)
