"""The curves of Z over one measure against numpy, scipy, naive refits and simulation."""

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.polynomial import Polynomial
from sample_verdicts import history, sample_verdict
from scipy import optimize, stats

from corpus.artifacts import to_json
from corpus.shapes import parse_shape
from monitor.law.curves import MIN_RUNS, draw_band, fit_law_curve, fit_law_curves, predict_left_out, shuffle_p_value
from monitor.law.entropy_law import fit_entropy_law, summarise_law
from monitor.law.forms import FORMS, MAX_BEND, Vector, fit_form, list_forms, measure_spread, predict_form
from monitor.law.results import Form, LawCurve, LawPoint
from monitor.verdict import Verdict
from reports.report_data import build_report_data

# Long R of a calibration's twelve runs: most lie together, the repeated subsets far off.
RATIOS = np.array([3.09, 3.07, 3.07, 3.00, 3.11, 6.01, 11.54, 22.4, 3.02, 2.94, 4.35, 5.98])
LOSSES = np.array([4.87, 4.86, 4.88, 4.90, 4.89, 4.84, 4.82, 4.85, 5.14, 5.43, 5.46, 5.01])

# Without noise, at x from 3 to 9; each bends too much for another form to pass for it.
TRUTHS: dict[Form, Callable[[Vector], Vector]] = {
    "linear": lambda x: -4.0 - 0.2 * x,
    "quadratic": lambda x: -5.0 - 0.1 * (x - 5.5) ** 2,
    "exponential": lambda x: -5.0 + 30.0 * np.exp(-1.1 * x),
    "power": lambda x: -5.0 + 40.0 * x**-4,
}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noisy(form: Form, x: Vector, noise: float, seed: int = 0) -> Vector:
    return TRUTHS[form](x) + rng(seed).normal(0, noise, len(x))


def fit(x: Vector, z: Vector, seed: int = 0) -> LawCurve:
    return fit_law_curve(x, z, "long R", rng(seed))


# One form.


@pytest.mark.parametrize(("form", "degree"), [("linear", 1), ("quadratic", 2)])
def test_a_polynomial_and_its_standard_error_are_those_of_numpy(form: Form, degree: int) -> None:
    z = noisy("exponential", RATIOS, 0.03)
    coefficients, covariance = np.polyfit(RATIOS, z, degree, cov=True)
    fitted, x = fit_form(form, RATIOS, z), np.linspace(2.5, 25, 7)
    assert predict_form(fitted, x) == pytest.approx(np.polyval(coefficients, x))
    powers = np.vander(x, degree + 1)
    assert measure_spread(fitted, x) == pytest.approx(np.sqrt(((powers @ covariance) * powers).sum(axis=1)))
    residuals = z - np.polyval(coefficients, RATIOS)
    assert fitted.residual_sd == pytest.approx(math.sqrt((residuals**2).sum() / (11 - degree)))


@pytest.mark.parametrize(("form", "curve"), [
    ("exponential", lambda x, a, b, c: a + b * np.exp(c * x)),
    ("power", lambda x, a, b, c: a + b * x**c),
])  # fmt: skip
@pytest.mark.parametrize("seed", range(3))
def test_a_bent_curve_is_the_least_squares_that_scipy_finds_from_the_truth(
    form: Form, curve: Callable[..., Vector], seed: int
) -> None:
    x = np.linspace(3, 9, 15)
    z = noisy(form, x, 0.02, seed)
    truth = {"exponential": (-5.0, 30.0, -1.1), "power": (-5.0, 40.0, -4.0)}[form]
    coefficients, covariance = optimize.curve_fit(curve, x, z, p0=truth, ftol=1e-14, xtol=1e-14, gtol=1e-14)
    fitted, places = fit_form(form, x, z), np.linspace(3, 9, 5)
    assert predict_form(fitted, places) == pytest.approx(curve(places, *coefficients), abs=1e-6)
    # The rate of an exponential and the exponent of a power are the third coefficient as it stands.
    assert fitted.coefficients[2] == pytest.approx(coefficients[2], rel=1e-4)
    steps = 1e-6 * np.diag(coefficients)
    slopes = np.array(
        [
            (curve(places, *(coefficients + step)) - curve(places, *(coefficients - step))) / (2 * step.sum())
            for step in steps
        ]
    ).T
    expected = np.sqrt(((slopes @ covariance) * slopes).sum(axis=1))
    assert measure_spread(fitted, places) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("form", ["exponential", "power"])
