"""How often something happens, with what chance leaves open."""

from __future__ import annotations

import math

# Of a normal distribution, 95% lie within so many standard deviations of the mean.
Z_95 = 1.959964


def wilson_interval(hits: int, trials: int) -> tuple[float, float]:
    """Wilson's 95% interval of a rate of independent trials (Wilson, 1927).

    >>> [round(bound, 3) for bound in wilson_interval(10, 10)]
    [0.722, 1.0]
    """
    rate, z2 = hits / trials, Z_95**2
    centre = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 / (1 + z2 / trials) * math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)
