"""The entropy law on the user's own data: performance Z as a linear function of ln(long R) and L, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.law.families import (
    centre,
    describe_synthetic,
    explain_families,
    measure_consistency,
    rank_clean,
    scale_of,
)
from monitor.law.quality_part import measure_quality_part
from monitor.law.results import ForecastCheck, LawCurve, LawMeasure, LawPoint, LawSlopes, LawSummary
from monitor.law.scored_versions import MIN_SCORED, check_forecasts

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

    - ``covariance``: of these coefficients, shape (3, 3). ``residual_sd``: in units of Z.
    - ``r_squared_loo``, ``rank_correlation``: how well each run is predicted by the plane through all the others: R²
      (1 - PRESS / total), and Spearman's correlation of forecast and actual Z.
    - ``r_squared_families``: the same R² with whole families of runs left out one by one. ``rank_correlation_clean``:
      the same correlation within runs on sound data, nan with too few of them.
    - ``p_value``: of the F test against a constant.
    - ``holds``: None with too few runs.
    - ``offsets``: coefficients beside these three: 1 where accepted versions, whose Z has a level of its own, were
      fitted too. ``forecasts``: of their changes of Z, by the law without them.
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
    r_squared_families: float = math.nan
    rank_correlation_clean: float = math.nan
    offsets: int = 0
    forecasts: ForecastCheck | None = None

    @property
    def degrees_of_freedom(self) -> int:
        return self.n_points - 3 - self.offsets


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
    Spearman correlation of at least 0.8; and when it does both across kinds of data too: with whole families left out,
    and within the runs on sound data. A law that fails only the latter holds on synthetic damage only.
    """
    from scipy import stats

    n = len(points)
    if n < MIN_POINTS:
        return _unfitted(points, f"{n} training runs were measured and the law needs {MIN_POINTS}.")
    scale = scale_of(points)
    offsets = int(scale.any() and not scale.all())
    columns = [[1.0, math.log(point.r_long), point.l, float(own)] for point, own in zip(points, scale, strict=True)]
    design = np.array(columns)[:, : 3 + offsets]
    z = np.array([point.z for point in points])
    coefficients, _, rank, _ = np.linalg.lstsq(design, z, rcond=None)
    residuals = z - design @ coefficients
    total = float((centre(z, scale) ** 2).sum())
    too_alike = "the training runs do not differ enough in R and L to fit the law."
    # Where all Z are equal the plane is that constant, and its residuals are only rounding.
    if rank < 3 + offsets or np.ptp(z) == 0.0:
        return _unfitted(points, too_alike)
    inverse = np.linalg.inv(design.T @ design)
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    # A leverage of 1: one run alone decides a slope, and no plane through the others could predict it.
    if leverage.max() > 1 - 1e-6:
        return _unfitted(points, too_alike)
    residual_square = float(residuals @ residuals)
    variance = residual_square / (n - 3 - offsets)
    left_out = residuals / (1 - leverage)
    r_squared_loo = 1 - float(left_out @ left_out) / total
    rank_correlation = float(stats.spearmanr(centre(z - left_out, scale), centre(z, scale)).statistic)
    several = len({point.family for point in points}) > 1
    # Where all runs are of one family, each is left out alone.
    r_squared_families = explain_families(points, design, z) if several else r_squared_loo
    rank_correlation_clean = rank_clean(points, z - left_out, z) if several else rank_correlation
    f = ((total - residual_square) / 2) / variance if variance else math.inf
    p_value = float(stats.f.sf(f, 2, n - 3 - offsets))
    slope_log_r, slope_l = float(coefficients[1]), float(coefficients[2])
    faults = describe_faults(p_value, r_squared_loo, rank_correlation)
    trends = f"Z {'falls' if slope_log_r < 0 else 'rises'} with long R and {'falls' if slope_l < 0 else 'rises'} with L"
    limits = (HOLDS_R_SQUARED, HOLDS_RANK_CORRELATION)
    narrow = "" if faults else describe_synthetic(r_squared_families, rank_correlation_clean, limits)
    left_out_well = (
        f"left-out runs are predicted with R² {r_squared_loo:.2f} and ranked with Spearman's correlation "
        f"{rank_correlation:.2f}"
    )
    found = faults or (f"{left_out_well}, but {narrow}" if narrow else f"{trends}; {left_out_well}")
    verb = "does not hold on your data" if faults else "holds on synthetic damage only" if narrow else ""
    return EntropyLaw(
        n_points=n,
        intercept=float(coefficients[0]),
        slope_log_r=slope_log_r,
        slope_l=slope_l,
        covariance=tuple(tuple(float(v) for v in row) for row in (inverse * variance)[:3, :3]),
        residual_sd=math.sqrt(variance),
        r_squared_loo=r_squared_loo,
        rank_correlation=rank_correlation,
        p_value=p_value,
        holds=not faults and not narrow,
        sentence=f"The entropy law {verb or 'holds on your data'}: {found} ({n} runs).",
        points=tuple(points),
        r_squared_families=r_squared_families,
        rank_correlation_clean=rank_correlation_clean,
        offsets=offsets,
    )


def fit_with_versions(runs: Sequence[LawPoint], versions: Sequence[LawPoint]) -> EntropyLaw:
    """The law on the calibration's runs and, from six on, on the scored versions of the family ``accepted``.

    ``versions``: in the order in which they were accepted. From six changes of Z on, the law without them forecasts
    each; where these forecasts have no skill, the law does not hold.
    """
    alone = fit_entropy_law(runs)
    if len(versions) < MIN_SCORED:
        return alone
    law = fit_entropy_law([*runs, *versions])
    if alone.holds is None or law.holds is None:
        return law
    forecasts = check_forecasts(LawSlopes(alone.slope_log_r, alone.slope_l), versions)
    if forecasts is None:
        return law
    if law.holds and not forecasts.skilled:
        return replace(
            law, holds=False, sentence=f"The entropy law does not hold: {forecasts.sentence}", forecasts=forecasts
        )
    return replace(law, sentence=f"{law.sentence} {forecasts.sentence}", forecasts=forecasts)


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
    summary = LawSummary(
        law.holds, law.sentence, law.n_points, law.points, dict(curves), quality=measure_quality_part(law.points)
    )
    if law.holds is None:
        return summary
    return replace(
        summary,
        slopes=LawSlopes(law.slope_log_r, law.slope_l),
        r_squared_loo=law.r_squared_loo,
        rank_correlation=law.rank_correlation,
        r_squared_families=_finite(law.r_squared_families),
        rank_correlation_clean=_finite(law.rank_correlation_clean),
        consistency=measure_consistency(law.points),
        forecasts=law.forecasts,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