def test_no_starting_value_can_find_a_better_bent_curve(form: Form) -> None:
    generator, x = rng(1), np.sort(rng(2).uniform(2.5, 4, 10))
    t = x if form == "exponential" else np.log(x)
    for _ in range(5):
        z = generator.normal(-5, 0.1, 10)
        bends = np.linspace(-MAX_BEND, MAX_BEND, 1001) / np.ptp(t)
        designs = (np.stack([np.ones(10), np.exp(bend * (t - t.mean()))], axis=1) for bend in bends if bend)
        lowest = min(float(np.linalg.lstsq(design, z)[1][0]) for design in designs)
        assert fit_form(form, x, z).residual_square <= lowest * (1 + 1e-9)


def test_aicc_is_akaikes_criterion_with_the_variance_as_a_coefficient() -> None:
    z = noisy("linear", RATIOS, 0.03)
    residuals = z - Polynomial.fit(RATIOS, z, 1)(RATIOS)
    # Three parameters, twelve runs; constants that all forms share are left out.
    expected = 12 * math.log((residuals**2).mean()) + 2 * 3 + 2 * 3 * 4 / (12 - 3 - 1)
    assert fit_form("linear", RATIOS, z).aicc == pytest.approx(expected)


def test_a_straight_line_is_the_limit_of_an_exponential_without_bend() -> None:
    x = np.linspace(3, 9, 9)
    bent, straight = fit_form("exponential", x, TRUTHS["linear"](x)), fit_form("linear", x, TRUTHS["linear"](x))
    assert bent.coefficients[2] == pytest.approx(0, abs=1e-6)
    assert predict_form(bent, x) == pytest.approx(predict_form(straight, x), abs=1e-9)


# The choice.


@pytest.mark.parametrize("form", FORMS)
def test_enough_runs_with_little_noise_tell_the_form(form: Form) -> None:
    x = np.linspace(3, 9, 30)
    curve = fit(x, noisy(form, x, 0.003))
    assert (curve.form, curve.holds) == (form, True)
    assert curve.r_squared > 0.99 and curve.r_squared_loo > 0.99
    assert curve.residual_sd == pytest.approx(0.003, rel=0.4) and curve.error_loo == pytest.approx(0.003, rel=0.5)


def test_of_forms_that_fit_alike_the_simplest_is_taken() -> None:
    x = np.linspace(3, 9, 12)
    assert fit(x, TRUTHS["linear"](x)).form == "linear"


@pytest.mark.slow
def test_noise_alone_does_not_hold() -> None:
    generator = rng(3)
    curves = [fit(RATIOS, generator.normal(-5, 0.1, 12)) for _ in range(25)]
    assert not any(curve.holds for curve in curves)
    assert all("does not hold on your data" in curve.sentence for curve in curves)


@pytest.mark.slow
def test_the_p_value_counts_the_choice_among_forms_in() -> None:
    generator = rng(4)
    forms = list_forms(RATIOS)
    p_values = np.array([shuffle_p_value(RATIOS, generator.normal(-5, 0.1, 12), forms, generator) for _ in range(1000)])
    # Binomial, n = 1000: standard errors of 0.013 and 0.007. An F test of the form chosen gives 0.25 and 0.08.
    assert np.mean(p_values <= 0.2) == pytest.approx(0.2, abs=0.035)
    assert np.mean(p_values <= 0.05) == pytest.approx(0.05, abs=0.02)


def test_a_run_left_out_is_predicted_by_the_form_that_the_others_choose() -> None:
    x = np.linspace(3, 9, 9)
    z = noisy("quadratic", x, 0.4)
    chosen, expected = set(), []
    for i in range(9):
        rest_x, rest_z = np.delete(x, i), np.delete(z, i)
        lines = {degree: Polynomial.fit(rest_x, rest_z, degree) for degree in (1, 2)}
        score = {
            degree: 8 * math.log(((rest_z - line(rest_x)) ** 2).mean()) + 2 * k + 2 * k * (k + 1) / (8 - k - 1)
            for degree, line in lines.items()
            for k in [degree + 2]
        }
        degree = min(score, key=score.__getitem__)
        chosen.add(degree)
        expected.append(lines[degree](x[i]))
    assert chosen == {1, 2}
    assert predict_left_out(x, z, ("linear", "quadratic")) == pytest.approx(expected)


