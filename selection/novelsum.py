"""NovelSum, a measure of a data set's diversity, and NovelSelect, which selects by it (arXiv 2502.17184).

A row's novelty beside other rows is the sum of its distances to them. A distance weighs the less the more rows are
nearer (1 / rank), and the more the denser the region that it leads to: distances among what many rows are about count
more. NovelSum is the mean novelty of the rows. As in the paper, a distance weighs with the density at its other end;
the authors' program takes that of the row itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpus.progress import Done, ignore_done
from selection.budget import Budget, Spending

# The authors' settings: exponents of the weight by rank (alpha, which the 1 / rank below has as 1) and of the density
# (beta), and the nearest neighbours that a density is made from (defaults of their novelselect.py).
DENSITY_POWER = 0.5
NEIGHBOURS = 10
# Densities are relative to these many rows of the pool at most: all pairs of 300,000 rows would take an hour.
REFERENCE_ROWS = 10_000
# Nearer than this is a copy of the row, or the row itself, and no neighbour.
_COPY_DISTANCE = 1e-6
# Added to a mean distance, as in the authors' program.
_SMALLEST = 1e-9
# Distances are rounded to so many decimals, so that rows equally far rank alike on every machine.
_DECIMALS = 9
# Rows whose distances to all others are held at once.
_BLOCK_ROWS = 512
# NovelSelect tells cosine distances apart by hundredths: within one of these steps, rows share the mean of their
# ranks' weights. So a candidate needs 201 numbers, whatever the number of rows taken.
_STEPS = 100
_ROWS_BETWEEN_REPORTS = 100


def measure_densities(embeddings: ArrayLike, reference: ArrayLike, neighbours: int = NEIGHBOURS) -> NDArray[np.float64]:
    """How dense the ``reference`` is around each row: 1 / mean cosine distance to its nearest neighbours there.

    ``embeddings`` and ``reference``, of shapes (rows, numbers) and (others, numbers): unit vectors. Copies of a row are
    none of its neighbours. 1.0 for a row without any.

    >>> measure_densities([[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], neighbours=1).round(6)
    array([1.])
    """
    vectors = np.asarray(embeddings, dtype=float)
    others = np.unique(np.asarray(reference, dtype=float), axis=0)
    densities = np.ones(len(vectors))
    for start in range(0, len(vectors), _BLOCK_ROWS):
        distances = np.round(1 - vectors[start : start + _BLOCK_ROWS] @ others.T, _DECIMALS)
        distances[distances < _COPY_DISTANCE] = np.inf
        nearest = np.sort(np.partition(distances, min(neighbours, len(others)) - 1, axis=1)[:, :neighbours], axis=1)
        known = np.isfinite(nearest)
        count = known.sum(axis=1)
        total = np.where(known, nearest, 0.0).sum(axis=1)
        mean = np.divide(total, count, out=np.ones(len(count)), where=count > 0)
        densities[start : start + _BLOCK_ROWS] = np.where(count > 0, 1 / (mean + _SMALLEST), 1.0)
    return densities


def measure_novelsum(embeddings: ArrayLike, densities: ArrayLike, density_power: float = DENSITY_POWER) -> float | None:
    """The mean over rows of the weighted mean distance to the other rows; None for fewer than two rows.

    The weights 1 / rank are divided by their sum, as in the authors' program, so that sets of different sizes can be
    put beside each other; a larger set still has nearer neighbours. ``densities``: one for each row.

    >>> round(measure_novelsum([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], [1.0, 1.0, 1.0]), 6)
    1.222222
    """
    vectors = np.asarray(embeddings, dtype=float)
    rows = len(vectors)
    if rows < 2:
        return None
    weighted = np.asarray(densities, dtype=float) ** density_power
    weights = 1 / np.arange(1, rows)
    total = 0.0
    for start in range(0, rows, _BLOCK_ROWS):
        distances = np.round(1 - vectors[start : start + _BLOCK_ROWS] @ vectors.T, _DECIMALS)
        distances[np.arange(len(distances)), np.arange(start, start + len(distances))] = -np.inf  # itself: first
        order = np.argsort(distances, axis=1, kind="stable")[:, 1:]
        leading = np.maximum(np.take_along_axis(distances, order, axis=1), 0.0) * weighted[order]
        total += float((leading * weights).sum())
    return total / float(weights.sum()) / rows


def select_novelsum(
    embeddings: ArrayLike,
    budget: Budget,
    random: np.random.Generator,
    token_counts: Sequence[int] | None = None,
    told: Done = ignore_done,
) -> tuple[int, ...]:
    """NovelSelect: take a random row, then each time the row with the highest novelty beside the rows taken.

    ``embeddings``, shape (rows, numbers): unit vectors. Densities are those of the pool, by REFERENCE_ROWS of its rows.
    Of rows equally novel the first is taken. ``told`` hears what was spent of the budget.

    >>> select_novelsum([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], Budget(rows=2), np.random.default_rng(0))
    (2, 0)
    """
    vectors = np.asarray(embeddings, dtype=np.float32)
    rows = len(vectors)
    spending = Spending(budget, token_counts)
    if rows == 0 or spending.is_over:
        return ()
    row = int(random.integers(rows))
    reference = vectors if rows <= REFERENCE_ROWS else vectors[random.choice(rows, REFERENCE_ROWS, replace=False)]  # nosec B311
    novelties = Novelties(vectors, measure_densities(vectors, reference) ** DENSITY_POWER)
    while spending.take(row) and len(spending.rows) < rows:
        values = novelties.beside(row)
        values[spending.rows] = -np.inf
        row = int(values.argmax())
        if len(spending.rows) % _ROWS_BETWEEN_REPORTS == 0:
            told(spending.spent)
    return tuple(spending.rows)


class Novelties:
    """Every row's novelty beside a set of rows that grows by one row at a time.

    ``weighted``: each row's density to the power of DENSITY_POWER. A distance counts with the sum of both ends'
    densities so weighted, as in the authors' program: a row adds its own novelty, and adds to that of the others. Each
    candidate holds, for every step of cosine distance, how many taken rows lie that far, and the means of their
    distances, plain and weighted.
    """

    def __init__(self, vectors: NDArray[np.float32], weighted: NDArray[np.float64]) -> None:
        rows = len(vectors)
        self._vectors, self._weighted = vectors, weighted
        self._counts = np.zeros((2 * _STEPS + 1, rows), dtype=np.int32)
        self._plain = np.zeros((2 * _STEPS + 1, rows), dtype=np.float32)
        self._means = np.zeros((2 * _STEPS + 1, rows), dtype=np.float32)
        # The sum of 1 / 1, 1 / 2, ... up to each number of rows.
        self._harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, rows + 1))])
        self._rows = np.arange(rows)

    def beside(self, row: int) -> NDArray[np.float64]:
        """The novelty of every row after ``row`` joined the set, shape (rows,)."""
        # einsum, not a matrix product: its sums do not depend on the number of threads.
        distances = 1 - np.einsum("ij,j->i", self._vectors, self._vectors[row]).astype(float)
        np.clip(distances, 0, 2, out=distances)
        step = np.round(distances * _STEPS).astype(np.int64)
        self._counts[step, self._rows] += 1
        counts = self._counts[step, self._rows]
        for means, new in ((self._plain, distances), (self._means, distances * self._weighted[row])):
            old = means[step, self._rows]
            means[step, self._rows] = old + (new - old) / counts
        values = np.zeros(len(distances))
        before = np.zeros(len(distances), dtype=np.int32)
        weight_before = np.zeros(len(distances))
        for counts, plain, mean in zip(self._counts, self._plain, self._means, strict=True):
            if not counts.any():
                continue
            before += counts
            weight = self._harmonic[before]
            # The weights of the ranks from those of nearer steps to those of this one.
            values += (self._weighted * plain + mean) * (weight - weight_before)
            weight_before = weight
        return values
