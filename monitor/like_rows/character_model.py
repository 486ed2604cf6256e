"""The surprisal of each character by an n-gram model of the kept rows; a kept row is read by a model without it."""

from __future__ import annotations

import functools
from collections.abc import Callable
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


@dataclass(frozen=True)
class CharacterSurprisal:
    """The surprisal of each character in bits, shapes (n,).

    ``bits``: after the four characters before it in its row. ``bits_alone``: without them.
    """

    bits: NDArray[np.float64]
    bits_alone: NDArray[np.float64]


def measure_surprisal(
    characters: NDArray[np.uint64],
    index_in_row: NDArray[np.int64],
    fold: NDArray[np.int64],
    counts: NDArray[np.bool_] | None = None,
) -> CharacterSurprisal:
    """The surprisal of each character by a model of the characters in the other folds.

    ``characters``: all rows one after the other, shape (n,). ``index_in_row``: of each character, from 0.
    ``fold``: 0, 1, ... where the model leaves out the character's own fold; −1 where it leaves out none.
    ``counts``: which characters the model is made of; by default those with a fold.

    >>> text = np.array([ord(c) for c in "the cat the cat the dot"], dtype=np.uint64)
    >>> surprisal = measure_surprisal(text, np.arange(23), np.repeat([0, 1, -1], [8, 8, 7])).bits
    >>> bool(surprisal[21] > surprisal[17])
    True
    """
    counts = fold >= 0 if counts is None else counts
    probability = np.full(len(characters), 1 / ALPHABET)
    bits_alone = probability
    contexts = np.zeros(len(characters), np.uint64)
    # A character that follows is hashed otherwise than one in a context, or "ab" and "ba" would share a count.
    following = mix_bits(~characters)
    for order in range(ORDER):
        if order:
            before = np.zeros_like(characters)
            before[order:] = characters[:-order]
            # Nothing is known of what stood before the row.
            before[index_in_row < order] = 0
            contexts = mix_bits(contexts ^ before)
        seen = _count_elsewhere(contexts, fold, counts)
        # Two keys may share a cell. A character must not have been seen more often than its context.
        followed = np.minimum(_count_elsewhere(mix_bits(contexts ^ following), fold, counts), seen)
        probability = (followed + SMOOTHING * probability) / (seen + SMOOTHING)
        if not order:
            bits_alone = -np.log2(probability)
    return CharacterSurprisal(-np.log2(probability), bits_alone)


def _count_elsewhere(keys: NDArray[np.uint64], fold: NDArray[np.int64], counts: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How often each key occurs in the folds other than its own."""
    cells = (keys >> np.uint64(64 - HASH_BITS)).astype(np.int64)
    # The counts of one cell lie side by side: memory far apart is what takes the time.
    times = np.zeros((1 << HASH_BITS, int(fold.max(initial=0)) + 2), np.int32)
    elsewhere = np.empty(len(keys), np.int64)
    # numba is missing for new Pythons, and fails where it cannot write its cache. numpy gives the same, more slowly.
    try:
        count = _compile_loops()
    except (ImportError, RuntimeError):
        count = _count_in_numpy
    count(cells, fold, counts, times, elsewhere)
    return elsewhere


@functools.cache
def _compile_loops() -> Callable[..., None]:
    from numba import njit

    compiled: Callable[..., None] = njit(cache=True)(_count_in_loops)
    return compiled


def _count_in_loops(cells, fold, counts, times, elsewhere):  # type: ignore[no-untyped-def]
    """Fill ``elsewhere``. ``times``: zeros, one column for each fold and a last one for all. What counts has a fold."""
    for i in range(len(cells)):
        if counts[i]:
            times[cells[i], fold[i]] += 1
            times[cells[i], -1] += 1
    for i in range(len(cells)):
        elsewhere[i] = times[cells[i], -1]
        if fold[i] >= 0:
            elsewhere[i] -= times[cells[i], fold[i]]


def _count_in_numpy(cells, fold, counts, times, elsewhere):  # type: ignore[no-untyped-def]
    np.add.at(times, (cells[counts], fold[counts]), 1)
    times[:, -1] = times[:, :-1].sum(axis=1)
    elsewhere[:] = times[cells, -1]
    own = fold >= 0
    elsewhere[own] -= times[cells[own], fold[own]]