def test_the_measures_of_left_out_runs_are_those_of_their_errors() -> None:
    z = noisy("power", RATIOS, 0.05)
    curve = fit(RATIOS, z)
    errors = z - predict_left_out(RATIOS, z, FORMS)
    assert curve.error_loo == pytest.approx(math.sqrt((errors**2).mean()))
    assert curve.r_squared_loo == pytest.approx(1 - (errors**2).mean() / z.var())


# What a curve must not depend on.


def numbers(curve: LawCurve) -> list[float]:
    return [curve.r_squared, curve.r_squared_loo, curve.p_value, curve.residual_sd, curve.error_loo]


@pytest.mark.parametrize("form", FORMS)
def test_the_unit_of_x_changes_no_number_of_z(form: Form) -> None:
    z = noisy(form, RATIOS, 0.02)
    here, there = fit(RATIOS, z), fit(1000 * RATIOS, z)
    assert here.form == there.form and numbers(here) == pytest.approx(numbers(there), rel=1e-5)
    assert here.band.z == pytest.approx(there.band.z) and here.band.low == pytest.approx(there.band.low, abs=1e-5)


@pytest.mark.parametrize("form", ["linear", "quadratic", "exponential"])
def test_where_x_begins_changes_no_curve_but_the_power(form: Form) -> None:
    x = np.linspace(3, 9, 12)
    z = noisy(form, x, 0.02)
    here, there = fit_form(form, x, z), fit_form(form, x + 5000, z)
    assert predict_form(here, x) == pytest.approx(predict_form(there, x + 5000), abs=1e-7)
    assert measure_spread(here, x) == pytest.approx(measure_spread(there, x + 5000), rel=1e-4)
    moved = fit_form("power", x + 5000, noisy("power", x, 0.0))
    assert moved.residual_square > 1e3 * fit_form("power", x, noisy("power", x, 0.0)).residual_square


@pytest.mark.parametrize("form", FORMS)
def test_no_sign_and_no_scale_of_z_is_assumed(form: Form) -> None:
    z = noisy(form, RATIOS, 0.02)
    here, there = fit(RATIOS, z), fit(RATIOS, 7 - 10 * z)
    assert here.form == there.form and here.p_value == there.p_value
    assert there.residual_sd == pytest.approx(10 * here.residual_sd, rel=1e-5)
    assert there.band.high == pytest.approx([7 - 10 * low for low in here.band.low], abs=1e-4)


def test_the_order_of_the_runs_changes_no_curve() -> None:
    z, order = noisy("power", RATIOS, 0.02), rng(5).permutation(12)
    here, there = fit(RATIOS, z), fit(RATIOS[order], z[order])
    assert here.band.z == pytest.approx(there.band.z) and here.r_squared_loo == pytest.approx(there.r_squared_loo)


# The bands.


def test_with_one_form_the_bands_are_the_textbooks_confidence_and_prediction_intervals() -> None:
    z, at = noisy("linear", RATIOS, 0.03), np.array([3.0, 10.0, 20.0])
    band = draw_band([fit_form("linear", RATIOS, z)], at)
    line = stats.linregress(RATIOS, z)
    s = math.sqrt(((z - line.intercept - line.slope * RATIOS) ** 2).sum() / 10)
    leverage = 1 / 12 + (at - RATIOS.mean()) ** 2 / ((RATIOS - RATIOS.mean()) ** 2).sum()
    t = stats.t.ppf(0.975, 10)
    middle = line.intercept + line.slope * at
    assert band.high == pytest.approx(middle + t * s * np.sqrt(leverage))
    assert band.run_low == pytest.approx(middle - t * s * np.sqrt(1 + leverage))


def test_a_form_that_fits_nearly_as_well_but_runs_elsewhere_widens_the_band() -> None:
    x = np.linspace(3, 9, 12)
    z = noisy("exponential", x, 0.5)
    fits = [fit_form(form, x, z) for form in FORMS]
    best = min(fits, key=lambda fitted: fitted.aicc)
    alone, together = draw_band([best], x), draw_band(fits, x)
    assert together.z == alone.z
    wider = np.subtract(together.high, together.low) / np.subtract(alone.high, alone.low)
    assert wider.max() > 1.2


