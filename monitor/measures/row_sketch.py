"""A row sketch: which rows a past version had, in about five bytes a row. It tells added rows without the old data."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus.row_hashes import RowHashes

# A new row is taken for an old one with a chance of 2**-32 at most: in forty thousand versions of 100,000 new
# rows once. A rule learns from rows that are known to be old, so one wrong row among them teaches it damage.
FALSE_POSITIVE_BITS = 32
# Entropylaw up to 0.2.0 kept seven bits, at which one new row in 128 was taken for an old one.
APPROXIMATE_BELOW_BITS = 32
# They take 73 KB at about 34 bits a key, and 97 KB as base64. With the row table and the probe, a history file stays
# below 300 KB.
MAX_KEYS = 17_000
# A key that promises more than this is damaged: no sketch was ever written with so many.
MAX_LOW_BITS = 40

Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class RowDifference:
    """How many rows a new version has added to an old one, removed from it, and kept.

    The new version has ``added + kept`` rows, the old one ``removed + kept``. Copies count singly: a row that stands
    once in the old version and three times in the new one adds two.

    Where a sketch holds every row, the counts are exact; where it is a sample, they are off by about a hundredth. Those
    of an old sketch are off by a few thousandths of the added rows.
    """

    added: int
    removed: int
    kept: int


@dataclass(frozen=True)
class RowSketch:
    """The content hashes of a version's rows in short, as an approximate multiset.

    Each row has a key of ceil(log2 rows) + 32 ``bits``, and each copy of it another one. The sketch holds the ``kept``
    keys below ``limit``: all keys of up to 17,000 rows, and of more rows a sample, the fraction ``limit / 2**bits``.
    ``packed``: the sorted keys in the code of Elias and Fano, as base64: the low 32 bits as they are, the high bits as
    gaps in unary. Sketches of old versions have 7 low bits and up to 90,000 keys.

    >>> old = RowSketch.of(["00" * 16, "11" * 16])
    >>> old.contains(["11" * 16, "11" * 16, "00" * 16])
    [True, False, True]
    >>> old.difference(["11" * 16, "11" * 16])
    RowDifference(added=1, removed=1, kept=1)
    """

    rows: int
    kept: int
    bits: int
    limit: int
    packed: str

    @classmethod
    def of(
        cls, row_hashes: Iterable[str], max_keys: int = MAX_KEYS, false_positive_bits: int = FALSE_POSITIVE_BITS
    ) -> RowSketch:
        """Sketch the content hashes (32 hex digits each) of a version's rows, in any order."""
        keys = _occurrence_keys(RowHashes.of(row_hashes))
        bits = false_positive_bits + _range_bits(keys.size)
        limit = 2**bits if keys.size <= max_keys else 2**bits * max_keys // keys.size
        return cls._from_keys(keys.size, bits, limit, np.sort(keys >> np.uint64(64 - bits)))

    @classmethod
    def _from_keys(cls, rows: int, bits: int, limit: int, keys: Keys) -> RowSketch:
        kept = keys[keys < np.uint64(limit)]
        packed = _pack(kept, bits - _range_bits(rows))
        return cls(rows, kept.size, bits, limit, base64.b64encode(packed).decode())

    def check(self) -> None:
        """Raise ValueError on a sketch that no version has: what stands in a file may be damaged."""
        if self.rows < 0 or not 0 < self.bits < 64 or not 0 < self.low_bits <= MAX_LOW_BITS:
            raise ValueError(f"row sketch: keys of {self.bits} bits for {self.rows} rows")
        # One that was thinned to nothing has no keys, below a limit of 0.
        if not 0 <= self.limit <= 2**self.bits or not 0 <= self.kept <= max(0, self.limit - 1):
            raise ValueError(f"row sketch: {self.kept} keys below {self.limit}")
        keys = self._keys()
        if keys.size and int(keys[-1]) >= self.limit:
            raise ValueError("row sketch: a key above the limit")

    @property
    def low_bits(self) -> int:
        """A new row is taken for an old one with a chance of two to the power of minus this, or less."""
        return self.bits - _range_bits(self.rows)

    @property
    def is_exact(self) -> bool:
        """Whether a row that is contained was in the version beyond reasonable doubt."""
        return self.low_bits >= APPROXIMATE_BELOW_BITS

    def thinned(self, max_keys: int) -> RowSketch:
        """A sketch of the same rows with about ``max_keys`` keys at most."""
        if self.kept <= max_keys:
            return self
        return self._from_keys(self.rows, self.bits, self.limit * max_keys // self.kept, self._keys())

    def contains(self, row_hashes: Sequence[str]) -> list[bool | None]:
        """For each row of another version, in file order: was it in this one?

        None where the row is not in the sample. The n-th copy of a row is contained if this version had at least n
        copies. False is never wrong. True is wrong for one new row in four billion; in an old sketch, which is not
        ``is_exact``, for one in a hundred.
        """
        sampled, known = self.look_up(row_hashes)
        return [bool(known[i]) if sampled[i] else None for i in range(len(row_hashes))]

    def difference(self, row_hashes: Sequence[str]) -> RowDifference:
        """How many rows another version has added to this one, removed from it, and kept."""
        sampled, known = self.look_up(row_hashes)
        looked_up, found = int(sampled.sum()), int(known.sum())
        if looked_up == 0:
            return RowDifference(added=len(row_hashes), removed=self.rows, kept=0)
        # Some new rows are found by chance: as large a share of them as the keys fill of their range.
        chance = np.unique(self._keys()).size / self.limit
        share = max(0.0, (found - chance * looked_up) / (1 - chance) / looked_up)
        kept = min(round(share * len(row_hashes)), self.rows, len(row_hashes))
        return RowDifference(added=len(row_hashes) - kept, removed=self.rows - kept, kept=kept)

    def look_up(self, row_hashes: Sequence[str]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which rows of another version are in the sample, and which of these this version had, shape (rows,) each."""
        short = _occurrence_keys(row_hashes) >> np.uint64(64 - self.bits)
        sampled = short < np.uint64(self.limit)
        known = np.zeros(len(short), dtype=bool)
        known[sampled] = np.isin(short[sampled], self._keys())
        return sampled, known

    def _keys(self) -> Keys:
        try:
            return _unpack(base64.b64decode(self.packed, validate=True), self.kept, self.low_bits)
        except ValueError as error:
            raise ValueError(f"row sketch: not base64 ({error})") from None


def _occurrence_keys(row_hashes: Sequence[str]) -> Keys:
    """64 uniform bits for each row, in the order of the rows. Copies of a row get different bits."""
    hashes = RowHashes.of(row_hashes)
    high, low = hashes.digests.T
    # Copies of a row stay in file order, and a copy's index is its distance to the first.
    order = hashes.order()
    is_first = np.ones(order.size, dtype=bool)
    is_first[1:] = (high[order][1:] != high[order][:-1]) | (low[order][1:] != low[order][:-1])
    indices = np.arange(order.size)
    copy = np.empty(order.size, dtype=np.uint64)
    copy[order] = indices - np.maximum.accumulate(np.where(is_first, indices, 0))
    return mix_bits(high + mix_bits(copy))


def mix_bits(values: Keys) -> Keys:
    """The finaliser of splitmix64 (Steele, Lea and Flood, 2014): a bijection that spreads neighbours evenly."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _range_bits(rows: int) -> int:
    """The bits that as many values as there are rows take."""
    return math.ceil(math.log2(max(rows, 1)))


def _pack(keys: Keys, low_bits: int) -> bytes:
    """Elias-Fano code of sorted keys: the low bits of each, then bits with a 1 at (high bits + index) of each key."""
    ones = (keys >> np.uint64(low_bits)).astype(np.int64) + np.arange(keys.size)
    high = np.zeros(int(ones[-1]) + 1 if keys.size else 0, dtype=np.uint8)
    high[ones] = 1
    low = np.unpackbits(keys.astype(">u8").view(np.uint8).reshape(keys.size, 8), axis=1)[:, 64 - low_bits :]
    return np.packbits(np.concatenate([low.ravel(), high])).tobytes()


def _unpack(packed: bytes, kept: int, low_bits: int) -> Keys:
    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8))
    low_part, high = bits[: kept * low_bits], bits[kept * low_bits :]
    ones = np.flatnonzero(high)
    if ones.size != kept:
        raise ValueError(f"row sketch: {kept} keys promised, {ones.size} found")
    low = low_part.reshape(kept, low_bits) @ (2 ** np.arange(low_bits, dtype=np.int64)[::-1])
    keys: Keys = ((ones - np.arange(kept)) * 2**low_bits + low).astype(np.uint64)
    return keys
