"""How diverse a selection is, beside R: NovelSum, n-gram self-repetition, and R of rows cut to one length.

R favours short rows: a long text repeats itself (arXiv 2507.15092). And all three grow or fall with the number of rows.
So a selection and its pool are measured on equally many rows, those with the lowest content hashes, whatever their
order in the file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from selection.novelsum import measure_densities, measure_novelsum
from selection.ratios import measure_ratios

# Rows that are measured: enough for three digits, in a second.
SAMPLE_ROWS = 1000
# Rows of the pool that densities are made from: half of what NovelSelect takes, for the same reason.
REFERENCE_ROWS = 5000
# Words in a row that count as a repetition (Salkar et al., 2022; Shaib et al., 2024, arXiv 2403.00553, section 2).
NGRAM = 4
# What is read of a row for repetitions: a row of a book would weigh as much as all others and fill the memory.
READ_BYTES = 20_000


@dataclass(frozen=True)
class Diversity:
    """Of ``rows`` rows; each measure is None where too few rows are left to make it.

    ``r_equal_length``: compression ratio with zlib 9 of rows that are all cut to one length; shorter rows are left out.
    ``self_repetition``: see `measure_self_repetition`; high = repetitive. ``novelsum``: see `measure_novelsum`; high =
    diverse.
    """

    rows: int
    r_equal_length: float | None
    self_repetition: float | None
    novelsum: float | None


class DiversityMeter:
    """Measures selections from one pool so that they can be compared.

    ``texts``: each row's canonical text. ``hashes``: of each row's content. ``lengths``: of each text in bytes, where
    they are known.

    >>> texts = [b"user: one\\n\\n", b"user: two\\n\\n", b"user: one\\n\\n"]
    >>> meter = DiversityMeter(texts, ["a", "b", "a"])
    >>> meter.equal_length_bytes, meter.measure([0, 2]).novelsum, meter.measure([0]).novelsum
    (11, 0.0, None)
    """

    def __init__(self, texts: Sequence[bytes], hashes: Sequence[str], lengths: Sequence[int] | None = None) -> None:
        self._texts, self._hashes = texts, hashes
        self._lengths = np.array([len(text) for text in texts] if lengths is None else lengths, dtype=np.int64)

    @cached_property
    def equal_length_bytes(self) -> int:
        """What rows are cut to: the median length of the pool's rows, so that half of them can take part."""
        return int(np.median(self._lengths)) if len(self._lengths) else 0

    def measure(self, positions: Sequence[int], rows: int = SAMPLE_ROWS, long_rows: int = SAMPLE_ROWS) -> Diversity:
        """The diversity of the rows at these positions of the pool, by ``rows`` of them at most.

        R of equal lengths is that of ``long_rows`` at most among those that are long enough.
        """
        ordered = sorted(positions, key=lambda position: (self._hashes[position], position))
        sample = ordered[:rows]
        return Diversity(
            len(sample),
            self._measure_equal_length([row for row in ordered if self._is_long(row)][:long_rows]),
            measure_self_repetition(self._texts[row][:READ_BYTES].decode(errors="replace") for row in sample),
            self._measure_novelsum(sample),
        )

    def count_long(self, positions: Sequence[int]) -> int:
        """How many of these rows are as long as rows are cut to."""
        return sum(map(self._is_long, positions))

    def _is_long(self, row: int) -> bool:
        return 0 < self.equal_length_bytes <= int(self._lengths[row])

    def _measure_equal_length(self, rows: Sequence[int]) -> float | None:
        if not rows:
            return None
        return measure_ratios(self._texts[row][: self.equal_length_bytes] for row in rows)[0]

    def _measure_novelsum(self, rows: Sequence[int]) -> float | None:
        if len(rows) < 2:
            return None
        vectors = self._embed(rows)
        return measure_novelsum(vectors, measure_densities(vectors, self._reference))

    @cached_property
    def _reference(self) -> NDArray[np.float32]:
        ordered = sorted(range(len(self._texts)), key=lambda row: (self._hashes[row], row))
        return self._embed(ordered[:REFERENCE_ROWS])

    def _embed(self, rows: Sequence[int]) -> NDArray[np.float32]:
        from corpus.embeddings import MAX_CHARACTERS, embed_texts, load_embedder

        # No character has more than four bytes.
        read = (self._texts[row][: 4 * MAX_CHARACTERS].decode(errors="ignore") for row in rows)
        return embed_texts(load_embedder(), [text[:MAX_CHARACTERS] for text in read])


def measure_self_repetition(texts: Iterable[str], n: int = NGRAM) -> float | None:
    """The mean over rows of log(1 + how often the row's n-grams of words stand in other rows); None of no rows.

    An n-gram counts once in each row. As the authors' package `diversity` computes it.

    >>> round(measure_self_repetition(["a b c d e", "x a b c d", "q r s t"]), 4) == round(2 * math.log(2) / 3, 4)
    True
    """
    ngrams = [set(zip(*(text.split()[start:] for start in range(n)), strict=False)) for text in texts]
    if not ngrams:
        return None
    rows_with = Counter(ngram for row in ngrams for ngram in row)
    return sum(math.log(1 + sum(rows_with[ngram] - 1 for ngram in row)) for row in ngrams) / len(ngrams)
