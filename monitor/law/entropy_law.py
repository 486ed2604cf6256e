"""The entropy law on the user's own data: performance Z as a linear function of ln(long R) and L, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.law.results import LawCurve, LawMeasure, LawPoint, LawSlopes, LawSummary

# A plane has three coefficients. With fewer runs its intervals are too wide to say anything.
MIN_POINTS = 8
# A law holds when chance fits the runs as well more rarely than this,
HOLDS_P_VALUE = 0.01
# and when it predicts more than this share of the variation of runs left out.
HOLDS_R_SQUARED = 0.5
# It must also rank left-out runs, because a forecast is asked which of two versions is the better one. With normal
# errors a Spearman correlation of 0.8 orders four pairs of runs out of five (Kendall's tau 0.6). A high R² alone can
# come from one run that lies far off.
HOLDS_RANK_CORRELATION = 0.8


@dataclass(frozen=True)
class EntropyLaw:
    """Z = intercept + slope_log_r · ln(long R) + slope_l · L, by least squares over ``n_points`` runs.

    No sign is assumed: the paper contradicts itself on R against L, and a weak model need not follow either.

    - ``covariance``: of the coefficients, shape (3, 3). ``residual_sd``: in units of Z.
    - ``r_squared_loo``, ``rank_correlation``: how well each run is predicted by the plane through all the others: R²
      (1 - PRESS / total), and Spearman's correlation of forecast and actual Z.
    - ``p_value``: of the F test against a constant.
    - ``holds``: None with too few runs.
    """

    n_points: int
    intercept: float
    slope_log_r: float
    slope_l: float
    covariance: tuple[tuple[float, ...], ...]
    residual_sd: float
    r_squared_loo: float
    rank_correlation: float
    p_value: float
    holds: bool | None
    sentence: str
    points: tuple[LawPoint, ...]

    @property
    def degrees_of_freedom(self) -> int:
        return self.n_points - 3


@dataclass(frozen=True)
class PredictedChange:
    """A predicted change of Z with its interval (two-sided Student's t). ``sd``: of the change from run to run."""

    value: float
    low: float
    high: float
    sd: float
    degrees_of_freedom: int


def fit_entropy_law(points: Sequence[LawPoint]) -> EntropyLaw:
    """Fit the plane, and say in a sentence whether it holds.

    It holds when it beats a constant (F test, 1%), predicts left-out runs with R² above 0.5, and ranks them with a
    Spearman correlation of at least 0.8.
    """
    from scipy import stats

    n = len(points)
    if n < MIN_POINTS:
        return _unfitted(points, f"{n} training runs were measured and the law needs {MIN_POINTS}.")
    design = np.array([[1.0, math.log(point.r_long), point.l] for point in points])
    z = np.array([point.z for point in points])
    coefficients, _, rank, _ = np.linalg.lstsq(design, z, rcond=None)
    residuals = z - design @ coefficients
    total = float(((z - z.mean()) ** 2).sum())
    too_alike = "the training runs do not differ enough in R and L to fit the law."
    # Where all Z are equal the plane is that constant, and its residuals are only rounding.
    if rank < 3 or np.ptp(z) == 0.0:
        return _unfitted(points, too_alike)
    inverse = np.linalg.inv(design.T @ design)
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    # A leverage of 1: one run alone decides a slope, and no plane through the others could predict it.
    if leverage.max() > 1 - 1e-6:
        return _unfitted(points, too_alike)
    residual_square = float(residuals @ residuals)
    variance = residual_square / (n - 3)
    left_out = residuals / (1 - leverage)
    r_squared_loo = 1 - float(left_out @ left_out) / total
    rank_correlation = float(stats.spearmanr(z - left_out, z).statistic)
    f = ((total - residual_square) / 2) / variance if variance else math.inf
    p_value = float(stats.f.sf(f, 2, n - 3))
    slope_log_r, slope_l = float(coefficients[1]), float(coefficients[2])
    faults = describe_faults(p_value, r_squared_loo, rank_correlation)
    trends = f"Z {'falls' if slope_log_r < 0 else 'rises'} with long R and {'falls' if slope_l < 0 else 'rises'} with L"
    found = faults or (
        f"{trends}; left-out runs are predicted with R² {r_squared_loo:.2f} and ranked with Spearman's correlation "
        f"{rank_correlation:.2f}"
    )
    return EntropyLaw(
        n_points=n,
        intercept=float(coefficients[0]),
        slope_log_r=slope_log_r,
        slope_l=slope_l,
        covariance=tuple(tuple(float(v) for v in row) for row in inverse * variance),
        residual_sd=math.sqrt(variance),
        r_squared_loo=r_squared_loo,
        rank_correlation=rank_correlation,
        p_value=p_value,
        holds=not faults,
        sentence=f"The entropy law {'does not hold' if faults else 'holds'} on your data: {found} ({n} runs).",
        points=tuple(points),
    )


def _unfitted(points: Sequence[LawPoint], cause: str) -> EntropyLaw:
    nothing = math.nan
    return EntropyLaw(
        len(points), nothing, nothing, nothing, (), nothing, nothing, nothing, nothing, None,
        f"Too few points: {cause}", tuple(points),
    )  # fmt: skip


def describe_faults(p_value: float, r_squared_loo: float, rank_correlation: float) -> str:
    """The limits that a law misses, as a part of a sentence; empty where it holds.

    >>> describe_faults(1e-6, 0.97, 0.93)
    ''
    >>> describe_faults(1e-6, 0.97, 0.62)
    "left-out runs are ranked with Spearman's correlation 0.62, below 0.8"
    >>> describe_faults(0.02, -0.1, 0.85)
    'left-out runs are predicted worse than by their mean, and chance fits as well with p = 0.02'
    """
    of_left_out = []
    # Written with "not", so that nan fails.
    if not r_squared_loo > HOLDS_R_SQUARED:
        how_well = f"with R² {r_squared_loo:.2f} only" if r_squared_loo > 0 else "worse than by their mean"
        of_left_out.append(f"predicted {how_well}")
    if not rank_correlation >= HOLDS_RANK_CORRELATION:
        limit = f"below {HOLDS_RANK_CORRELATION}"
        of_left_out.append(f"ranked with Spearman's correlation {rank_correlation:.2f}, {limit}")
    parts = [f"left-out runs are {' and '.join(of_left_out)}"] if of_left_out else []
    if not p_value < HOLDS_P_VALUE:
        parts.append(f"chance fits as well with p = {p_value:.2g}")
    return ", and ".join(parts)


def predict_change(law: EntropyLaw, change_log_r: float, change_l: float, confidence: float = 0.95) -> PredictedChange:
    """Predicted change of Z between two versions, from the changes of ln(long R) and L; the intercept cancels.

    Each of the two runs has the residual noise, so its variance counts twice, beside that of the coefficients.
    """
    from scipy import stats

    change = np.array([0.0, change_log_r, change_l])
    value = float(change @ [law.intercept, law.slope_log_r, law.slope_l])
    sd = math.sqrt(float(change @ np.array(law.covariance) @ change) + 2 * law.residual_sd**2)
    half = float(stats.t.ppf((1 + confidence) / 2, law.degrees_of_freedom)) * sd
    return PredictedChange(value, value - half, value + half, sd, law.degrees_of_freedom)


def summarise_law(law: EntropyLaw, curves: Mapping[LawMeasure, LawCurve]) -> LawSummary:
    """What a verdict keeps of the law: sentence, runs, slopes, and a curve for each measure."""
    summary = LawSummary(law.holds, law.sentence, law.n_points, law.points, dict(curves))
    if law.holds is None:
        return summary
    return replace(
        summary,
        slopes=LawSlopes(law.slope_log_r, law.slope_l),
        r_squared_loo=law.r_squared_loo,
        rank_correlation=law.rank_correlation,
    )
