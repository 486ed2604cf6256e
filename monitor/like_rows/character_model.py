"""The surprisal of each character by an n-gram model of the kept rows; a kept row is read by a model without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monitor.measures.row_sketch import mix_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A character and the four before it: about a word.
ORDER = 5
# The estimate from the next shorter context counts like this many observations (Dirichlet smoothing; MacKay and Peto,
# 1995).
SMOOTHING = 3.0
# Before anything was seen, so many characters are equally likely.
ALPHABET = 4096
# Contexts are counted by a hash of this many bits: a few million characters have hardly more than a million contexts.
HASH_BITS = 20
# Characters are gone through in blocks of so many, so that memory does not grow with several numbers for each of them.
BLOCK = 1 << 20


@dataclass(frozen=True)
class Grams:
    """The grams of a text: each character with the four before it in its row. Most of them occur many times.

    ``number``: of each character's gram, shape (n,). ``characters``: of each different gram, the last one first, 0 for
    what stood before the row; shape (different, ORDER).
    """

    number: NDArray[np.int32]
    characters: NDArray[np.uint32]


@dataclass(frozen=True)
class CharacterSurprisal:
    """The surprisal of a gram's last character in bits, for each different gram in each fold, shape (different, folds).

    Look one up as ``bits[number, fold]``; the last column, -1, is that of the model that leaves out no fold. Grams that
    do not occur in a fold are nan there. ``bits``: after the four characters before it in its row. ``bits_alone``:
    without them.
    """

    bits: NDArray[np.float64]
    bits_alone: NDArray[np.float64]


def number_grams(characters: NDArray[np.uint32], length: NDArray[np.int64]) -> Grams:
    """The gram of each character. ``characters``: all rows one after the other, shape (n,), none of them 0.

    ``length``: of each row, shape (rows,).

    >>> text = np.array([ord(c) for c in "tata"], dtype=np.uint32)
    >>> grams = number_grams(text, np.array([2, 2]))
    >>> grams.number.tolist(), [[chr(c) for c in gram] for gram in grams.characters[:, :2]]
    ([0, 1, 0, 1], [['t', '\\x00'], ['a', 't']])
    """
    import pandas as pd

    starts = np.cumsum(length) - length
    # Few different characters occur, so that all of a gram fit into one number of 64 bits, or nearly.
    occurs = np.zeros(int(characters.max(initial=0)) + 1, dtype=bool)
    occurs[characters] = True
    short = np.cumsum(occurs, dtype=np.uint32)[characters]
    bits = int(np.count_nonzero(occurs)).bit_length()
    key, width = short.astype(np.uint64), bits
    for order in range(1, ORDER):
        if width + bits > 64:
            codes, different = pd.factorize(key)
            key, width = codes.astype(np.uint64), len(different).bit_length()
        key <<= np.uint64(bits)
        key[order:] |= short[:-order]
        # Nothing is known of what stood before the row.
        for index in range(order):
            first = starts[length > index] + index
            key[first] = key[first] >> np.uint64(bits) << np.uint64(bits)
        width += bits
    codes, different = pd.factorize(key)
    number = codes.astype(np.int32)
    # Of several values for one index numpy keeps the last.
    place = np.empty(len(different), dtype=np.int64)
    place[number] = np.arange(len(number))
    index_in_row = place - starts[np.searchsorted(starts, place, side="right") - 1]
    of_gram = np.zeros((len(different), ORDER), dtype=np.uint32)
    for order in range(ORDER):
        reaches = index_in_row >= order
        of_gram[reaches, order] = characters[place[reaches] - order]
    return Grams(number, of_gram)


def measure_surprisal(
    grams: Grams, fold: NDArray[np.int64], counts: NDArray[np.bool_] | None = None
) -> CharacterSurprisal:
    """The surprisal of each character by a model of the characters in the other folds.

    ``fold``: of each character, shape (n,): 0, 1, ... where the model leaves out the character's own fold; −1 where it
    leaves out none. ``counts``: which characters the model is made of; by default those with a fold. None has fold −1.

    >>> text = np.array([ord(c) for c in "the cat the cat the dot"], dtype=np.uint32)
    >>> grams, fold = number_grams(text, np.array([23])), np.repeat([0, 1, -1], [8, 8, 7])
    >>> surprisal = measure_surprisal(grams, fold).bits[grams.number, fold]
    >>> bool(surprisal[21] > surprisal[17])
    True
    """
    counts = fold >= 0 if counts is None else counts
    times, occurs = _count_grams(grams, fold, counts)
    # Only what occurs is looked at: most grams are in few folds.
    gram, in_fold = np.nonzero(occurs)
    probability = np.full(len(gram), 1 / ALPHABET)
    bits_alone = probability
    contexts = np.zeros(len(grams.characters), np.uint64)
    # A character that follows is hashed otherwise than one in a context, or "ab" and "ba" would share a count.
    following = mix_bits(~grams.characters[:, 0].astype(np.uint64))
    for order in range(ORDER):
        if order:
            contexts = mix_bits(contexts ^ grams.characters[:, order].astype(np.uint64))
        seen = _count_elsewhere(contexts, times, gram, in_fold)
        # Two keys may share a cell. A character must not have been seen more often than its context.
        followed = np.minimum(_count_elsewhere(mix_bits(contexts ^ following), times, gram, in_fold), seen)
        probability = (followed + SMOOTHING * probability) / (seen + SMOOTHING)
        if not order:
            bits_alone = -np.log2(probability)
    found = [np.full(occurs.shape, np.nan) for _ in range(2)]
    for table, values in zip(found, (-np.log2(probability), bits_alone), strict=True):
        table[gram, in_fold] = values
    return CharacterSurprisal(*found)


def _count_grams(
    grams: Grams, fold: NDArray[np.int64], counts: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How often each gram counts in each fold, shape (folds, grams); whether it occurs, shape (grams, folds + 1)."""
    folds = int(fold.max(initial=-1)) + 1
    different = len(grams.characters)
    times = np.zeros(different * (folds + 1))
    occurs = np.zeros(different * (folds + 1), dtype=bool)
    for start in range(0, len(fold), BLOCK):
        block = slice(start, start + BLOCK)
        # Fold −1 is the last one.
        place = grams.number[block].astype(np.int64) * (folds + 1) + fold[block] % (folds + 1)
        occurs[place] = True
        np.add.at(times, place[counts[block]], 1.0)
    by_fold = np.ascontiguousarray(times.reshape(different, folds + 1)[:, :folds].T)
    return by_fold, occurs.reshape(different, folds + 1)


def _count_elsewhere(
    keys: NDArray[np.uint64], times: NDArray[np.float64], gram: NDArray[np.int64], in_fold: NDArray[np.int64]
) -> NDArray[np.int32]:
    """How often the key of each pair of a gram and a fold occurs in the other folds, shape (pairs,).

    ``keys``: of each gram. ``times``: of each gram in each fold, shape (folds, grams).
    """
    cells = (keys >> np.uint64(64 - HASH_BITS)).astype(np.int64)
    # Cells are numbered anew without the empty ones: memory far apart is what takes the time.
    is_used = np.zeros(1 << HASH_BITS, dtype=bool)
    is_used[cells] = True
    cells = (np.cumsum(is_used) - 1)[cells]
    # One column for each fold, side by side, and an empty one for fold −1.
    of_cell = np.zeros((int(np.count_nonzero(is_used)), len(times) + 1), dtype=np.int32)
    for k, of_fold in enumerate(times):
        of_cell[:, k] = np.bincount(cells, of_fold, len(of_cell))
    of_cell = of_cell.sum(axis=1, keepdims=True, dtype=np.int32) - of_cell
    found: NDArray[np.int32] = of_cell.ravel().take(cells[gram] * (len(times) + 1) + in_fold)
    return found
