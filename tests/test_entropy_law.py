"""The law's least squares and intervals against scipy, left-out fits and simulation."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import optimize, stats

from monitor.law.entropy_law import MIN_POINTS, describe_faults, fit_entropy_law, predict_change, summarise_law
from monitor.law.results import LawPoint


def make_points(rng: np.random.Generator, n: int = 12, noise: float = 0.01) -> list[LawPoint]:
    """Runs of a law with Z = -4 - 0.3 ln R - 0.2 L."""
    log_r, loss = rng.uniform(1.0, 2.5, n), rng.uniform(4.8, 5.4, n)
    z = -4 - 0.3 * log_r - 0.2 * loss + rng.normal(0, noise, n)
    return [
        LawPoint(f"run {i}", 2.9, math.exp(a), float(b), float(c))
        for i, (a, b, c) in enumerate(zip(log_r, loss, z, strict=True))
    ]


POINTS = make_points(np.random.default_rng(0), noise=0.03)


def test_the_plane_and_its_covariance_are_those_of_scipys_least_squares() -> None:
    law = fit_entropy_law(POINTS)

    def plane(x: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
        return a + b * x[0] + c * x[1]

    x = np.array([[math.log(p.r_long), p.l] for p in POINTS]).T
    expected, covariance = optimize.curve_fit(plane, x, [p.z for p in POINTS])
    assert [law.intercept, law.slope_log_r, law.slope_l] == pytest.approx(list(expected), rel=1e-4)
    assert np.array(law.covariance) == pytest.approx(covariance, rel=1e-3)
    assert law.degrees_of_freedom == 9


def test_with_the_loss_independent_of_r_each_slope_is_that_of_a_simple_regression() -> None:
    # A balanced grid: the two explanatory variables are uncorrelated, so each slope can be had alone.
    grid = [(a, b) for a in (1.0, 1.5, 2.0) for b in (5.0, 5.2, 5.4)]
    z = [0.1 * i * (-1) ** i - a - b for i, (a, b) in enumerate(grid)]
    law = fit_entropy_law([LawPoint("", 3.0, math.exp(a), b, c) for (a, b), c in zip(grid, z, strict=True)])
    assert law.slope_log_r == pytest.approx(stats.linregress([a for a, _ in grid], z).slope)
    assert law.slope_l == pytest.approx(stats.linregress([b for _, b in grid], z).slope)


def test_what_is_said_of_runs_left_out_one_by_one_is_that_of_the_plane_through_the_others() -> None:
    z, forecasts = [], []
    for i, point in enumerate(POINTS):
        rest = fit_entropy_law(POINTS[:i] + POINTS[i + 1 :])
        z.append(point.z)
        forecasts.append(rest.intercept + rest.slope_log_r * math.log(point.r_long) + rest.slope_l * point.l)
    law = fit_entropy_law(POINTS)
    errors = np.array(z) - forecasts
    assert law.r_squared_loo == pytest.approx(1 - (errors @ errors) / (np.var(z) * len(z)))
    assert law.rank_correlation == pytest.approx(stats.spearmanr(forecasts, z).statistic)
    # Worked by hand from the places in the two orders.
    places = [np.argsort(np.argsort(values)) for values in (forecasts, z)]
    assert law.rank_correlation == pytest.approx(1 - 6 * ((places[0] - places[1]) ** 2).sum() / (12 * (12**2 - 1)))


def test_one_run_far_off_does_not_make_a_law_of_runs_in_no_order() -> None:
    rng = np.random.default_rng(5)
    crowd = [LawPoint("", 2.9, 3.0 + 0.1 * i, 5.0 + 0.02 * (i % 3), -4.9 + 0.02 * rng.normal()) for i in range(11)]
    # A run at the end of a long way, and one beside it: each is predicted well from the other.
    far = [LawPoint("", 2.9, 30.0, 5.0, -5.9), LawPoint("", 2.9, 31.0, 5.02, -5.91)]
    law = fit_entropy_law(crowd + far)
    assert law.p_value < 1e-6 and law.r_squared_loo > 0.95
    assert law.rank_correlation < 0.8
    assert law.holds is False
    assert law.sentence.endswith(
        f"left-out runs are ranked with Spearman's correlation {law.rank_correlation:.2f}, below 0.8 (13 runs)."
    )


def test_each_limit_that_a_law_misses_is_named() -> None:
    assert describe_faults(0.009, 0.51, 0.8) == ""
    assert describe_faults(0.01, 0.51, 0.8) == "chance fits as well with p = 0.01"
    assert describe_faults(0.009, 0.5, 0.8) == "left-out runs are predicted with R² 0.50 only"
    both = "left-out runs are predicted worse than by their mean and ranked with Spearman's correlation 0.79, below 0.8"
    assert describe_faults(0.009, -0.2, 0.79) == both
    all_three = describe_faults(math.nan, math.nan, math.nan)
    assert all(word in all_three for word in ("predicted", "ranked", "chance"))


def test_the_f_test_has_its_nominal_rate_where_z_is_pure_noise() -> None:
    rng = np.random.default_rng(1)
    p_values = []
    for _ in range(400):
        noise = [dataclasses.replace(point, z=float(rng.normal())) for point in POINTS]
        p_values.append(fit_entropy_law(noise).p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_a_law_without_noise_holds_and_one_of_pure_noise_does_not() -> None:
    exact = fit_entropy_law(make_points(np.random.default_rng(2), noise=0.0))
    assert exact.holds is True
    assert "holds on your data: Z falls with long R and falls with L" in exact.sentence
    rng = np.random.default_rng(3)
    noise = fit_entropy_law([dataclasses.replace(point, z=float(rng.normal())) for point in POINTS])
    assert noise.holds is False
    assert "does not hold" in noise.sentence


def test_no_sign_is_assumed() -> None:
    upside_down = fit_entropy_law([dataclasses.replace(point, z=-point.z) for point in POINTS])
    assert upside_down.slope_log_r == pytest.approx(-fit_entropy_law(POINTS).slope_log_r)
    assert "Z rises with long R and rises with L" in upside_down.sentence


def test_the_interval_of_a_predicted_change_covers_two_new_runs_at_the_nominal_rate() -> None:
    rng = np.random.default_rng(4)
    before, after = (1.4, 5.0), (1.9, 5.1)
    covered = []
    for _ in range(800):
        predicted = predict_change(
            fit_entropy_law(make_points(rng)), after[0] - before[0], after[1] - before[1], confidence=0.9
        )
        z = [-4 - 0.3 * log_r - 0.2 * loss + rng.normal(0, 0.01) for log_r, loss in (before, after)]
        covered.append(predicted.low <= z[1] - z[0] <= predicted.high)
    # Binomial, n = 800: a standard error of 0.011.
    assert np.mean(covered) == pytest.approx(0.9, abs=0.03)


def test_a_change_of_nothing_is_predicted_as_nothing_with_the_noise_of_two_runs() -> None:
    law = fit_entropy_law(POINTS)
    predicted = predict_change(law, 0.0, 0.0)
    assert predicted.value == 0.0
    assert predicted.sd == pytest.approx(math.sqrt(2) * law.residual_sd)
    assert predicted.high == pytest.approx(predicted.sd * stats.t.ppf(0.975, 9))


@pytest.mark.parametrize(
    "points",
    [
        POINTS[: MIN_POINTS - 1],
        [],
        [dataclasses.replace(point, r_long=3.3) for point in POINTS],
        [dataclasses.replace(point, l=5.1) for point in POINTS],
        [dataclasses.replace(point, z=-4.9) for point in POINTS],
        [dataclasses.replace(point, r_long=3.3) for point in POINTS[1:]] + POINTS[:1],
    ],
    ids=["too few", "none", "one R", "one L", "one Z", "one R but for one run"],
)
def test_runs_that_cannot_tell_a_law_are_said_to_be_too_few(points: list[LawPoint]) -> None:
    law = fit_entropy_law(points)
    assert law.holds is None
    assert law.sentence.startswith("Too few points")
    summary = summarise_law(law, {})
    assert (summary.slopes, summary.r_squared_loo, summary.rank_correlation) == (None, None, None)
