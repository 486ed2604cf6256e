"""k-centre greedy (Sener & Savarese, 2018, arXiv 1708.00489, algorithm 1): always the row farthest from all taken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from corpus.progress import Done, ignore_done
from selection.budget import Budget, Spending

_ROWS_BETWEEN_REPORTS = 100


def select_k_centre(
    embeddings: ArrayLike,
    budget: Budget,
    random: np.random.Generator,
    token_counts: Sequence[int] | None = None,
    told: Done = ignore_done,
) -> tuple[int, ...]:
    """Take a random row, then each time the row whose nearest taken row is farthest away, by Euclidean distance.

    ``embeddings``, shape (rows, numbers): of unit length, where the order is that of cosine distance too. Of rows
    equally far the first is taken, and copies of taken rows come last. ``told`` hears what was spent of the budget.

    >>> select_k_centre([[0.0], [0.1], [5.0], [9.0]], Budget(rows=3), np.random.default_rng(0))
    (3, 0, 2)
    """
    vectors = np.asarray(embeddings, dtype=np.float32)
    rows = len(vectors)
    spending = Spending(budget, token_counts)
    if rows == 0 or spending.is_over:
        return ()
    # einsum, not a matrix product: its sums do not depend on the number of threads.
    squares = np.einsum("ij,ij->i", vectors, vectors)
    nearest = np.full(rows, np.inf, dtype=np.float32)
    row = int(random.integers(rows))
    while spending.take(row) and len(spending.rows) < rows:
        distances = squares + squares[row] - 2 * np.einsum("ij,j->i", vectors, vectors[row])
        np.minimum(nearest, np.maximum(distances, 0), out=nearest)
        nearest[row] = -1  # taken: nearer than a copy at distance 0
        row = int(nearest.argmax())
        if len(spending.rows) % _ROWS_BETWEEN_REPORTS == 0:
            told(spending.spent)
    return tuple(spending.rows)
