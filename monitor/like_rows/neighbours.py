"""Like rows: for each row, the kept rows whose prompts (or answers) are most similar to its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monitor.measures.consistency import centre_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A row is compared with so many like rows. Fewer give a coarse rank; more are less like the row.
LIKE_ROWS = 40
# With fewer kept rows, a third of them count as like a row; the other two thirds must be less like it.
LARGEST_SHARE = 3
# A row is new where it is less similar to its like rows than all but this share of the kept rows are to theirs.
NOVEL_QUANTILE = 0.01
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

    def flag_novel(self, kept: int) -> NDArray[np.bool_]:
        """Whether a row is less similar to its like rows than kept rows are to theirs, shape (rows,).

        ``kept``: the first so many rows are the kept ones; none of them is flagged.
        """
        limit = np.quantile(self.nearness[:kept], NOVEL_QUANTILE)
        novel: NDArray[np.bool_] = self.nearness < limit
        novel[:kept] = False
        return novel


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
    >>> rank_among(np.array([1.0, 2.0, 3.0, 2.5]), like, np.full(4, 0.5))[3]
    0.625
    """
    others = values[neighbours.index]
    own = values[:, None]
    below, equal = (others < own).sum(axis=1), (others == own).sum(axis=1)
    known = (~np.isnan(others)).sum(axis=1)
    rank = (below + tie * (equal + 1)) / (known + 1)
    return np.where(np.isnan(values) | (known == 0), np.nan, rank)
