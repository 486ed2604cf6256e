"""Curves of Z over one measure of the data (the paper's Figures 3 and 4): the best form, and how good it is.

One measure alone is not the law: a run that also differs in another measure lies off the curve. The verdict's forecast
rests on two measures at once (`monitor.law.entropy_law`); these curves show them one by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from monitor.law.entropy_law import HOLDS_P_VALUE, HOLDS_R_SQUARED
from monitor.law.forms import (
    COEFFICIENTS,
    FittedForm,
    Vector,
    count_places,
    explain_variation,
    fit_form,
    list_forms,
    measure_spread,
    predict_form,
    score_aicc,
)
from monitor.law.results import CurveBand, Form, LawCurve, LawMeasure, LawPoint

SYMBOLS: dict[LawMeasure, str] = {"r": "R", "r_long": "long R", "l": "L"}
# With so many, a straight line can still be fitted and compared by AICc when any one run is left out.
MIN_RUNS, MIN_PLACES = 6, 4
# Of both bands, the one for the curve and the one for one more run.
CONFIDENCE = 0.95
# A p-value of 1% then has a standard error of a fifth of itself.
SHUFFLES = 1999
# At so many places a curve is drawn.
CURVE_POINTS = 41
# A curve turns where it goes back by more than this share of its range.
TURN_SHARE = 0.05


def fit_law_curves(points: Sequence[LawPoint], rng: np.random.Generator) -> dict[LawMeasure, LawCurve]:
    """The curves of Z over R, long R and L, each by itself."""
    z = [point.z for point in points]
    return {
        measure: fit_law_curve([getattr(point, measure) for point in points], z, symbol, rng)
        for measure, symbol in SYMBOLS.items()
    }


def fit_law_curve(x: ArrayLike, z: ArrayLike, symbol: str, rng: np.random.Generator) -> LawCurve:
    """Fit every form that the runs allow and keep the one with the lowest AICc. No sign is assumed.

    ``x``, ``z``: (n,), finite; ``symbol`` names x in the sentence; ``rng`` shuffles the runs for the p-value.

    >>> x = [2.0, 2.5, 3.0, 4.0, 6.0, 9.0, 14.0]
    >>> curve = fit_law_curve(x, [-5 - 0.1 * value for value in x], "long R", np.random.default_rng(0))
    >>> curve.form, curve.holds
    ('linear', True)
    >>> fit_law_curve(x[:4], [-5, -5.1, -5.2, -5.4], "long R", np.random.default_rng(0)).sentence
    'Too few points: 4 training runs were measured and a curve over long R needs 6.'
    """
    x, z = np.asarray(x, dtype=float), np.asarray(z, dtype=float)
    n = len(x)
    if hindrance := explain_too_few(x, z, symbol):
        return LawCurve(n, None, f"Too few points: {hindrance}")
    forms = list_forms(x)
    fits = [fit_form(form, x, z) for form in forms]
    best = min(fits, key=lambda fit: fit.aicc)
    total = float(((z - z.mean()) ** 2).sum())
    errors = z - predict_left_out(x, z, forms)
    press = float(errors @ errors)
    r_squared, r_squared_loo = 1 - best.residual_square / total, 1 - press / total
    p_value = shuffle_p_value(x, z, forms, rng)
    holds = p_value < HOLDS_P_VALUE and r_squared_loo > HOLDS_R_SQUARED
    left_out = f"with R² {r_squared_loo:.2f}" if r_squared_loo > 0 else "worse than by their mean"
    band = draw_band(fits, np.linspace(x.min(), x.max(), CURVE_POINTS))
    found = (
        f"Z {describe_trend(band.z)} ({best.form}, R² {r_squared:.2f})"
        if holds
        else f"the best of {len(forms)} forms is {best.form} (R² {r_squared:.2f})"
    )
    return LawCurve(
        n_points=n,
        holds=holds,
        sentence=f"Over {symbol} alone, the law {'holds' if holds else 'does not hold'} on your data: {found}, "
        f"left-out runs are predicted {left_out}, and chance fits as well in {p_value:.1%} of shuffles ({n} runs).",
        form=best.form,
        coefficients=best.coefficients,
        centre=best.centre,
        residual_sd=best.residual_sd,
        r_squared=r_squared,
        r_squared_loo=r_squared_loo,
        error_loo=math.sqrt(press / n),
        p_value=p_value,
        aicc={fit.form: fit.aicc for fit in fits},
        band=band,
    )


def explain_too_few(x: Vector, z: Vector, symbol: str) -> str:
    """Why no curve can be drawn through these runs, as a sentence; empty where one can."""
    if len(x) < MIN_RUNS:
        return f"{len(x)} training runs were measured and a curve over {symbol} needs {MIN_RUNS}."
    for values, name, needed in ((x, symbol, MIN_PLACES), (z, "Z", 2)):
        if count_places(values) < needed:
            return f"the training runs do not differ enough in {name} to draw it a curve."
    return ""


def predict_left_out(x: Vector, z: Vector, forms: Sequence[Form]) -> Vector:
    """Predict Z of each run, (n,), by the form that is chosen from ``forms`` and fitted on all the other runs."""
    predicted = np.empty_like(z)
    for i in range(len(x)):
        others_x, others_z = np.delete(x, i), np.delete(z, i)
        fits = [fit_form(form, others_x, others_z) for form in list_forms(others_x) if form in forms]
        predicted[i] = predict_form(min(fits, key=lambda fit: fit.aicc), x[i : i + 1])[0]
    return predicted


def shuffle_p_value(x: Vector, z: Vector, forms: Sequence[Form], rng: np.random.Generator) -> float:
    """The share of shuffles of Z whose best AICc is as low: a permutation test that allows for the choice of a form."""
    samples = np.column_stack([z, rng.permuted(np.tile(z, (SHUFFLES, 1)), axis=1).T])
    n = len(x)
    # Shuffling does not change the squares of Z around its mean, so they are taken as 1.
    best = np.min(
        [score_aicc(1 - explain_variation(form, x, samples), 1.0, n, COEFFICIENTS[form]) for form in forms], axis=0
    )
    # The sample itself is one of the shuffles, and the same order drawn again differs from it by rounding.
    return float((best <= best[0] + 1e-9).mean())


def draw_band(fits: Sequence[FittedForm], x: Vector) -> CurveBand:
    """The best of the fits at each x, with its two bands.

    A band is Student's t times a standard error. The delta method gives the error of each form; the distance of a form
    from the best is added to it, and the forms are averaged by their Akaike weights (Burnham and Anderson 2002, section
    4.3). So the band is wider where the form is in doubt.
    """
    from scipy import stats

    best = min(fits, key=lambda fit: fit.aicc)
    z = predict_form(best, x)
    weights = np.exp([(best.aicc - fit.aicc) / 2 for fit in fits])
    doubts = [measure_spread(fit, x) ** 2 + (predict_form(fit, x) - z) ** 2 for fit in fits]
    variance = weights @ np.array(doubts) / weights.sum()
    t = float(stats.t.ppf((1 + CONFIDENCE) / 2, best.degrees_of_freedom))
    half, run_half = t * np.sqrt(variance), t * np.sqrt(variance + best.residual_sd**2)
    columns = (x, z, z - half, z + half, z - run_half, z + run_half)
    return CurveBand(*(tuple(column.tolist()) for column in columns))


def describe_trend(z: Sequence[float]) -> str:
    """Whether a curve with at most one turn rises or falls.

    >>> describe_trend([1.0, 0.5, 0.2]), describe_trend([1.0, 2.0, 1.2]), describe_trend([1.0, 0.0, 0.01])
    ('falls', 'rises, then falls', 'falls')
    """
    turn = TURN_SHARE * (max(z) - min(z))
    if max(z) - max(z[0], z[-1]) > turn:
        return "rises, then falls"
    if min(z[0], z[-1]) - min(z) > turn:
        return "falls, then rises"
    return "rises" if z[-1] > z[0] else "falls"
