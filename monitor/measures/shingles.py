"""Runs of three words of a text as numbers: what two texts are compared by."""

from __future__ import annotations

import functools
import hashlib
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Two rows are compared by their runs of so many words.
SHINGLE_WORDS = 3
# Scripts that put no spaces between words: Thai and Lao, Burmese, Khmer, kana, Chinese characters. There every
# character counts as a word.
WITHOUT_SPACES = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)

# Odd 64-bit numbers, fixed so that the same rows always give the same pairs.
BASE, FIRST, SECOND = 0x68C3FAF3F670A097, 0x51442F7E20B675C9, 0x429F4F6A53B37A2F
# What undoes a product with BASE.
_INVERSE = pow(BASE, -1, 2**64)


def hash_shingles(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The runs of three words of all texts, as 64-bit hashes, one text after the other; and where each text's begin,
    with the end, shape (texts + 1,).

    A text of fewer words is one run, and one without words, such as "?!", is a run as it stands: that it has no words
    does not make it like others. Some 60 bytes of memory a character.
    """
    words, first = _hash_words(texts)
    counts = np.diff(first)
    runs = np.maximum(counts - (SHINGLE_WORDS - 1), 1)
    ends = np.cumsum(runs)
    start = np.repeat(first[:-1] - (ends - runs), runs) + np.arange(ends[-1] if len(ends) else 0)
    stop = np.repeat(first[1:], runs)
    padded = np.append(words, np.zeros(SHINGLE_WORDS, dtype=np.uint64))
    hashes = np.zeros(len(start), dtype=np.uint64)
    for k, factor in enumerate((1, FIRST, SECOND)):
        # The word k behind the start, or nothing where the text ends before it.
        hashes += np.where(start + k < stop, padded[start + k], np.uint64(0)) * np.uint64(factor)
    for i in np.flatnonzero(counts == 0).tolist():
        hashes[ends[i] - 1] = hash_whole(texts[i])
    return mix_bits(hashes), np.concatenate([[0], ends]).astype(np.int64)


def hash_whole(text: str) -> int:
    """A text without words as a 64-bit number."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def mix_bits(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread the bits of each number over all 64 (the finalizer of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@functools.cache
def kinds_of_characters() -> NDArray[np.uint8]:
    r"""By code point: 0 for what is no part of a word (``\w``), 1 for a part, 2 for a word of its own."""
    kinds = np.zeros(sys.maxunicode + 1, dtype=np.uint8)
    characters = np.arange(len(kinds), dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    for found in re.finditer(r"\w+", characters):
        kinds[found.start() : found.end()] = 1
    for low, high in WITHOUT_SPACES:
        kinds[low : high + 1] *= 2
    return kinds


def _hash_words(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The words of all texts as 64-bit hashes, and the number of words before each text, shape (texts + 1,).

    A word is a polynomial in its characters: their code points times 1, BASE, BASE squared and so on.
    """
    characters = np.frombuffer("\n".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    kinds = kinds_of_characters()[characters]
    word = kinds > 0
    # A word begins behind what is no word, and where one of the two characters is a word for itself.
    begins = word.copy()
    begins[1:] &= (kinds[1:] == 2) | (kinds[:-1] != 1)
    starts = np.flatnonzero(begins)
    bounds = np.cumsum([0, *(len(text) + 1 for text in texts)])
    first = np.searchsorted(starts, bounds)
    if not len(starts):
        return np.empty(0, dtype=np.uint64), first
    # With the powers counted first from the beginning of all texts, then from the word's.
    terms = characters * _powers(BASE, len(characters))
    terms[~word] = 0
    return np.add.reduceat(terms, starts) * _powers(_INVERSE, len(characters))[starts], first


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """1, base, base squared and so on, modulo 2**64."""
    powers = np.full(count, base, dtype=np.uint64)
    powers[:1] = 1
    return np.multiply.accumulate(powers)
