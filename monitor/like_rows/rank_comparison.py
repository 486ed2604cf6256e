"""Do the added rows lie elsewhere among their like rows than kept rows do among theirs?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Side = Literal["low", "high"]

# Groups of fewer kept rows say too little about how far groups differ.
MIN_GROUP_ROWS = 10
# So few kept rows do not tell what is usual.
MIN_KEPT_ROWS = 10
# An estimate of no correlation does not prove that rows of one batch are independent: two rows in a hundred pairs.
LEAST_CORRELATION = 0.004
# Rows that correlate more than this would leave the count without a distribution.
MOST_CORRELATION = 0.5
# The added rows count as one batch for every four groups of kept rows, at most: with more, honest batches were called
# too different too often in simulations with twelve groups.
GROUPS_PER_BATCH = 4
# The correlation is itself an estimate. The p-value is the mean over so many values that it may have.
CORRELATIONS = 16


@dataclass(frozen=True)
class RankFinding:
    """What the ranks of the added rows say on one side.

    - ``beyond``: whether rows that lie outside *all* of their like rows were counted; otherwise the mean rank was
      tested.
    - ``found``, ``usual``: of the added and of the kept rows, the share of rows outside all their like rows, or the
      mean rank.
    - ``rows``: how many added rows were compared.
    - ``p_value``: one-sided, that an honest batch is as far off. ``share``: of the added rows that must have moved.
    """

    side: Side
    beyond: bool
    found: float
    usual: float
    rows: int
    p_value: float
    share: float


def compare_ranks(
    kept: NDArray[np.float64],
    added: NDArray[np.float64],
    groups: Sequence[NDArray[np.int64]],
    side: Side,
    edge: float,
    batches: float = 1.0,
) -> list[RankFinding]:
    """Test the ranks of the added rows on one side in two ways: their mean, and how many lie beyond the ``edge``.

    ``kept``, ``added``: ranks from 0 to 1, shapes (k,), (a,), nan where a row has none. ``groups``: for each way to
    divide the kept rows into batches, a number for each of them, shape (k,); −1 where a row is in no batch. Honest
    batches differ from each other by more than independent rows do; by how much, the groups tell. ``batches``: in how
    many batches the added rows came. What is odd in each of them by chance cancels out in their mean.
    """
    if side == "low":
        kept, added = 1 - kept, 1 - added
    known = ~np.isnan(kept)
    groups = [group[known] for group in groups]
    kept, added = kept[known], added[~np.isnan(added)]
    if len(kept) < MIN_KEPT_ROWS or not len(added):
        return []
    return [
        _test_mean(kept, added, groups, side, batches),
        _test_beyond(kept >= edge, added >= edge, groups, side, batches),
    ]


def _test_mean(
    kept: NDArray[np.float64],
    added: NDArray[np.float64],
    groups: Sequence[NDArray[np.int64]],
    side: Side,
    batches: float,
) -> RankFinding:
    from scipy import stats

    shift = float(added.mean() - kept.mean())
    between, degrees = max((_spread_between(kept, group) for group in groups), default=(0.0, 1))
    # Rows of one batch correlate a little, whatever the groups say.
    between = max(between * _share_of_spread(batches, degrees), LEAST_CORRELATION * float(kept.var()) / batches)
    sampling = float(kept.var(ddof=1)) * (1 / len(added) + 1 / len(kept))
    variance = between + sampling
    p = float(shift <= 0)
    if variance:
        # Welch and Satterthwaite: as many degrees of freedom as the less certain of the two parts leaves.
        freedom = variance**2 / (between**2 / max(degrees, 1) + sampling**2 / max(len(added) - 1, 1))
        p = float(stats.t.sf(shift / math.sqrt(variance), max(freedom, 1.0)))
    mean, usual = float(added.mean()), float(kept.mean())
    if side == "low":
        mean, usual = 1 - mean, 1 - usual
    # A row that moves from anywhere to the very end moves the mean by a half on average.
    return RankFinding(side, False, mean, usual, len(added), p, min(max(2 * shift, 0.0), 1.0))


def _test_beyond(
    kept: NDArray[np.bool_],
    added: NDArray[np.bool_],
    groups: Sequence[NDArray[np.int64]],
    side: Side,
    batches: float,
) -> RankFinding:
    usual = (int(np.count_nonzero(kept)) + 0.5) / (len(kept) + 1)
    count, rows = int(np.count_nonzero(added)), len(added)
    variance = usual * (1 - usual)
    between, degrees = max((_spread_between(kept.astype(np.float64), group) for group in groups), default=(0.0, 1))
    p = exceed_probability(count, rows, usual, len(kept), between / variance, max(degrees, 1), batches)
    share = max((count / rows - usual) / (1 - usual), 0.0)
    return RankFinding(side, True, count / rows, usual, rows, p, share)


def exceed_probability(
    count: int,
    rows: int,
    usual: float,
    kept: int,
    correlation: float = 0.0,
    degrees: int = 1,
    batches: float = 1.0,
) -> float:
    """The probability of at least ``count`` of ``rows``, when rows of one batch correlate (beta-binomial).

    The correlation was estimated with so many degrees of freedom. Its uncertainty is carried along: the result is a
    mean over the values that it may have, which gives the heavy tail of Student's t. Rows that came in several batches
    correlate only with those of their own, so on average by so much less.
    """
    from scipy import stats

    levels = (np.arange(CORRELATIONS) + 0.5) / CORRELATIONS
    possible = correlation * degrees / stats.chi2.ppf(levels, degrees)
    possible = np.minimum(possible, MOST_CORRELATION) * _share_of_spread(batches, degrees)
    possible = np.clip(possible, LEAST_CORRELATION / batches, MOST_CORRELATION)
    # The kept rows are only a sample: the mean itself is uncertain, as if one more batch of them were drawn.
    weight = np.minimum(1 / possible - 1, kept)
    return float(stats.betabinom.sf(count - 1, rows, usual * weight, (1 - usual) * weight).mean())


def _share_of_spread(batches: float, degrees: int) -> float:
    """The variance of the difference between added and kept rows, over that between two batches of honest rows.

    Against one batch, the kept rows' mean is nearly certain. Against the mean of several, what is odd in the few groups
    of kept rows counts as well, and that few groups do not show all of it.
    """
    groups = degrees + 1
    trusted = min(batches, max(1.0, groups / GROUPS_PER_BATCH))
    return 1 / trusted + (1 / groups if trusted > 1 else 0.0)


def _spread_between(values: NDArray[np.float64], group: NDArray[np.int64]) -> tuple[float, int]:
    """Variance between the means of groups beyond sampling noise, and its degrees of freedom (method of moments)."""
    number = group[group >= 0]
    if not len(number):
        return 0.0, 1
    size = np.bincount(number)
    total = np.bincount(number, values[group >= 0])
    square = np.bincount(number, values[group >= 0] ** 2)
    large = size >= MIN_GROUP_ROWS
    if np.count_nonzero(large) < 3:
        return 0.0, 1
    size, total, square = size[large], total[large], square[large]
    mean = total / size
    within = (square - size * mean**2) / (size - 1)
    return max(float(mean.var(ddof=1) - (within / size).mean()), 0.0), len(size) - 1
