"""The rules on changes of the sizes measured on real conversations, and their rates in simulation."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_rows import make_like
from numpy.typing import NDArray

from monitor.calibration.benign_updates import BenignUpdate
from monitor.calibration.calibrate import Calibration
from monitor.calibration.params import CalibrationParams
from monitor.law.entropy_law import EntropyLaw, fit_entropy_law
from monitor.law.results import LawPoint
from monitor.rule_params import RuleParams, Thresholds
from monitor.rules.apply import apply_rules
from monitor.rules.parent_comparison import ParentComparison
from monitor.rules.significance import holm_adjust
from monitor.verdict import Measurements, RuleResult

PARAMS = RuleParams()
LOSS, LOSS_SD = 5.0, 0.8
AGREEMENT, AGREEMENT_SD = 0.39, 0.2
# Standard deviation of the change of ln R when all rows are replaced by others as good.
RATIO_SD, LONG_RATIO_SD = 0.003, 0.005


def make_calibration(rng: np.random.Generator) -> Calibration:
    updates = tuple(
        BenignUpdate(
            share,
            "random",
            float(rng.normal(0, RATIO_SD * math.sqrt(share))),
            float(rng.normal(0, LONG_RATIO_SD * math.sqrt(share))),
        )
        for share in (0.05, 0.1, 0.2)
        for _ in range(4)
    )
    return Calibration(1600, (5.0, 5.01, 4.99), updates, (), "base", CalibrationParams())


CALIBRATION = make_calibration(np.random.default_rng(0))
NO_LAW = fit_entropy_law(())
LAW = fit_entropy_law(
    [
        LawPoint(str(i), 2.9, math.exp(a), b, -4 - 0.3 * a - 0.4 * b + 0.005 * (-1) ** i)
        for i, (a, b) in enumerate([(1.0, 5.0), (1.2, 5.2), (1.5, 5.1), (2.0, 5.0), (1.1, 5.4), (1.4, 5.3)] * 2)
    ]
)


def make_comparison(
    rng: np.random.Generator,
    added: int = 160,
    removed: int = 160,
    rise_r: float = 0.0,
    rise_r_long: float = 0.0,
    rise_l: float = 0.0,
    fall_c: float = 0.0,
    rows: int = 1600,
    dataset: str = "sft",
) -> ParentComparison:
    """A version whose added rows have a loss of ``rise_l`` more and an agreement of ``fall_c`` less than the kept ones.

    ``rise_r`` and ``rise_r_long`` are relative; about 384 rows are probed.
    """
    before = Measurements(rows, 2.87, 3.64, LOSS, AGREEMENT)
    total = rows + added - removed
    share = added / total
    now = Measurements(
        total,
        before.r * (1 + rise_r),
        before.r_long * (1 + rise_r_long),
        LOSS + rise_l * share,
        AGREEMENT - fall_c * share,
        added,
        removed,
        total - added,
    )
    if not added:
        return ParentComparison(dataset, now, before)
    is_added = np.arange(total) >= total - added
    values = {
        "loss": np.where(rng.random(total) < 384 / total, rng.normal(LOSS + rise_l * is_added, LOSS_SD), np.nan),
        "agreement": rng.normal(AGREEMENT - fall_c * is_added, AGREEMENT_SD),
        "answer mismatch": rng.normal(-1, 1, total),
    }
    return ParentComparison(dataset, now, before, like=make_like(rng, total - added, added, values))


def with_values(comparison: ParentComparison, **values: NDArray[np.float64]) -> ParentComparison:
    """The comparison with other values of all rows that were read, kept ones first."""
    assert comparison.like is not None
    named = {name.replace("_", " "): of for name, of in values.items()}
    return replace(comparison, like=replace(comparison.like, features={**comparison.like.features, **named}))


ALL_PASS = {"redundancy": "pass", "loss": "pass", "agreement": "pass", "both_rise": "pass", "forecast": "skipped"}


def judge(
    *comparisons: ParentComparison, law: EntropyLaw = NO_LAW, calibration: Calibration = CALIBRATION
) -> dict[str, RuleResult]:
    rules = [applied.result for applied in apply_rules(comparisons, calibration, law, PARAMS)]
    # Rules on single rows need more than numbers; tests/test_rank_rules.py is about them.
    return {rule.id: rule for rule in rules if rule.id in ALL_PASS}


def statuses(rules: dict[str, RuleResult]) -> dict[str, str]:
    return {name: rule.status for name, rule in rules.items()}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


# The changes have the sizes that were measured on real conversations.
def test_a_fresh_10_percent_update_passes(rng: np.random.Generator) -> None:
    assert statuses(judge(make_comparison(rng, rise_r_long=0.001))) == ALL_PASS


def test_growing_by_30_percent_passes(rng: np.random.Generator) -> None:
    assert statuses(judge(make_comparison(rng, added=480, removed=0, rise_r_long=0.002))) == ALL_PASS


def test_removing_rows_only_passes_and_needs_no_added_rows(rng: np.random.Generator) -> None:
    rules = judge(make_comparison(rng, added=0, removed=160, rise_r_long=-0.002))
    of_added = ("redundancy", "loss", "agreement", "both_rise")
    assert statuses(rules) == {**ALL_PASS, **dict.fromkeys(of_added, "skipped")}
    assert rules["loss"].reason == rules["agreement"].reason == "No rows were added."


def test_10_percent_of_garbled_rows_are_risky_by_loss(rng: np.random.Generator) -> None:
    rules = judge(make_comparison(rng, rise_r=-0.034, rise_r_long=-0.032, rise_l=3.5, fall_c=0.36))
    assert rules["loss"].status == "risky"
    assert rules["redundancy"].status == "pass"


def test_10_percent_of_exact_copies_are_risky_by_redundancy(rng: np.random.Generator) -> None:
    rules = judge(make_comparison(rng, removed=0, rise_r=0.0007, rise_r_long=0.084))
    assert statuses(rules) == {**ALL_PASS, "redundancy": "risky"}
    assert "long R went from 3.640 to 3.946" in rules["redundancy"].reason


def test_10_percent_of_swapped_answers_are_risky_by_agreement(rng: np.random.Generator) -> None:
    rules = judge(make_comparison(rng, rise_l=-0.24, fall_c=0.26))
    assert statuses(rules) == {**ALL_PASS, "agreement": "risky"}
    assert rules["agreement"].statistic == pytest.approx(-0.026, abs=0.005)


def test_garbled_copies_raise_both_and_are_risky_by_three_rules(rng: np.random.Generator) -> None:
    rules = judge(make_comparison(rng, rise_r_long=0.08, rise_l=1.5))
    assert statuses(rules) == {**ALL_PASS, "redundancy": "risky", "loss": "risky", "both_rise": "risky"}


def test_weak_evidence_for_both_is_strong_evidence(rng: np.random.Generator) -> None:
    rules = judge(make_comparison(rng, added=320, removed=320, rise_r_long=0.006, rise_l=0.3))
    alone = [rules[name].p_value or 0.0 for name in ("redundancy", "loss")]
    assert all(0.002 < p_value < 0.05 for p_value in alone)
    assert rules["both_rise"].p_value == max(alone) ** 2


def test_where_only_one_rises_a_chance_rise_of_the_other_is_no_signature() -> None:
    rng = np.random.default_rng(5)
    signatures, runs = 0, 100
    for _ in range(runs):
        comparison = make_comparison(rng, 80, 80, rise_r_long=0.084, rise_l=float(rng.normal(0, 0.07)), rows=800)
        signatures += judge(comparison)["both_rise"].status != "pass"
    assert signatures / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


def test_both_rise_needs_both(rng: np.random.Generator) -> None:
    for change in ({"rise_r_long": 0.08}, {"rise_l": 1.5}, {"rise_r_long": -0.08, "rise_l": 1.5}):
        assert judge(make_comparison(rng, **change))["both_rise"].status == "pass"


def test_a_change_that_is_real_but_too_small_to_matter_passes_and_says_so(rng: np.random.Generator) -> None:
    # Of forty thousand rows a sample of two thousand was read.
    like = make_like(rng, 2000, 40, {"loss": np.append(rng.normal(5, 0.8, 2000), np.full(40, 9.0))})
    before = Measurements(40_000, 2.87, 3.64, LOSS, AGREEMENT)
    now = Measurements(40_000, 2.87, 3.64 * 1.004, LOSS, AGREEMENT, 40, 40, 39_960)
    rules = judge(ParentComparison("sft", now, before, like=like))
    for name, reason in (("loss", "too little to matter"), ("redundancy", "does not matter")):
        p_value = rules[name].p_value
        assert p_value is not None and p_value < 0.002
        assert rules[name].status == "pass"
        assert reason in rules[name].reason


def test_an_alarm_says_the_numbers_it_rests_on(rng: np.random.Generator) -> None:
    comparison = make_comparison(rng, rise_l=1.5)
    rule = judge(comparison)["loss"]
    like = comparison.like
    assert like is not None
    loss, usual = like.features["loss"], like.middle_of_like_rows(like.features["loss"], "prompt")
    added = (np.arange(len(loss)) >= like.kept) & ~np.isnan(loss)
    rise = float((loss - usual)[added].mean())
    assert rule.statistic == pytest.approx(rise * comparison.share_added)
    assert f"the {added.sum()} added rows compared have a higher loss than" in rule.reason
    means = f"{loss[added].mean():.3f} nats per token, that of the rows like them {usual[added].mean():.3f}"
    assert f"Their mean loss is {means}: L moves by {rise / 10:+.3f}." in rule.reason


@pytest.mark.parametrize(("limits", "status"), [((0.1, 0.2), "pass"), ((0.05, 0.2), "warn"), ((0.0, 0.05), "risky")])
def test_the_thresholds_of_params_decide_how_much_matters(
    rng: np.random.Generator, limits: tuple[float, float], status: str
) -> None:
    params = replace(PARAMS, ratio_rise=Thresholds(*limits))
    rules = apply_rules([make_comparison(rng, rise_r_long=0.084)], CALIBRATION, NO_LAW, params)
    assert rules[0].result.status == status


def test_the_forecast_warns_of_a_fall_beyond_tolerance_where_the_law_holds(rng: np.random.Generator) -> None:
    assert LAW.holds
    worse = judge(make_comparison(rng, rise_r_long=0.3, rise_l=1.0), law=LAW)["forecast"]
    assert worse.status == "risky"
    assert worse.statistic == pytest.approx(-0.3 * math.log(1.3) - 0.4 * 0.1, abs=0.02)
    assert judge(make_comparison(rng, rise_r_long=-0.3), law=LAW)["forecast"].status == "pass"
    assert judge(make_comparison(rng), law=NO_LAW)["forecast"].reason == NO_LAW.sentence


def test_the_forecast_speaks_of_the_dataset_the_law_was_fitted_on_only(rng: np.random.Generator) -> None:
    rules = judge(make_comparison(rng, rise_r_long=0.3, rise_l=1.0, dataset="preferences"), law=LAW)
    assert rules["forecast"].status == "skipped"
    assert "sft only" in rules["forecast"].reason


def test_a_law_without_residuals_forecasts_without_dividing_by_zero(rng: np.random.Generator) -> None:
    exact = replace(LAW, residual_sd=0.0, covariance=((0.0,) * 3,) * 3)
    for rise, outcome in ((0.0, ("pass", 1.0)), (0.3, ("risky", 0.0))):
        forecast = judge(make_comparison(rng, rise_r_long=rise), law=exact)["forecast"]
        assert (forecast.status, forecast.p_value) == outcome


def test_data_without_any_variation_gives_finite_p_values_and_no_alarm(rng: np.random.Generator) -> None:
    still = replace(
        CALIBRATION,
        updates=tuple(replace(update, change_log_r=0.0, change_log_r_long=0.0) for update in CALIBRATION.updates),
    )
    same = with_values(
        make_comparison(rng), loss=np.full(1600, 5.0), agreement=np.full(1600, 0.5), answer_mismatch=np.zeros(1600)
    )
    rules = judge(same, calibration=still)
    assert statuses(rules) == {**ALL_PASS, "loss": "skipped", "agreement": "skipped", "both_rise": "skipped"}
    assert rules["loss"].reason == "All losses are the same." and "are the same" in rules["agreement"].reason
    harder = np.where(np.arange(1600) < 1440, 5.0, 6.0)
    risen = with_values(replace(same, now=replace(same.now, r_long=4.0)), loss=harder)
    rules = judge(risen, calibration=still)
    assert {rules["redundancy"].status, rules["loss"].status, rules["both_rise"].status} == {"risky"}


def test_rows_without_an_agreement_do_not_count(rng: np.random.Generator) -> None:
    comparison = make_comparison(rng, fall_c=0.26)
    assert comparison.like is not None
    known = comparison.like.features["agreement"].copy()
    known[1500:] = math.nan
    rule = judge(with_values(comparison, agreement=known))["agreement"]
    assert rule.status == "risky" and ("60 added rows compared" in rule.reason)


def test_agreement_speaks_by_single_rows_where_its_mean_sees_nothing(rng: np.random.Generator) -> None:
    comparison = make_comparison(rng)
    assert comparison.like is not None and judge(comparison)["agreement"].status == "pass"
    mismatch = comparison.like.features["answer mismatch"].copy()
    mismatch[1440:1500] = 9.0
    rule = judge(with_values(comparison, answer_mismatch=mismatch))["agreement"]
    assert (rule.status, rule.unit) == ("risky", "share of the rows")
    assert "of the kept rows) have answers that fit other rows' prompts better than any of the 40" in rule.reason


def test_agreement_by_its_cosine_pays_for_the_look_at_the_mismatch(rng: np.random.Generator) -> None:
    comparison = make_comparison(rng, fall_c=0.08)
    both = judge(comparison)["agreement"]
    alone = judge(with_values(comparison, answer_mismatch=np.zeros(1600)))["agreement"]
    assert alone.p_value is not None and 0 < alone.p_value < 0.1
    assert both.p_value == pytest.approx(2 * alone.p_value)


def test_rules_on_rows_fail_closed_without_like_rows_and_are_skipped_without_added_ones(
    rng: np.random.Generator,
) -> None:
    for added, status in ((160, "not_assessed"), (0, "skipped")):
        comparison = replace(make_comparison(rng, added=added, removed=0), like=None)
        rules = judge(comparison)
        assert {(rules[name].status, rules[name].p_value) for name in ("loss", "agreement")} == {(status, None)}


@pytest.mark.parametrize(("probed", "status"), [(4, "skipped"), (5, "pass")])
def test_a_handful_of_added_rows_that_miss_the_probe_are_skipped(
    rng: np.random.Generator, probed: int, status: str
) -> None:
    comparison = make_comparison(rng)
    losses = np.append(rng.normal(LOSS, LOSS_SD, 1440 + probed), np.full(160 - probed, math.nan))
    rule = judge(with_values(comparison, loss=losses))["loss"]
    assert rule.status == status
    assert status == "pass" or rule.reason == "Only 4 of the added rows have a loss and kept rows like them."


@pytest.mark.slow
def test_benign_updates_alarm_no_more_often_than_promised() -> None:
    rng = np.random.default_rng(2)
    alarms, runs = 0, 200
    for _ in range(runs):
        calibration = make_calibration(rng)
        comparisons = [
            make_comparison(
                rng,
                added=80,
                removed=80,
                rows=800,
                rise_r=math.expm1(rng.normal(0, RATIO_SD * math.sqrt(0.1))),
                rise_r_long=math.expm1(rng.normal(0, LONG_RATIO_SD * math.sqrt(0.1))),
                dataset=dataset,
            )
            for dataset in ("sft", "preferences")
        ]
        # Without effect sizes: significance alone must keep the rate.
        none = Thresholds(0.0, 0.0)
        params = replace(PARAMS, ratio_rise=none, loss_rise=none, agreement_fall=none)
        alarms += any(
            rule.result.status in ("warn", "risky") for rule in apply_rules(comparisons, calibration, NO_LAW, params)
        )
    assert alarms / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize("change", [{"change_log_r": math.nan, "change_log_r_long": math.nan}, None])
def test_a_calibration_without_usable_updates_makes_no_risky_version_pass(
    rng: np.random.Generator, change: dict[str, float] | None
) -> None:
    copies = make_comparison(rng, rise_r=0.08, rise_r_long=0.08)
    assert judge(copies)["redundancy"].status == "risky"
    updates = () if change is None else tuple(replace(update, **change) for update in CALIBRATION.updates)
    rules = judge(copies, calibration=replace(CALIBRATION, updates=updates))
    assert rules["redundancy"].status == rules["both_rise"].status == "not_assessed"
    assert rules["redundancy"].p_value is None
    # The other rules are corrected for as many tests as were made, and not for one that was not.
    assert statuses(rules)["loss"] == "pass"


@pytest.mark.parametrize("of", ["before", "now"])
def test_an_l_that_is_not_a_number_is_not_assessed(rng: np.random.Generator, of: str) -> None:
    comparison = make_comparison(rng, rise_l=1.0)
    broken = replace(comparison, **{of: replace(getattr(comparison, of), l=math.nan)})
    applied = {rule.result.id: rule.result for rule in apply_rules([broken], CALIBRATION, LAW, PARAMS)}
    assert applied["level"].status == applied["forecast"].status == "not_assessed"


def test_holms_correction_worked_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04; the last may not fall below 0.06.
    assert holm_adjust([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm_adjust([]) == []
    assert holm_adjust([0.7, 0.6]) == [1.0, 1.0]


@given(
    st.lists(st.integers(0, 1000).map(lambda i: i / 1000), min_size=1, max_size=8), st.sampled_from([0.01, 0.05, 0.2])
)
def test_holm_rejects_what_its_step_down_procedure_rejects(p_values: list[float], rate: float) -> None:
    rejected = set()
    for step, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[i] * (len(p_values) - step) > rate:
            break
        rejected.add(i)
    assert {i for i, p in enumerate(holm_adjust(p_values)) if p <= rate} == rejected


@pytest.mark.parametrize("bad", [(-0.1, 0.1), (0.2, 0.1)])
def test_thresholds_out_of_order_is_refused(bad: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="between 0 and risky"):
        Thresholds(*bad)


@pytest.mark.parametrize("bad", [(0.05, 0.1), (0.05, 0.0), (1.0, 0.5)])
def test_rates_out_of_order_are_refused(bad: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="risky_rate"):
        RuleParams(*bad)


def test_a_rise_that_only_the_correction_for_many_tests_excuses_says_so() -> None:
    results = [judge(make_comparison(np.random.default_rng(seed), rise_l=0.3))["loss"] for seed in range(20)]
    excused = [r for r in results if r.status == "pass" and r.p_value is not None and r.p_value <= 0.05]
    assert excused
    for result in excused:
        assert "have a higher loss" in result.reason and "tests it may be chance (corrected p" in result.reason
    for result in results:
        if result.status == "pass" and result.p_value is not None and result.p_value > 0.05:
            assert "An honest batch may differ as much." in result.reason
