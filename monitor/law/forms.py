"""The forms of the entropy law's curves: linear, quadratic, exponential and power, each fitted by least squares."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monitor.law.results import Form

Vector = NDArray[np.float64]

# Where several fit equally well, the first of them is preferred.
FORMS: tuple[Form, ...] = ("linear", "quadratic", "exponential", "power")
COEFFICIENTS: dict[Form, int] = {"linear": 2, "quadratic": 3, "exponential": 3, "power": 3}
# The slope at one end of the runs is at most a thousand times the slope at the other. A curve that bends more is a step
# at its first or last run, and fits the noise of that run.
MAX_BEND = math.log(1000)
# An odd number of them, so that 0, a straight line, is among them.
BENDS = np.linspace(-MAX_BEND, MAX_BEND, 71)
# A curve that misses the runs by a millionth of their spread counts as exact: the rest is rounding.
EXACT = 1e-12
# Values of x that differ by less than this share of their size count as equal.
SAME_X = 1e-9


@dataclass(frozen=True)
class FittedForm:
    """A form fitted through n runs by least squares. With s = x - centre, or ln(x / centre) for a power, Z is

    - linear: a + b·s
    - quadratic: a + b·s + c·s²
    - exponential and power: a + b·(exp(c·s) - 1) / c. This is a' + b'·exp(c·x) and a' + b'·x^c, written so that it can
      be computed where c is near 0; at c = 0 it is a + b·s.

    So a is Z at the centre, and b is the slope there.

    - ``coefficients``: (a, b) or (a, b, c). ``covariance``: theirs, shape (p, p). It does not allow for c being at the
      end of its range.
    - ``aicc``: Akaike's criterion with the small-sample term; lower is better.
    """

    form: Form
    centre: float
    coefficients: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    residual_sd: float
    degrees_of_freedom: int
    residual_square: float
    aicc: float


def list_forms(x: ArrayLike) -> tuple[Form, ...]:
    """The forms that can be fitted to runs at these x.

    A form needs three more runs than it has coefficients, or AICc has no value. It needs one more value of x than it
    has coefficients, or nothing tests its shape. And a power needs x above 0.

    >>> list_forms([1, 2, 3, 4, 5, 6])
    ('linear', 'quadratic', 'exponential', 'power')
    >>> list_forms([0, 1, 2, 3, 4, 5]), list_forms([1, 2, 3, 4, 5]), list_forms([1, 1, 1, 1, 2, 2])
    (('linear', 'quadratic', 'exponential'), ('linear',), ())
    """
    x = np.asarray(x, dtype=float)
    places = count_places(x)
    return tuple(
        form
        for form in FORMS
        if len(x) >= COEFFICIENTS[form] + 3 and places > COEFFICIENTS[form] and (form != "power" or x.min() > 0)
    )


def count_places(x: ArrayLike) -> int:
    """How many values of x differ by more than rounding.

    >>> count_places([2.5, 2.5 + 1e-13, 3.0]), count_places([1e9, 1e9 + 1e-3]), count_places([])
    (2, 1, 0)
    """
    x = np.sort(np.asarray(x, dtype=float))
    if not len(x):
        return 0
    gap = SAME_X * max(x[-1] - x[0], abs(x[0]), abs(x[-1]))
    return 1 + int((np.diff(x) > gap).sum())


def fit_form(form: Form, x: ArrayLike, z: ArrayLike) -> FittedForm:
    """Least squares of one form. ``x``, ``z``: (n,), for which ``list_forms`` names the form.

    For a given c, a and b follow by linear least squares. c itself is searched on a grid over its whole range and then
    refined, so that there is no starting value to choose.

    >>> line = fit_form("linear", [0, 1, 2, 3, 4], [1, 3, 5, 7, 9])
    >>> line.centre, [round(value, 9) for value in line.coefficients]
    (2.0, [5.0, 2.0])
    """
    x, z = np.asarray(x, dtype=float), np.asarray(z, dtype=float)
    centre = _middle(form, x)
    s = _offsets(form, x, centre)
    rate = _fit_rate(s, z) if form in ("exponential", "power") else None
    columns = [np.ones_like(s), s, s * s] if form == "quadratic" else [np.ones_like(s), _bend(s, rate or 0.0)]
    design = np.stack(columns, axis=1)
    solution = np.linalg.lstsq(design, z, rcond=None)[0]
    residuals = z - design @ solution
    coefficients = tuple(float(value) for value in solution) + ((rate,) if rate is not None else ())
    residual_square = float(residuals @ residuals)
    degrees = len(x) - len(coefficients)
    variance = residual_square / degrees
    slopes = _gradient(form, coefficients, s)
    # All columns are scaled to one length, so that the inverse does not depend on the unit of x.
    lengths = np.sqrt((slopes**2).sum(axis=0))
    lengths[lengths == 0] = 1.0
    unit = slopes / lengths
    covariance = variance * np.linalg.pinv(unit.T @ unit, hermitian=True) / np.outer(lengths, lengths)
    return FittedForm(
        form=form,
        centre=centre,
        coefficients=coefficients,
        covariance=tuple(tuple(float(value) for value in row) for row in covariance),
        residual_sd=math.sqrt(variance),
        degrees_of_freedom=degrees,
        residual_square=residual_square,
        aicc=float(score_aicc(residual_square, float(((z - z.mean()) ** 2).sum()), len(x), len(coefficients))),
    )


def predict_form(fitted: FittedForm, x: ArrayLike) -> Vector:
    """Z on the curve at each x, (m,).

    >>> predict_form(fit_form("linear", [0, 1, 2, 3, 4], [1, 3, 5, 7, 9]), [10]).round(9).tolist()
    [21.0]
    """
    s = _offsets(fitted.form, np.asarray(x, dtype=float), fitted.centre)
    a, b, *rest = fitted.coefficients
    if fitted.form == "quadratic":
        return a + b * s + rest[0] * s * s
    return a + b * _bend(s, rest[0] if rest else 0.0)


def measure_spread(fitted: FittedForm, x: ArrayLike) -> Vector:
    """Standard error of the curve at each x, (m,), by the delta method; exact for linear and quadratic curves."""
    slopes = _gradient(fitted.form, fitted.coefficients, _offsets(fitted.form, np.asarray(x, float), fitted.centre))
    variance = np.einsum("ij,jk,ik->i", slopes, np.array(fitted.covariance), slopes)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def score_aicc(residual_square: ArrayLike, total_square: ArrayLike, n: int, coefficients: int) -> Vector:
    """Akaike's criterion with the small-sample term; lower is better. The noise's variance counts as a coefficient.

    >>> round(float(score_aicc(2.0, 10.0, n=12, coefficients=2)), 3)
    -12.501
    """
    floor = np.maximum(np.asarray(residual_square, float), EXACT * np.asarray(total_square, float))
    k = coefficients + 1
    return np.asarray(n * np.log(floor / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1))


def explain_variation(form: Form, x: Vector, z: Vector) -> Vector:
    """R² of a form with the best bend of the grid, for each of m samples, shape (m,).

    ``z``: (n, m), the samples at the same x, none of them constant.
    """
    s = _offsets(form, x, _middle(form, x))
    centred = z - z.mean(axis=0)
    if form == "quadratic":
        axes, _ = np.linalg.qr(np.stack([np.ones_like(s), s, s * s], axis=1))
        explained = ((axes[:, 1:].T @ centred) ** 2).sum(axis=0)
    else:
        bends = np.zeros(1) if form == "linear" else BENDS
        explained = ((_unit_columns(s, bends).T @ centred) ** 2).max(axis=0)
    return np.asarray(explained / (centred**2).sum(axis=0))


def _unit_columns(s: Vector, bends: Vector) -> Vector:
    """One column for each bend, (n, len(bends)), of mean 0 and length 1.

    A column explains the square of its product with Z.
    """
    columns = _bend(s[:, None], bends / np.ptp(s))
    columns = columns - columns.mean(axis=0)
    return np.asarray(columns / np.sqrt((columns**2).sum(axis=0)))


def _fit_rate(s: Vector, z: Vector) -> float:
    from scipy import optimize

    def explained(bends: Vector) -> Vector:
        return np.asarray((_unit_columns(s, bends).T @ (z - z.mean())) ** 2)

    best = int(explained(BENDS).argmax())
    around = float(BENDS[max(best - 1, 0)]), float(BENDS[min(best + 1, len(BENDS) - 1)])
    refined = optimize.minimize_scalar(
        lambda bend: -float(explained(np.array([bend]))[0]), bounds=around, method="bounded", options={"xatol": 1e-7}
    )
    return float(refined.x / np.ptp(s))


def _middle(form: Form, x: Vector) -> float:
    low, high = float(x.min()), float(x.max())
    return math.sqrt(low * high) if form == "power" else (low + high) / 2


def _offsets(form: Form, x: Vector, centre: float) -> Vector:
    """s of `FittedForm`: how far each x lies from the centre."""
    return np.log(x / centre) if form == "power" else x - centre


def _bend(s: Vector, rate: float | Vector) -> Vector:
    """(exp(rate·s) - 1) / rate, which is s where the rate is 0."""
    from scipy import special

    return np.asarray(s * special.exprel(rate * s))


def _gradient(form: Form, coefficients: tuple[float, ...], s: Vector) -> Vector:
    """Derivatives of Z by the coefficients, (m, p)."""
    from scipy import special

    ones = np.ones_like(s)
    if form == "linear":
        return np.stack([ones, s], axis=1)
    if form == "quadratic":
        return np.stack([ones, s, s * s], axis=1)
    _, b, rate = coefficients
    u = rate * s
    # Near 0 this derivative loses its digits to rounding; three terms of its series have them all.
    near = np.abs(u) < 1e-3
    slope = np.where(near, 0.5 + u / 3 + u * u / 8, (np.exp(u) - special.exprel(u)) / np.where(near, 1.0, u))
    return np.stack([ones, _bend(s, rate), b * s * s * slope], axis=1)
