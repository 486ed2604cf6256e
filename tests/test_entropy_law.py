"""The law's least squares and intervals against scipy, left-out fits and simulation."""

import dataclasses
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats

from monitor.law.entropy_law import (
    MIN_POINTS,
    describe_faults,
    fit_entropy_law,
    fit_with_versions,
    predict_change,
    summarise_law,
)
from monitor.law.families import MIN_CLEAN, measure_consistency
from monitor.law.results import ACCEPTED, LawPoint
from monitor.law.scored_versions import MIN_SCORED


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


# --- kinds of runs ---


def make_families(rng: np.random.Generator, slope: float, noise: float = 0.01) -> list[LawPoint]:
    """Sound runs of a law with ``slope``, and damaged ones of Z = -4 - 0.3 ln R - 2 L, far from them in R and L."""

    def run(family: str, i: int, log_r: float, loss: float) -> LawPoint:
        own = slope if family == "clean" else -2.0
        z = -4 - 0.3 * log_r + own * (loss - 5.0) + rng.normal(0, noise)
        return LawPoint(f"{family} {i}", 2.9, math.exp(log_r), loss, float(z), family)

    clean = [run("clean", i, 1.0 + rng.uniform(-0.1, 0.1), 5.0 + 0.03 * (i - 3)) for i in range(7)]
    repeated = [run("repeated", i, 1.5 + 0.3 * i, 5.0 + rng.uniform(-0.05, 0.05)) for i in range(6)]
    scrambled = [run("scrambled", i, 1.0 + 0.3 * i, 5.6 + 0.2 * i) for i in range(6)]
    return [*clean, *repeated, *scrambled]


def test_a_law_of_all_kinds_of_runs_holds() -> None:
    law = fit_entropy_law(make_families(np.random.default_rng(0), slope=-2.0))
    assert law.holds and law.r_squared_families > 0.9 and law.rank_correlation_clean > 0.9


def test_a_law_that_tells_damage_only_and_ranks_sound_runs_the_wrong_way_round_is_no_law() -> None:
    law = fit_entropy_law(make_families(np.random.default_rng(0), slope=0.3))
    # It passes where runs are left out one by one.
    assert law.r_squared_loo > 0.5 and law.rank_correlation >= 0.8 and law.p_value < 0.01
    assert law.rank_correlation_clean < 0
    assert law.holds is False
    assert law.sentence.startswith("The entropy law holds on synthetic damage only: left-out runs are predicted with")
    assert "sound runs are ranked with Spearman's correlation -" in law.sentence
    summary = summarise_law(law, {})
    assert (summary.rank_correlation_clean, summary.r_squared_families) == (
        law.rank_correlation_clean,
        law.r_squared_families,
    )


def test_families_left_out_are_predicted_by_the_plane_through_the_others() -> None:
    points = make_families(np.random.default_rng(1), slope=-1.0, noise=0.1)
    errors = []
    for family in ("clean", "repeated", "scrambled"):
        rest = fit_entropy_law([dataclasses.replace(p, family="clean") for p in points if p.family != family])
        for p in points:
            if p.family == family:
                errors.append(p.z - rest.intercept - rest.slope_log_r * math.log(p.r_long) - rest.slope_l * p.l)
    z = np.array([p.z for p in points])
    expected = 1 - np.square(errors).sum() / (np.var(z) * len(z))
    assert fit_entropy_law(points).r_squared_families == pytest.approx(expected)


def test_too_few_sound_runs_cannot_vouch_for_a_law() -> None:
    points = make_families(np.random.default_rng(0), slope=-2.0)[7 - MIN_CLEAN + 1 :]
    law = fit_entropy_law(points)
    assert law.holds is False and f"fewer than {MIN_CLEAN} runs are on sound data" in law.sentence
    assert summarise_law(law, {}).rank_correlation_clean is None


