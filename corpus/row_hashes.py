"""The content hashes of many rows, in 16 bytes each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A content hash as text.
HEX_DIGITS = 32
# Hashes that are turned into text at once.
CHUNK_ROWS = 4096
# Hashes that are compared with the next one at once, in 16 MB.
PORTION = 2**20


class RowHashes(Sequence[str]):
    """Content hashes as `corpus.records.content_hash` gives them, 32 hex digits each, kept as numbers.

    ``digests``: the upper and the lower 64 bits of each, shape (rows, 2).

    >>> hashes = RowHashes.of(["0" * 31 + "1", "f" * 32])
    >>> hashes[0], len(hashes), hex(int(hashes.digests[1, 0]))
    ('00000000000000000000000000000001', 2, '0xffffffffffffffff')
    """

    def __init__(self, digests: NDArray[np.uint64]) -> None:
        self.digests = digests

    @classmethod
    def of(cls, hashes: Iterable[str]) -> RowHashes:
        """Those that are given as text. Raises ValueError where one has not 32 hex digits."""
        if isinstance(hashes, RowHashes):
            return hashes
        found = list(hashes)
        raw = bytes.fromhex("".join(found))
        if any(len(one) != HEX_DIGITS for one in found):
            raise ValueError("row hashes must have 32 hex digits each")
        return cls.of_bytes(raw)

    @classmethod
    def of_bytes(cls, raw: bytes | bytearray) -> RowHashes:
        """Those that are given as bytes, 16 for each, one after the other."""
        return cls(np.frombuffer(raw, dtype=">u8").astype(np.uint64).reshape(-1, 2))

    def __len__(self) -> int:
        return len(self.digests)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> RowHashes: ...
    def __getitem__(self, index: int | slice) -> str | RowHashes:
        if isinstance(index, slice):
            return RowHashes(self.digests[index])
        return str(self.digests[index].astype(">u8").tobytes().hex())

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), CHUNK_ROWS):
            text = self.digests[start : start + CHUNK_ROWS].astype(">u8").tobytes().hex()
            yield from (text[i : i + HEX_DIGITS] for i in range(0, len(text), HEX_DIGITS))

    def find(self, hashes: Collection[str]) -> list[int]:
        """The indices of the rows that have one of these hashes, in their order.

        >>> RowHashes.of(["a" * 32, "b" * 32, "a" * 32]).find({"a" * 32})
        [0, 2]
        """
        return [i for i, one in enumerate(self) if one in hashes]

    def order(self) -> NDArray[np.intp]:
        """Indices that sort the rows by their hashes; copies of a row stay in file order. Shape (rows,)."""
        return np.lexsort((self.digests[:, 1], self.digests[:, 0]))

    def flag_first(self) -> NDArray[np.bool_]:
        """For each row, whether no row before it is the same, shape (rows,).

        >>> RowHashes.of(["a" * 32, "b" * 32, "a" * 32]).flag_first().tolist()
        [True, True, False]
        """
        order = self.order()
        first = np.ones(len(self), dtype=bool)
        first[order] = self._differ(order)
        return first

    def number(self) -> NDArray[np.int64]:
        """A number from 0 for each row, the same for equal rows, in the order of the hashes. Shape (rows,).

        >>> RowHashes.of(["b" * 32, "a" * 32, "b" * 32]).number().tolist()
        [1, 0, 1]
        """
        order = self.order()
        numbers = np.empty(len(self), dtype=np.int64)
        numbers[order] = np.cumsum(self._differ(order), dtype=np.int64)
        numbers -= 1
        return numbers

    def _differ(self, order: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Of the sorted hashes, which differ from the one before, shape (rows,)."""
        differ = np.ones(len(self), dtype=bool)
        for start in range(1, len(self), PORTION):
            found = self.digests[order[start - 1 : start + PORTION]]
            differ[start : start + PORTION] = (found[1:] != found[:-1]).any(axis=1)
        return differ
