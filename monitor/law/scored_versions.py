"""Accepted versions whose models were scored: they enter the law, and its forecasts are held against them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from monitor.law.results import ForecastCheck, LawPoint, LawSlopes

# So many scored versions enter the fit, and so many forecasts are checked. Fewer points with a constant of their own
# would add little to the fit; and six changes in a random order have a rank correlation of 0.8 once in 34 times.
MIN_SCORED = 6


def check_forecasts(slopes: LawSlopes, versions: Sequence[LawPoint]) -> ForecastCheck | None:
    """Hold the law's forecasts of the changes of Z against the actual changes.

    None with fewer than six changes, and where all changes or all forecasts are the same: they cannot be ranked then.
    ``slopes``: of the law fitted without the versions. ``versions``: in the order in which they were accepted. A
    forecast has skill where it is nearer to the actual changes than the forecast that nothing changes, and ranks them
    the right way.
    """
    from scipy import stats

    changes = list(itertools.pairwise(versions))
    if len(changes) < MIN_SCORED:
        return None
    actual = np.array([after.z - before.z for before, after in changes])
    forecast = np.array(
        [
            slopes.log_r_long * math.log(after.r_long / before.r_long) + slopes.l * (after.l - before.l)
            for before, after in changes
        ]
    )
    if not (np.ptp(actual) and np.ptp(forecast)):
        return None
    r_squared = 1 - float((actual - forecast) @ (actual - forecast)) / float(actual @ actual)
    rank = float(stats.spearmanr(forecast, actual).statistic)
    skilled = r_squared > 0 and rank > 0
    sentence = (
        f"Held against the {len(changes)} actual changes of Z of accepted versions, the law's forecasts "
        f"{'have' if skilled else 'have no'} skill: R² {r_squared:.2f} against the forecast that nothing changes, "
        f"Spearman's correlation {rank:.2f}."
    )
    return ForecastCheck(len(changes), r_squared, rank, skilled, sentence)
