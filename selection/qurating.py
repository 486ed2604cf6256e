"""QuRating: rows drawn without replacement, the more often the better they are rated (Wettig et al., 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpus.errors import EntropylawError
from selection.baselines import _highest_first
from selection.budget import Budget, spend

# What is rated, and the mean of the four, which ranks as their sum does in the authors' program.
Criterion = Literal["writing_style", "required_expertise", "facts_and_trivia", "educational_value", "mean"]
# The authors publish models of rows drawn at 1 and at 2, and of their mix of criteria at 2 only (their README).
TEMPERATURE = 2.0


def select_qurating(
    ratings: ArrayLike,
    temperature: float,
    budget: Budget,
    random: np.random.Generator,
    token_counts: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """Draw rows with a chance that grows as exp(rating / temperature), https://arxiv.org/abs/2402.09739, section 3.2.

    ``ratings``: (rows,), NaN for a row without one, which is never drawn. As in the authors' program, ratings are first
    brought to mean 0 and standard deviation 1, so that a temperature means the same for every rater. At 0 the best rows
    are taken in order; at a very high one all rows are equally likely.

    Taking the largest of rating / temperature + Gumbel noise is such a draw (Vieira, 2014; Kool et al., 2019). Returns
    indices of rows in the pool, from 0, in the order of the draws. Raises EntropylawError for a negative temperature.

    >>> select_qurating([1.0, 3.0, 2.0], 0.0, Budget(rows=2), np.random.default_rng(0))
    (1, 2)
    """
    if not temperature >= 0:
        raise EntropylawError(f"cannot draw at temperature {temperature}: it must be at least 0")
    values = np.asarray(ratings, dtype=float)
    if temperature > 0 and len(values):
        noise = random.gumbel(size=len(values))
        values = _standardise(values) / temperature + noise
    return spend(budget, _highest_first(values), token_counts)


def _standardise(ratings: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ratings with mean 0 and standard deviation 1 over the rows that have one."""
    known = ratings[~np.isnan(ratings)]
    if not len(known) or known.std() == 0:
        return np.where(np.isnan(ratings), np.nan, 0.0)
    standard: NDArray[np.float64] = (ratings - known.mean()) / known.std()
    return standard
