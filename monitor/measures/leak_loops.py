"""The first pass over the rows of a version by compiled loops: what numpy does in leak_candidates.py, sooner.

All compiled functions of one file stand together, because numba's cache notices changes of that file only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.measures.leak_index import LeakIndex

# Without numba's reference counts, as in selection/deflate_size.py; nothing below allocates.
_compiled = njit(cache=True, _nrt=False, no_cfunc_wrapper=True)  # type: ignore[call-overload]


def choose(
    row: NDArray[np.int64], run: NDArray[np.int64], rows: int, index: LeakIndex, least: float, asked: float
) -> NDArray[np.int64]:
    """As `leak_candidates.choose_in_numpy`. ``row`` is ascending."""
    best = np.full((rows, 2), -1, dtype=np.int64)
    # Of each side how many runs the record has, and which set rows it has any of.
    scratch = np.zeros((2, len(index.side_runs)), dtype=np.int64)
    last = np.full(len(index.runs), -1, dtype=np.int64)
    shares = np.array([least, asked])
    _choose(row, run, index.starts, index.places, index.side_runs, best, last, scratch, shares)
    return best


@_compiled
def _choose(row, run, starts, places, side_runs, best, last, scratch, shares):
    counts, touched = scratch[0], scratch[1]
    least, asked = shares[0], shares[1]
    at = 0
    while at < len(row):
        own, used = row[at], 0
        while at < len(row) and row[at] == own:
            which = run[at]
            at += 1
            if last[which] == own:
                continue
            last[which] = own
            for i in range(starts[which], starts[which + 1]):
                place = places[i]
                if counts[place] == 0 and counts[place ^ 1] == 0:
                    touched[used] = place // 2
                    used += 1
                counts[place] += 1
        best_share, best_runs = 0.0, 0
        for i in range(used):
            set_row = touched[i]
            first, second = counts[2 * set_row], counts[2 * set_row + 1]
            of_first, of_second = side_runs[2 * set_row], side_runs[2 * set_row + 1]
            found = first + second
            share = found / (of_first + of_second)
            if (first and first / of_first >= asked) or (second and second / of_second >= asked):
                share = max(share, least)
            counts[2 * set_row] = counts[2 * set_row + 1] = 0
            if share < least:
                continue
            if share > best_share or (share == best_share and set_row < best[own, 0]):
                best_share, best[own, 0] = share, set_row
            if found > best_runs or (found == best_runs and set_row < best[own, 1]):
                best_runs, best[own, 1] = found, set_row