def test_c_of_a_run_is_how_much_lower_its_l_is_than_undamaged_runs_of_its_r_let_expect() -> None:
    points = make_families(np.random.default_rng(0), slope=-2.0)
    found = measure_consistency(points)
    clean = [p for p in points if p.family != "scrambled"]
    line = stats.linregress([math.log(p.r_long) for p in clean], [p.l for p in clean])
    for point, c in zip(points, found, strict=True):
        assert c == pytest.approx(line.intercept + line.slope * math.log(point.r_long) - point.l)
    assert sum(found[:13]) == pytest.approx(0, abs=1e-9)
    assert measure_consistency(points[9:]) == ()


# --- scored versions ---


def make_versions(n: int, sign: float = 1.0, level: float = 2.0, noise: float = 0.002) -> list[LawPoint]:
    """Accepted versions whose Z moves as in ``make_points``, or the other way round, at a level of their own."""
    rng = np.random.default_rng(8)
    made = []
    for i in range(n):
        log_r, loss = rng.uniform(1.0, 1.3), rng.uniform(4.9, 5.1)
        z = level - 4 + sign * (-0.3 * log_r - 0.2 * loss) + rng.normal(0, noise)
        made.append(LawPoint(f"v{i}", 2.9, math.exp(log_r), loss, float(z), ACCEPTED))
    return made


def test_scored_versions_enter_the_fit_from_six_on_whatever_the_level_of_their_z() -> None:
    runs = make_points(np.random.default_rng(0))
    assert fit_with_versions(runs, make_versions(MIN_SCORED - 1)) == fit_entropy_law(runs)
    laws = [fit_with_versions(runs, make_versions(MIN_SCORED, level=level)) for level in (0.0, 50.0)]
    for law in laws:
        assert (law.n_points, law.degrees_of_freedom, law.forecasts) == (18, 18 - 4, None)
        assert law.holds and np.array(law.covariance).shape == (3, 3)
    assert laws[0].slope_l == pytest.approx(laws[1].slope_l, rel=1e-6)
    assert laws[0].r_squared_loo == pytest.approx(laws[1].r_squared_loo, rel=1e-6)
    assert laws[0].r_squared_families == pytest.approx(laws[1].r_squared_families, rel=1e-6)


def test_forecasts_are_held_against_actual_changes_once_there_are_six() -> None:
    runs = make_points(np.random.default_rng(0))
    assert fit_with_versions(runs, make_versions(6)).forecasts is None
    versions = make_versions(7)
    found = fit_with_versions(runs, versions)
    assert found.holds and found.forecasts is not None and found.forecasts.n == 6
    alone = fit_entropy_law(runs)
    forecast = [
        predict_change(alone, math.log(b.r_long / a.r_long), b.l - a.l).value for a, b in itertools.pairwise(versions)
    ]
    actual = np.diff([version.z for version in versions])
    assert found.forecasts.r_squared == pytest.approx(1 - ((actual - forecast) ** 2).sum() / (actual**2).sum())
    assert found.forecasts.rank_correlation == pytest.approx(stats.spearmanr(forecast, actual).statistic)
    assert "have skill" in found.sentence and summarise_law(found, {}).forecasts == found.forecasts


def test_a_law_whose_forecasts_have_no_skill_does_not_hold() -> None:
    runs = make_points(np.random.default_rng(0))
    against = fit_with_versions(runs, make_versions(9, sign=-1.0))
    assert fit_entropy_law(runs).holds and against.holds is False
    assert against.forecasts is not None and not against.forecasts.skilled


@pytest.mark.parametrize("same", ["z", "rows"])
def test_forecasts_of_versions_that_are_all_alike_say_nothing(same: str) -> None:
    runs, versions = make_points(np.random.default_rng(0)), make_versions(9)
    first = versions[0]
    fields = ["z"] if same == "z" else ["r_long", "l"]
    alike = [replace(version, **{field: getattr(first, field) for field in fields}) for version in versions]
    found = fit_with_versions(runs, alike)
    assert found.forecasts is None and "nan" not in found.sentence