@pytest.mark.parametrize("form", FORMS)
def test_the_bands_cover_the_curve_and_a_new_run_at_about_their_nominal_rate(form: Form) -> None:
    generator, x, at = rng(6), np.linspace(3, 9, 12), np.linspace(3, 9, 7)
    noise, truth = 0.1 * np.ptp(TRUTHS[form](x)), TRUTHS[form](at)
    curve, run = [], []
    for _ in range(60):
        z = TRUTHS[form](x) + generator.normal(0, noise, 12)
        band = draw_band([fit_form(one, x, z) for one in FORMS], at)
        new = truth + generator.normal(0, noise, 7)
        curve.append(np.mean((np.array(band.low) <= truth) & (truth <= band.high)))
        run.append(np.mean((np.array(band.run_low) <= new) & (new <= band.run_high)))
    assert 0.88 <= np.mean(curve) <= 0.995
    assert 0.90 <= np.mean(run) <= 0.99


def test_a_band_spans_the_runs_and_a_new_runs_band_holds_the_curves() -> None:
    band = fit(RATIOS, noisy("power", RATIOS, 0.05)).band
    assert (band.x[0], band.x[-1]) == pytest.approx((RATIOS.min(), RATIOS.max()))
    columns = zip(band.run_low, band.low, band.z, band.high, band.run_high, strict=True)
    assert all(a < b < c < d < e for a, b, c, d, e in columns)


# Runs that say nothing.


@pytest.mark.parametrize(
    ("x", "z", "why"),
    [
        (RATIOS[: MIN_RUNS - 1], LOSSES[: MIN_RUNS - 1], "5 training runs were measured"),
        ([], [], "0 training runs were measured"),
        ([3.0] * 12, LOSSES, "do not differ enough in long R"),
        ([3.0, 3.1, 3.2] * 4, LOSSES, "do not differ enough in long R"),
        (3 + 1e-12 * RATIOS, LOSSES, "do not differ enough in long R"),
        (RATIOS, [-4.9] * 12, "do not differ enough in Z"),
    ],
    ids=["five", "none", "one x", "three x", "rounding", "one Z"],
)
def test_runs_that_cannot_tell_a_curve_are_said_to_be_too_few(x: list[float], z: list[float], why: str) -> None:
    curve = fit_law_curve(x, z, "long R", rng())
    assert curve.holds is None and curve.form is None and curve.band is None
    assert curve.sentence.startswith("Too few points:") and why in curve.sentence


def test_six_runs_are_enough_and_four_places() -> None:
    apart, together = np.array([3.0, 3.1, 3.3, 4.0, 5.0, 6.0]), np.array([3.0, 3.0, 3.0, 4.0, 5.0, 6.0])
    assert fit(apart, TRUTHS["linear"](apart)).holds is True
    # Of the orders of six runs, three of them alike, more than 1% are as good.
    assert fit(together, TRUTHS["linear"](together)).holds is False


@pytest.mark.parametrize("shift", [3.0, 4.0])
def test_a_power_is_left_out_where_x_is_not_above_nought(shift: float) -> None:
    x = np.linspace(3, 9, 12) - shift
    curve = fit(x, noisy("quadratic", x + shift, 0.01))
    assert list(curve.aicc) == ["linear", "quadratic", "exponential"]
    assert curve.form == "quadratic"


def test_a_run_at_nought_left_out_is_not_predicted_by_a_power() -> None:
    x = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    predicted = predict_left_out(x, np.sqrt(x), list_forms(x))
    assert np.isfinite(predicted).all()


# The law's document.


def test_a_report_shows_the_curves_that_a_verdict_holds() -> None:
    z = noisy("power", RATIOS, 0.01)
    points = [LawPoint(f"{i}", 2.8, *row) for i, row in enumerate(zip(RATIOS, LOSSES, z, strict=True))]
    curves = fit_law_curves(points, rng())
    assert {key: curve.holds for key, curve in curves.items()} == {"r": None, "r_long": True, "l": False}
    verdict = replace(sample_verdict("pass"), law=summarise_law(fit_entropy_law(points), curves))
    law = build_report_data(parse_shape(json.loads(to_json(verdict)), Verdict), history(), []).law
    assert [curve.sentence for curve in law.curves] == [curve.sentence for curve in curves.values()]
    assert [len(curve.steps) for curve in law.curves] == [0, 41, 41]
    assert law.curves[1].steps[0] == pytest.approx([column[0] for column in vars(curves["r_long"].band).values()])


def test_the_same_runs_give_the_same_document() -> None:
    points = [LawPoint("", *row) for row in zip(LOSSES, RATIOS, LOSSES, RATIOS / -4, strict=True)]
    assert to_json(fit_law_curves(points, rng())) == to_json(fit_law_curves(points, rng()))
