"""Rows of two versions that are equal, one by one: which copy of a row in one is which copy in the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from corpus.row_hashes import RowHashes

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pair_copies(a: RowHashes, b: RowHashes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices into ``a`` and ``b`` of the rows that are equal, shape (pairs,) each, in the order of ``b``.

    A row is in one pair at most: if one version has more copies of it than the other, the last ones are in none.

    >>> a, b = RowHashes.of(["0" * 32, "1" * 32, "1" * 32]), RowHashes.of(["1" * 32, "2" * 32, "0" * 32, "0" * 32])
    >>> [side.tolist() for side in pair_copies(a, b)]
    [[1, 0], [0, 2]]
    """
    numbers = RowHashes(np.concatenate([a.digests, b.digests])).number()
    keys_a, keys_b = (_number_copies(part) for part in (numbers[: len(a)], numbers[len(a) :]))
    _, in_a, in_b = np.intersect1d(keys_a, keys_b, assume_unique=True, return_indices=True)
    order = np.argsort(in_b, kind="stable")
    return in_a[order].astype(np.int64), in_b[order].astype(np.int64)


def pair_rows(a: RowHashes, b: RowHashes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As ``pair_copies``, but copies that follow the same row come first: a copy that was put in front of a row does
    not take its place.

    >>> a, b = RowHashes.of(["0" * 32, "1" * 32]), RowHashes.of(["1" * 32, "0" * 32, "1" * 32])
    >>> [side.tolist() for side in pair_rows(a, b)]
    [[0, 1], [1, 2]]
    """
    numbers = RowHashes(np.concatenate([a.digests, b.digests])).number().astype(np.uint64)
    parts = numbers[: len(a)], numbers[len(a) :]
    # What a row says, and what the row before it says; a first row follows a number that none has.
    none = np.array([len(numbers)], dtype=np.uint64)
    in_a, in_b = pair_copies(*(RowHashes(np.stack([p, np.append(none, p)[: len(p)]], axis=1)) for p in parts))
    rest_a, rest_b = (np.delete(np.arange(len(p)), some) for p, some in zip(parts, (in_a, in_b), strict=True))
    more_a, more_b = pair_copies(RowHashes(a.digests[rest_a]), RowHashes(b.digests[rest_b]))
    in_a, in_b = np.append(in_a, rest_a[more_a]), np.append(in_b, rest_b[more_b])
    order = np.argsort(in_b, kind="stable")
    return in_a[order], in_b[order]


def _number_copies(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each row that no other row has: of what it is, and which of its copies. Shape (rows,).

    ``numbers``: the same for equal rows, below 2**31.
    """
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    starts = np.append(True, ordered[1:] != ordered[:-1])[: len(order)]
    first = np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    which = np.empty(len(order), dtype=np.int64)
    which[order] = np.arange(len(order)) - first
    keys: NDArray[np.int64] = (numbers << 32) | which
    return keys


def flag_moved(places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows stand elsewhere, shape (rows,), if as few as possible are said to.

    ``places``: where each row of one version stands in the other, all different. The rows that stay are a longest
    increasing subsequence (Schensted, 1961).

    >>> flag_moved(np.array([0, 9, 1, 2, 3])).tolist()
    [False, True, False, False, False]
    """
    from bisect import bisect_left

    moved = np.ones(len(places), dtype=bool)
    # Of all increasing runs of each length, the one that ends lowest: its end, and the row that ends it.
    ends: list[int] = []
    rows: list[int] = []
    before = np.full(len(places), -1, dtype=np.int64)
    for row, place in enumerate(places.tolist()):
        length = len(ends) if not ends or place > ends[-1] else bisect_left(ends, place)
        if length:
            before[row] = rows[length - 1]
        if length == len(ends):
            ends.append(place)
            rows.append(row)
        else:
            ends[length], rows[length] = place, row
    row = rows[-1] if rows else -1
    while row >= 0:
        moved[row] = False
        row = int(before[row])
    return moved
