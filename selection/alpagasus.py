"""AlpaGasus: rows whose answer a judge finds good enough (Chen et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from selection.baselines import _highest_first
from selection.budget import Budget, spend

# Grades are from 0 to 5. At 4.5 the authors keep 9,229 of 52,002 rows (https://arxiv.org/abs/2307.08701, section 3).
LOWEST_GRADE_KEPT = 4.5


def select_alpagasus(
    grades: ArrayLike,
    budget: Budget,
    token_counts: Sequence[int] | None = None,
    lowest: float = LOWEST_GRADE_KEPT,
) -> tuple[int, ...]:
    """Take the rows with a grade of at least ``lowest``, the highest first; a row without a grade (NaN) never.

    The authors take all of them. Here a budget may end the selection earlier, and of equal grades, which are many, the
    rows that come first in the pool are taken. Returns indices of rows, from 0, in the order of selection.

    >>> select_alpagasus([4.5, 4.0, 5.0, float("nan")], Budget(rows=4))
    (2, 0)
    """
    values = np.asarray(grades, dtype=float)
    return spend(budget, _highest_first(np.where(values >= lowest, values, np.nan)), token_counts)
