"""Which of many numbers are among a few: in little memory, where `numpy.isin` sorts copies of them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Looked up at once, in 16 MB.
PORTION = 2**20


def is_among(values: NDArray[np.uint64], few: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """For each value, whether it is one of the ``few``. Shape (values,).

    >>> is_among(np.array([3, 5, 3], dtype=np.uint64), np.array([3, 9], dtype=np.uint64)).tolist()
    [True, False, True]
    """
    known, found = np.unique(few), np.zeros(len(values), dtype=bool)
    for start in range(0, len(values) if known.size else 0, PORTION):
        part = values[start : start + PORTION]
        place = np.searchsorted(known, part)
        place[place == known.size] = 0
        found[start : start + PORTION] = known[place] == part
    return found
