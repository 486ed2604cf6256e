"""Q in the entropy law (the paper's equation 5): Z = h(R, L, Q) fitted beside Z = g(R, L) on runs with grades."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.law.families import centre, scale_of
from monitor.law.results import LawPoint, QualityPart

# One more than the law without Q needs, for one more coefficient.
MIN_GRADED = 9
# Q counts when chance gives it such a slope more rarely than this: as for the law itself.
TELLS_P_VALUE = 0.01


def measure_quality_part(points: Sequence[LawPoint]) -> QualityPart | None:
    """How much of the change of Z the mean grade explains beside ln(long R) and L, on runs left out one by one.

    None where fewer than nine runs have grades, or where they are too alike in R, L and Q to be told apart. Accepted
    versions have a constant of their own, as in the law.
    """
    from scipy import stats

    graded = [point for point in points if point.q is not None]
    if len(graded) < MIN_GRADED:
        return None
    scale = scale_of(graded)
    z = np.array([point.z for point in graded])
    columns = [[1.0, math.log(point.r_long), point.l] for point in graded]
    own = scale.astype(float)[:, None] if scale.any() and not scale.all() else np.zeros((len(graded), 0))
    without = np.hstack([np.array(columns), own])
    q = np.array([[point.q] for point in graded], dtype=float)
    total = float((centre(z, scale) ** 2).sum())
    fits = [_fit(design, z) for design in (np.hstack([without, q]), without)]
    if total == 0.0 or fits[0] is None or fits[1] is None:
        return None
    (slope, error, press), (_, _, press_without) = fits[0], fits[1]
    degrees = len(graded) - without.shape[1] - 1
    p_value = float(2 * stats.t.sf(abs(slope) / error, degrees)) if error else 0.0
    half = float(stats.t.ppf(0.975, degrees)) * error
    with_q, without_q = 1 - press / total, 1 - press_without / total
    tells = p_value < TELLS_P_VALUE and with_q > without_q
    return QualityPart(
        len(graded), slope, slope - half, slope + half, p_value, with_q, without_q, tells,
        _describe(len(graded), slope, half, p_value, with_q, without_q, tells),
    )  # fmt: skip


def _fit(design: NDArray[np.float64], z: NDArray[np.float64]) -> tuple[float, float, float] | None:
    """Slope of the last column, its standard error, and the squared errors of runs left out; None where not to be had.

    ``design``: shape (runs, coefficients).
    """
    n, width = design.shape
    coefficients, _, rank, _ = np.linalg.lstsq(design, z, rcond=None)
    if rank < width or n <= width:
        return None
    inverse = np.linalg.inv(design.T @ design)
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    if leverage.max() > 1 - 1e-6:  # one run alone decides a slope, as in the law
        return None
    residuals = z - design @ coefficients
    variance = float(residuals @ residuals) / (n - width)
    left_out = residuals / (1 - leverage)
    return float(coefficients[-1]), math.sqrt(variance * float(inverse[-1, -1])), float(left_out @ left_out)


def _describe(n: int, slope: float, half: float, p: float, with_q: float, without_q: float, tells: bool) -> str:
    told = f"left-out runs are predicted with R² {with_q:.2f}, and with R² {without_q:.2f} without it"
    change = f"Z {'rises' if slope > 0 else 'falls'} by {abs(slope):.3g} ± {half:.2g} a grade"
    if not tells:
        return f"Quality Q adds nothing to it that can be told: {told}; {change} (p = {p:.2g}, {n} graded runs)."
    part = f"it explains {with_q - without_q:.0%} of the change of Z"
    return f"With quality Q, {told}: {part}; {change} ({n} graded runs)."
