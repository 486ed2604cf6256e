"""Like rows: for each row, the kept rows whose prompts (or answers) are most similar to its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monitor.measures.agreement import centre_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A row is compared with so many like rows. Fewer give a coarse rank; more are less like the row.
LIKE_ROWS = 40
# With fewer kept rows, a third of them count as like a row; the other two thirds must be less like it.
LARGEST_SHARE = 3
# A row is new where it is less similar to its like rows than all but this share of the kept rows are to theirs.
NOVEL_QUANTILE = 0.01
# A row is new as well where kept rows are so many times rarer among its nearest rows than among all rows,
CROWDED = 4.0
# of which so many are looked at.
NEAREST_ROWS = 20
# So many rows are compared with all kept rows at once, so that memory does not grow with the square of the rows.
CHUNK_ROWS = 512
# A kept row must not be compared with itself.
ITSELF = -2.0


@dataclass(frozen=True)
class Neighbours:
    """The like rows of each row.

    ``index``: of the like rows among the kept rows, shape (rows, like rows). ``nearness``: cosine of a row and the
    furthest of its like rows, shape (rows,).
    """

    index: NDArray[np.int64]
    nearness: NDArray[np.float64]


def flag_new_kinds(
    vectors: NDArray[np.float32], kept: int, neighbours: Neighbours, may_crowd: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Which added rows ask for something that the kept rows do not, shape (rows,); no kept row is flagged.

    ``vectors``: unit vectors of the prompts, the ``kept`` rows first. ``neighbours``: by the same vectors. A row is of
    a new kind where its like rows are further away than almost all kept rows' are. If it ``may_crowd``, shape (rows,),
    by default every row, it is as well where it stands among added rows only: with the majority of the added rows next
    to it, and not alone among many that are not. A kind has no holes, and more than one row.
    """
    added = len(vectors) - kept
    new = np.zeros(len(vectors), dtype=bool)
    if not kept or added < 2:
        return new
    limit = np.quantile(neighbours.nearness[:kept], NOVEL_QUANTILE)
    far = neighbours.nearness[kept:] < limit
    unit = centre_vectors(vectors, (np.arange(len(vectors)) < kept) & vectors.any(axis=1))
    among_added = min(NEAREST_ROWS // 2, added - 1)
    count = min(NEAREST_ROWS, len(vectors) - 1)
    fewest = count * kept / len(vectors) / CROWDED
    crowded = np.empty(added, dtype=bool)
    beside = np.empty((added, among_added), dtype=np.int64)
    for start in range(kept, len(unit), CHUNK_ROWS):
        similarity = unit[start : start + CHUNK_ROWS] @ unit.T
        own = np.arange(start, start + len(similarity))
        similarity[own - start, own] = ITSELF
        nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        crowded[own - kept] = (nearest < kept).sum(axis=1) < fewest
        beside[own - kept] = np.argpartition(-similarity[:, kept:], among_added - 1, axis=1)[:, :among_added]
    first = far | crowded
    share = first[beside].mean(axis=1)
    crowd = (share > 0.5) | (first & (share > 0.25))
    new[kept:] = far | (crowd if may_crowd is None else crowd & may_crowd[kept:])
    return new


def find_neighbours(vectors: NDArray[np.float32], kept: int) -> Neighbours:
    """The like rows of every row among the first ``kept`` ones, at least 3 of them.

    ``vectors``: unit vectors of the rows' texts, shape (rows, dimensions); a blank text has the zero vector. What all
    kept rows have in common is taken off first, so that similarity means what sets rows apart.

    >>> angles = np.array([0.0, 0.1, 0.2, 3.0, 3.1, 3.2, 3.3, 0.05])
    >>> find_neighbours(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32), kept=7).index[7].tolist()
    [0, 1]
    """
    unit = centre_vectors(vectors, (np.arange(len(vectors)) < kept) & vectors.any(axis=1))
    count = min(LIKE_ROWS, max(1, kept // LARGEST_SHARE))
    index = np.empty((len(unit), count), dtype=np.int64)
    nearness = np.empty(len(unit))
    for start in range(0, len(unit), CHUNK_ROWS):
        similarity = unit[start : start + CHUNK_ROWS] @ unit[:kept].T
        own = np.arange(start, min(start + len(similarity), kept))
        similarity[own - start, own] = ITSELF
        # Of equally similar rows, such as those with the same prompt, any may be taken: rows come in hash order.
        nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        index[start : start + len(nearest)] = np.sort(nearest, axis=1)
        nearness[start : start + len(nearest)] = np.take_along_axis(similarity, nearest, axis=1).min(axis=1)
    return Neighbours(index, nearness)


def rank_among(values: NDArray[np.float64], neighbours: Neighbours, tie: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where each row's value lies among those of its like rows: 0 below all, 1 above all, shape (rows,).

    Of an honest row the rank is uniform between 0 and 1. Among equal values the place is decided by ``tie``, a uniform
    number between 0 and 1 for each row. Like rows without a value (nan) do not count; a row without one has rank nan.

    >>> like = Neighbours(np.array([[0, 1, 2]] * 4), np.ones(4))
    >>> rank_among(np.array([1.0, 2.0, 3.0, 2.5]), like, np.full(4, 0.5)).tolist()[3]
    0.625
    """
    others = values[neighbours.index]
    own = values[:, None]
    below, equal = (others < own).sum(axis=1), (others == own).sum(axis=1)
    known = (~np.isnan(others)).sum(axis=1)
    rank = (below + tie * (equal + 1)) / (known + 1)
    return np.where(np.isnan(values) | (known == 0), np.nan, rank)
