"""Significance: how improbable a value is by chance, and the corrections for testing many, at once or in turn."""

from __future__ import annotations

import math
from collections.abc import Sequence


def upper_tail(value: float, sd: float, degrees_of_freedom: float) -> tuple[float, float]:
    """Student's t of a value, and the probability of a value as high. Without any noise, a rise is certain.

    >>> upper_tail(0.0, 0.0, 5), upper_tail(0.1, 0.0, 5)
    ((0.0, 0.5), (inf, 0.0))
    """
    from scipy import stats

    t = value / sd if sd else math.copysign(math.inf, value) if value else 0.0
    return t, float(stats.t.sf(t, degrees_of_freedom))


def correct_for_choice(p_value: float, tests: float) -> float:
    """A p-value corrected for a choice among so many tests (Bonferroni). One that is not a number stays what it is.

    >>> correct_for_choice(0.01, 3), correct_for_choice(0.5, 3), correct_for_choice(float("nan"), 3)
    (0.03, 1.0, nan)
    """
    # Not min(1.0, …): of nan that is 1, and what was never computed would pass.
    corrected = tests * p_value
    return 1.0 if corrected > 1 else corrected


def holm_adjust(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given.

    >>> holm_adjust([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [1.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, correct_for_choice(p_values[i], len(p_values) - rank))
        adjusted[i] = running
    return adjusted


def correct_for_looks(p_value: float, look: int) -> float:
    """A p-value corrected for having looked again and again: this is the look number ``look``, from 1 on.

    The k-th look may spend the share 1/(k(k+1)) of the rate of false alarms, so its p-value is multiplied by k(k+1).
    As 1/(k(k+1)) = 1/k - 1/(k+1), the shares of the first n looks add up to 1 - 1/(n+1). So the rate over all looks
    together stays below the rate of one, however many there are and however much they depend on each other
    (alpha-spending, as in Foster and Stine, 2008; the union bound).

    >>> [correct_for_looks(0.01, look) for look in (1, 2, 3, 10)]
    [0.02, 0.06, 0.12, 1.0]
    """
    return correct_for_choice(p_value, look * (look + 1))
