"""MoDS: good rows that cover the pool, and those that a model trained on them still fails at (Du et al., 2023).

https://arxiv.org/abs/2311.15653. The authors name the number of seed rows; here they are a
share of the budget, and necessary rows are the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpus.errors import EntropylawError
from selection.budget import Budget
from selection.k_centre import select_k_centre

# Given the seed rows and the good rows, by their indices: how good the answers of a model that was trained on the seed
# rows are to the good rows' instructions, one reward each, NaN where it has none.
RewardAnswers = Callable[[Sequence[int], Sequence[int]], ArrayLike]

# The first is that of the authors' program (its README); the second, which they leave open, is set alike.
QUALITY_ABOVE = 0.0
NECESSITY_BELOW = 0.0
# Ours.
SEED_SHARE = 0.5


def select_mods(
    qualities: ArrayLike,
    embeddings: ArrayLike,
    reward_answers: RewardAnswers,
    budget: Budget,
    random: np.random.Generator,
    token_counts: Sequence[int] | None = None,
    *,
    quality_above: float = QUALITY_ABOVE,
    necessity_below: float = NECESSITY_BELOW,
    seed_share: float = SEED_SHARE,
) -> tuple[int, ...]:
    """Seed rows, then necessary rows: indices in the pool, from 0, in the order of selection.

    Good rows have a quality above ``quality_above``. K-centre greedy chooses the seed rows among them, for
    ``seed_share`` of the budget. ``reward_answers`` is asked once. Good rows whose answer gets less than
    ``necessity_below`` and that are not seed rows are necessary; k-centre greedy chooses among them for the rest of the
    budget, which may not be spent.

    ``qualities``: (rows,), NaN for a row without one. ``embeddings``: (rows, anything), of the instructions.
    ``random``: k-centre greedy begins at a random row. Raises EntropylawError where no row is good enough.

    Row 2 is too bad. Half the budget goes to rows 0 and 4, and what is left to the one row the model then fails at:

    >>> reward = lambda seed, good: [-2.0 if row == 1 else 3.0 for row in good]
    >>> vectors = [[0.0], [1.0], [2.0], [3.0], [4.0]]
    >>> select_mods([1.0, 1.0, -1.0, 1.0, 1.0], vectors, reward, Budget(rows=4), np.random.default_rng(0))
    (4, 0, 1)
    """
    good = np.flatnonzero(np.asarray(qualities, dtype=float) > quality_above)
    if not len(good):
        raise EntropylawError(
            f"mods: none of {len(np.asarray(qualities))} rows has a quality above {quality_above:g}; lower "
            "selection.quality_above"
        )
    vectors = np.asarray(embeddings, dtype=float)
    seed = _cover(vectors, good, _part_of(budget, seed_share), random, token_counts)
    spent = len(seed) if token_counts is None or budget.tokens is None else sum(token_counts[row] for row in seed)
    rest = _rest_of(budget, spent)
    if not seed or not rest.limit:
        return seed
    rewards = np.asarray(reward_answers(seed, good.tolist()), dtype=float)
    necessary = good[(rewards < necessity_below) & ~np.isin(good, seed)]
    return seed + _cover(vectors, necessary, rest, random, token_counts)


def _part_of(budget: Budget, share: float) -> Budget:
    """``share`` of a budget, rounded up."""
    part = int(np.ceil(budget.limit * share))
    return Budget(rows=part) if budget.tokens is None else Budget(tokens=part)


def _rest_of(budget: Budget, spent: int) -> Budget:
    rest = budget.limit - spent
    return Budget(rows=rest) if budget.tokens is None else Budget(tokens=rest)


def _cover(
    vectors: NDArray[np.float64],
    rows: NDArray[np.intp],
    budget: Budget,
    random: np.random.Generator,
    token_counts: Sequence[int] | None,
) -> tuple[int, ...]:
    """K-centre greedy among some rows of the pool."""
    counts = None if token_counts is None else [token_counts[row] for row in rows]
    return tuple(int(rows[i]) for i in select_k_centre(vectors[rows], budget, random, counts))
