"""Rows with about the words of an earlier row, found by sketches of their runs of three words."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from corpus.compiled_loops import announce_text, is_worth_compiling
from corpus.records import Record
from monitor.measures import shingles, similarity_sketch
from monitor.measures.shingles import mix_bits
from monitor.measures.similarity_sketch import SKETCH_SIZE
from monitor.measures.sketch_store import SketchStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _HashShingles = Callable[[Sequence[str]], tuple[NDArray[np.uint64], NDArray[np.int64]]]
    _SketchSets = Callable[[NDArray[np.uint64], NDArray[np.int64]], NDArray[np.uint64]]

# Texts are read in portions of so many characters, at 12 to 60 bytes each.
CHUNK_CHARACTERS = 2**20
# A portion has no more texts than this, whose sketches take a kilobyte each.
CHUNK_TEXTS = 2**13
# Pairs of rows are compared in portions of so many, at 400 bytes each.
COMPARED_PAIRS = 2**14
# In the lowest eight bits, which are kept, two different values of a sketch agree by chance once in 256 times.
CHANCE = 1 / 256


def flag_near_duplicates(records: Sequence[Record], jaccard: float) -> list[bool]:
    """For each row, whether an earlier row has about the same words: its runs of three words have at least this Jaccard
    similarity.
    """
    flags = flag_alike(SketchStore.of(*sketch_texts(map(join_turns, records), jaccard)), jaccard)
    return [bool(flag) for flag in flags]


def join_turns(record: Record) -> str:
    """The text of a row by which it is compared with others."""
    return "\n".join(message.text for _, message in record.turns()).lower()


def sketch_texts(texts: Iterable[str], jaccard: float) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """What ``flag_alike`` compares: keys, shape (texts, bands), and sketches, shape (texts, 128): 256 bytes a text, at
    a Jaccard similarity of 0.8.

    ``jaccard``: the similarity from which two texts are alike; the lower it is, the more bands there are. What is kept
    of a text does not depend on the others.
    """
    bands = count_bands(jaccard)
    keys, sketches = [np.empty((0, bands), dtype=np.uint64)], [np.empty((0, SKETCH_SIZE), dtype=np.uint8)]
    for portion in _cut(texts):
        announce_text(sum(map(len, portion)))
        hash_shingles, sketch_sets = _choose_loops()
        numbers = sketch_sets(*hash_shingles(portion))
        keys.append(_band_keys(numbers, bands))
        sketches.append(numbers.astype(np.uint8))
    return np.concatenate(keys), np.concatenate(sketches)


def flag_alike(store: SketchStore, jaccard: float) -> NDArray[np.bool_]:
    """For each text, whether it is like an earlier one, shape (texts,): of those with an equal key in a band, the one
    before it or the first.

    ``store``: keys and sketches of all texts, from ``sketch_texts`` with the same ``jaccard``.
    """
    flags = np.zeros(store.rows, dtype=bool)
    for band in range(store.bands):
        keys = store.read_band(band)
        order = np.argsort(keys, kind="stable")
        sorted_keys = keys[order]
        same = np.append(False, sorted_keys[1:] == sorted_keys[:-1])[: len(order)]
        first = order[np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))]
        before = np.append(order[:1], order[:-1])
        for earlier in (before, first):
            places = np.flatnonzero(same & ~flags[order])
            for start in range(0, len(places), COMPARED_PAIRS):
                some = places[start : start + COMPARED_PAIRS]
                later = order[some]
                alike = np.count_nonzero(store.pick(later) == store.pick(earlier[some]), axis=1) / SKETCH_SIZE
                flags[later[(alike - CHANCE) / (1 - CHANCE) >= jaccard]] = True
    return flags


def hash_runs(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The runs of three words of some texts: `shingles.hash_shingles`, by compiled loops where it pays."""
    announce_text(sum(map(len, texts)))
    return _choose_loops()[0](texts)


def _choose_loops() -> tuple[_HashShingles, _SketchSets]:
    # numba is missing for new Pythons, and fails where it cannot write its cache. numpy gives the same, more slowly.
    if is_worth_compiling():
        with contextlib.suppress(ImportError, RuntimeError):
            from monitor.measures import sketch_loops

            return sketch_loops.hash_shingles, sketch_loops.sketch_sets
    return shingles.hash_shingles, similarity_sketch.sketch_sets


def _cut(texts: Iterable[str]) -> Iterator[list[str]]:
    portion: list[str] = []
    size = 0
    for text in texts:
        if portion and (size + len(text) > CHUNK_CHARACTERS or len(portion) == CHUNK_TEXTS):
            yield portion
            portion, size = [], 0
        portion.append(text)
        size += len(text)
    if portion:
        yield portion


def _band_keys(numbers: NDArray[np.uint64], bands: int) -> NDArray[np.uint64]:
    """One number for each band of a sketch, shape (rows, bands)."""
    parts = numbers.reshape(len(numbers), bands, -1)
    keys = np.zeros(parts.shape[:2], dtype=np.uint64)
    for k in range(parts.shape[2]):
        keys = mix_bits(keys + parts[:, :, k] + np.uint64(1))
    return keys


def count_bands(jaccard: float) -> int:
    """The fewest bands of a sketch in which two rows of this similarity are compared nine times in ten.

    Two rows are compared when one band of their sketches is equal. More bands find more pairs and take longer.

    >>> count_bands(0.8), count_bands(0.5)
    (16, 64)
    """
    bands = 1
    while bands < SKETCH_SIZE and (1 - jaccard ** (SKETCH_SIZE // bands)) ** bands > 0.1:
        bands *= 2
    return bands
