"""Shingles and sketches by compiled loops: the numbers of `shingles` and `similarity_sketch`, some ten times as fast.

All compiled functions stand in this file, because numba's cache notices changes of the file that a function stands in,
and of no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from monitor.measures.shingles import BASE, FIRST, SECOND, SHINGLE_WORDS, hash_whole, kinds_of_characters, mix_bits
from monitor.measures.similarity_sketch import EMPTY, ROUNDS, SKETCH_SIZE, STEP

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BASE, _FIRST, _SECOND, _STEP, _EMPTY = (np.uint64(value) for value in (BASE, FIRST, SECOND, STEP, EMPTY))

# Without numba's reference counts, as in selection/deflate_size.py; nothing below allocates. Without Python's lock,
# several threads run these at once.
_compiled = njit(cache=True, nogil=True, _nrt=False, no_cfunc_wrapper=True)  # type: ignore[call-overload]
_inner = njit(cache=True, _nrt=False, no_cfunc_wrapper=True, no_cpython_wrapper=True)  # type: ignore[call-overload]


def hash_shingles(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """As `shingles.hash_shingles`, in 12 bytes of memory a character."""
    characters = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    # A text has no more runs than characters, and one if it has none.
    hashes = np.empty(len(characters) + len(texts), dtype=np.uint64)
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    words = np.zeros(len(texts), dtype=np.int64)
    bounds = np.cumsum([0, *map(len, texts)])
    _hash_runs(characters, bounds, kinds_of_characters(), hashes, offsets, words)
    wordless = np.flatnonzero(words == 0)
    wholes = np.array([hash_whole(texts[i]) for i in wordless.tolist()], dtype=np.uint64)
    hashes[offsets[wordless]] = mix_bits(wholes)
    return hashes[: offsets[-1]], offsets


def sketch_sets(hashes: NDArray[np.uint64], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """As `similarity_sketch.sketch_sets`."""
    numbers = np.full((len(offsets) - 1, SKETCH_SIZE), EMPTY, dtype=np.uint64)
    _sketch(hashes, offsets, numbers)
    return numbers


@_inner
def _mix(value):
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@_compiled
def _hash_runs(characters, bounds, kinds, hashes, offsets, words):
    """Write the hashes of all runs, where those of each text end, and its number of words.

    The one run of a text without words is left for others to write.
    """
    done = 0
    for text in range(len(bounds) - 1):
        stop = bounds[text + 1]
        # The last three words, the newest in `third`; nothing where there are fewer.
        first = second = third = np.uint64(0)
        count = 0
        word, power, before = np.uint64(0), np.uint64(1), np.uint8(0)
        for at in range(bounds[text], stop + 1):
            kind = kinds[characters[at]] if at < stop else np.uint8(0)
            if before and (kind != 1 or before == 2):
                first, second, third = second, third, word
                count += 1
                if count >= SHINGLE_WORDS:
                    hashes[done] = _mix(first + second * _FIRST + third * _SECOND)
                    done += 1
                word, power = np.uint64(0), np.uint64(1)
            if kind:
                word += np.uint64(characters[at]) * power
                power *= _BASE
            before = kind
        if count < SHINGLE_WORDS:
            # The words there are stand at the run's beginning.
            hashes[done] = _mix(second + third * _FIRST if count == 2 else third)
            done += 1
        offsets[text + 1] = done
        words[text] = count


@_compiled
def _sketch(hashes, offsets, numbers):
    for row in range(len(numbers)):
        empty = SKETCH_SIZE
        for turn in range(ROUNDS):
            step, upper = np.uint64(turn) * _STEP, np.uint64(turn) << np.uint64(56)
            for i in range(offsets[row], offsets[row + 1]):
                mixed = _mix(hashes[i] + step)
                own = mixed % np.uint64(SKETCH_SIZE) if turn < SKETCH_SIZE else np.uint64(turn - SKETCH_SIZE)
                before = numbers[row, own]
                number = upper | (mixed >> np.uint64(8))
                if number < before:
                    numbers[row, own] = number
                    empty -= before == _EMPTY
            # A later round changes nothing in a set without empty bins.
            if not empty:
                break
