"""Rows with about the words of an earlier row, found by MinHash over runs of three words."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

# At a similarity of 0.8 the estimate then has a standard error of 0.035.
MINHASH_PERMUTATIONS = 128
# Two rows are compared by their runs of so many words.
SHINGLE_WORDS = 3
# Rows are read in portions of so many characters, at some 60 bytes each.
CHUNK_CHARACTERS = 2**20
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
# In the lowest eight bits, which are kept, two different values of a sketch agree by chance once in 256 times.
CHANCE = 1 / 256

# Odd 64-bit numbers, fixed so that the same rows always give the same pairs.
_BASE, _FIRST, _SECOND = 0x68C3FAF3F670A097, 0x51442F7E20B675C9, 0x429F4F6A53B37A2F
# What undoes a product with _BASE.
_INVERSE = pow(_BASE, -1, 2**64)


def flag_near_duplicates(records: Sequence[Record], jaccard: float) -> list[bool]:
    """For each row, whether an earlier row has about the same words: its runs of three words have at least this Jaccard
    similarity.
    """
    if not records:
        return []
    return [bool(flag) for flag in flag_alike(*sketch_texts(map(join_turns, records), jaccard), jaccard)]


def join_turns(record: Record) -> str:
    """The text of a row by which it is compared with others."""
    return "\n".join(message.text for _, message in record.turns()).lower()


def sketch_texts(texts: Iterable[str], jaccard: float) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """What ``flag_alike`` compares: keys, shape (texts, bands), and sketches, shape (texts, MINHASH_PERMUTATIONS)."""
    bands = _count_bands(jaccard)
    keys, sketches = [], []
    for chunk in _chunk(texts):
        values = _sketch(chunk)
        keys.append(_band_keys(values, bands))
        sketches.append(values.astype(np.uint8))
    return np.concatenate(keys), np.concatenate(sketches)


def _chunk(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in portions."""
    portion: list[str] = []
    size = 0
    for text in texts:
        if portion and size + len(text) >= CHUNK_CHARACTERS:
            yield portion
            portion, size = [], 0
        portion.append(text)
        size += len(text) + 1
    if portion:
        yield portion


def _sketch(texts: Sequence[str]) -> NDArray[np.uint32]:
    """The MinHash sketch of each text, shape (texts, MINHASH_PERMUTATIONS)."""
    from rensa import RMinHash

    shingles, offsets = hash_shingles(texts)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(shingles, offsets, MINHASH_PERMUTATIONS, 0)
    return np.array(matrix.to_rows(), dtype=np.uint32)


def hash_shingles(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The runs of three words of all texts, as 64-bit hashes, one text after the other; and where each text's begin,
    with the end, shape (texts + 1,).

    A text of fewer words is one run, and one without words, such as "?!", is a run as it stands: that it has no words
    does not make it like others.
    """
    words, first = _hash_words(texts)
    counts = np.diff(first)
    runs = np.maximum(counts - (SHINGLE_WORDS - 1), 1)
    ends = np.cumsum(runs)
    start = np.repeat(first[:-1] - (ends - runs), runs) + np.arange(ends[-1] if len(ends) else 0)
    stop = np.repeat(first[1:], runs)
    padded = np.append(words, np.zeros(SHINGLE_WORDS, dtype=np.uint64))
    hashes = np.zeros(len(start), dtype=np.uint64)
    for k, factor in enumerate((1, _FIRST, _SECOND)):
        # The word k behind the start, or nothing where the text ends before it.
        hashes += np.where(start + k < stop, padded[start + k], np.uint64(0)) * np.uint64(factor)
    for i in np.flatnonzero(counts == 0).tolist():
        whole = hashlib.blake2b(texts[i].encode("utf-8", "surrogatepass"), digest_size=8).digest()
        hashes[ends[i] - 1] = int.from_bytes(whole, "little")
    return _mix(hashes), np.concatenate([[0], ends]).astype(np.uint64)


def _hash_words(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The words of all texts as 64-bit hashes, and the number of words before each text, shape (texts + 1,)."""
    characters = np.frombuffer("\n".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    kinds = _kinds_of_characters()[characters]
    word = kinds > 0
    # A word begins behind what is no word, and where one of the two characters is a word for itself.
    begins = word.copy()
    begins[1:] &= (kinds[1:] == 2) | (kinds[:-1] != 1)
    starts = np.flatnonzero(begins)
    bounds = np.cumsum([0, *(len(text) + 1 for text in texts)])
    first = np.searchsorted(starts, bounds)
    if not len(starts):
        return np.empty(0, dtype=np.uint64), first
    # A polynomial in the characters, with the powers counted first from the text's beginning, then the word's.
    size = max(len(characters), CHUNK_CHARACTERS)
    powers, inverses = _powers(_BASE, size)[: len(characters)], _powers(_INVERSE, size)
    terms = characters * powers
    terms[~word] = 0
    return np.add.reduceat(terms, starts) * inverses[starts], first


@functools.cache
def _kinds_of_characters() -> NDArray[np.uint8]:
    """By code point: 0 for what is no part of a word, 1 for a part, 2 for a word of its own."""
    kinds = np.fromiter((chr(i).isalnum() or i == ord("_") for i in range(0x110000)), dtype=np.uint8, count=0x110000)
    for low, high in WITHOUT_SPACES:
        kinds[low : high + 1] *= 2
    return kinds


@functools.lru_cache(maxsize=2)
def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """1, base, base squared and so on, modulo 2**64."""
    powers = np.full(count, base, dtype=np.uint64)
    powers[:1] = 1
    return np.multiply.accumulate(powers)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread the bits of each number over all 64 (the finalizer of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _band_keys(values: NDArray[np.uint32], bands: int) -> NDArray[np.uint64]:
    """One number for each band of a sketch, shape (rows, bands)."""
    parts = values.reshape(len(values), bands, -1).astype(np.uint64)
    keys = np.zeros(parts.shape[:2], dtype=np.uint64)
    for k in range(parts.shape[2]):
        keys = _mix(keys + parts[:, :, k] + np.uint64(1))
    return keys


def flag_alike(keys: NDArray[np.uint64], sketches: NDArray[np.uint8], jaccard: float) -> NDArray[np.bool_]:
    """For each text, whether it is like an earlier one: of those with an equal band, the one before it or the first."""
    flags = np.zeros(len(keys), dtype=bool)
    for band in range(keys.shape[1]):
        order = np.argsort(keys[:, band], kind="stable")
        same = np.append(False, keys[order[1:], band] == keys[order[:-1], band])
        first = order[np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))]
        before = np.append(order[:1], order[:-1])
        for earlier in (before, first):
            later = order[same]
            alike = (sketches[later] == sketches[earlier[same]]).mean(axis=1)
            flags[later[(alike - CHANCE) / (1 - CHANCE) >= jaccard]] = True
    return flags


def _count_bands(jaccard: float) -> int:
    """The fewest bands of a MinHash sketch in which two rows of this similarity are compared nine times in ten.

    Two rows are compared when one band of their sketches is equal. More bands find more pairs and take longer.

    >>> _count_bands(0.8), _count_bands(0.5)
    (16, 64)
    """
    bands = 1
    while bands < MINHASH_PERMUTATIONS and (1 - jaccard ** (MINHASH_PERMUTATIONS // bands)) ** bands > 0.1:
        bands *= 2
    return bands
