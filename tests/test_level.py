"""Rule `level`: L of the whole version against reruns and benign updates, and the parts of L."""

import math
from dataclasses import replace

import numpy as np
import pytest

from corpus.records import Conversation, HashedRecord, Message, content_hash
from monitor.calibration.benign_updates import BenignUpdate
from monitor.calibration.calibrate import Calibration
from monitor.calibration.params import CalibrationParams
from monitor.law.entropy_law import fit_entropy_law
from monitor.measures.compression import CompressionProfile
from monitor.measures.consistency import ConsistencyProfile
from monitor.measures.evidence import Evidence
from monitor.measures.loss_parts import LossParts, measure_loss_parts
from monitor.rule_params import RuleParams
from monitor.rules.level import predict_noise
from monitor.rules.pairs import PairComparison
from monitor.rules.parent_comparison import ParentComparison
from monitor.rules.registry import find_rule
from monitor.rules.rule import RuleInput
from monitor.verdict import Measurements, RuleResult

PARAMS = RuleParams()
# As on the demo: reruns spread by 0.013 nats, benign updates of a tenth of the rows by 0.018.
NOISE_SD, UPDATE_SD = 0.013, 0.018
NOTHING = np.zeros(0)


def make_calibration(noise_l: tuple[float, ...], changes: tuple[float | None, ...]) -> Calibration:
    updates = tuple(BenignUpdate(0.1, "random", 0.0, 0.0, change) for change in changes)
    return Calibration(1600, noise_l, updates, (), "base", CalibrationParams())


def draw_calibration(rng: np.random.Generator, seeds: int = 5, updates: int = 12) -> Calibration:
    return make_calibration(
        tuple(rng.normal(4.8, NOISE_SD, seeds).tolist()), tuple(rng.normal(0, UPDATE_SD, updates).tolist())
    )


CALIBRATION = draw_calibration(np.random.default_rng(0))


def compare(rise: float, parts: LossParts, added: int = 160, before: float = 4.8) -> ParentComparison:
    measured = Measurements(1600, 2.9, 3.6, before, 0.4)
    now = replace(measured, l=before + rise, added=added, removed=160, kept=1440)
    return ParentComparison("sft", now, measured, loss_parts=parts)


def ask(comparison: ParentComparison, calibration: Calibration = CALIBRATION) -> RuleResult:
    case = RuleInput(comparison, calibration, fit_entropy_law(()), PARAMS)
    draft = find_rule("level").ask(case)
    return draft.result if draft.result.p_value is None else draft.decide(draft.result.p_value, 1, PARAMS)


def test_the_demos_x5_is_risky_by_l_alone_and_its_honest_versions_pass() -> None:
    x5 = ask(compare(0.161, LossParts(added=0.161)))
    assert x5.status == "risky" and x5.statistic == pytest.approx(0.161)
    for t in (1.7, -1.3, -0.2):
        rise = t * predict_noise(CALIBRATION, 0.1)[0]
        assert ask(compare(rise, LossParts(added=rise))).status in ("pass", "warn")
        assert ask(compare(-abs(rise), LossParts(added=-abs(rise)))).status == "pass"


@pytest.mark.parametrize("seeds", [2, 5])
def test_honest_versions_are_significant_as_often_as_the_rate_says(seeds: int) -> None:
    """Against simulation: a tenth of the noise of two probes, and an update as the calibration's are."""
    rng = np.random.default_rng(seeds)
    found = []
    for _ in range(3000):
        calibration = draw_calibration(rng, seeds)
        rise = rng.normal(0, math.sqrt(0.1 * 2 * NOISE_SD**2 + UPDATE_SD**2))
        p = ask(compare(rise, LossParts(added=rise)), calibration).p_value
        assert p is not None
        found.append(p)
    for rate in (0.05, 0.01):
        # Welch and Satterthwaite's degrees of freedom are an approximation.
        assert 0.5 * rate < np.mean(np.array(found) < rate) < 1.35 * rate


def test_the_noise_has_the_variance_of_both_and_degrees_of_freedom_between_theirs() -> None:
    calibration = make_calibration((4.79, 4.81), (0.02, -0.02, 0.02, -0.02))
    sd, degrees = predict_noise(calibration, 0.1)
    assert sd == pytest.approx(math.sqrt(0.1 * 2 * 0.0002 + 0.02**2 * 1.25))
    assert 1 < degrees < 1 + 3
    alone, of_noise = predict_noise(make_calibration((4.79, 4.81), (None,) * 4), 0.1)
    assert (alone, of_noise) == (pytest.approx(0.02 * math.sqrt(0.1)), 1)
    # Four times as many changed rows: twice the spread.
    assert predict_noise(calibration, 0.4)[0] == pytest.approx(2 * sd)


def test_removing_easy_rows_raises_l_and_is_no_damage() -> None:
    comparison = compare(0.2, LossParts(added=0.001))
    assert ask(comparison).status == "pass" and "removed were easier" in ask(comparison).reason
    assert ask(compare(0.2, LossParts(added=0.19))).status == "risky"
    # Where every row is new or changed, nothing but the whole rise is known.
    assert ask(compare(0.2, LossParts(added=None))).status == "risky"


def test_a_new_source_that_is_harder_is_no_damage_and_damage_beside_it_is() -> None:
    new = ask(compare(0.3, LossParts(new_sources=0.3, added=0.001)))
    assert new.status == "pass" and "+0.300 of it by new rows, which are left out" in new.reason
    assert ask(compare(0.5, LossParts(new_sources=0.3, added=0.2))).status == "risky"
    only = ask(compare(0.3, LossParts(new_sources=math.nan)))
    assert (only.status, only.reason) == ("skipped", "All rows that L is a mean over are new.")


def test_the_kto_loss_of_preferences_is_not_tested() -> None:
    pairs = PairComparison(NOTHING.astype(bool), 0, 0, 0, 0, None, NOTHING, NOTHING)
    found = ask(replace(compare(0.2, LossParts(added=0.2)), pairs=pairs))
    assert found.status == "skipped" and "KTO loss" in found.reason


def test_where_no_rows_were_added_or_l_is_unknown_there_is_no_test() -> None:
    assert ask(compare(0.2, LossParts(), added=0)).status == "skipped"
    assert ask(compare(math.nan, LossParts())).status == "not_assessed"
    assert ask(compare(0.2, LossParts()), make_calibration((4.8,), (0.01,) * 4)).status == "not_assessed"


@pytest.mark.parametrize(("share", "said"), [(0.03, True), (0.3, False), (None, False)])
def test_a_probe_that_reads_little_of_its_rows_says_so(share: float | None, said: bool) -> None:
    comparison = compare(0.0, LossParts(added=0.0))
    found = ask(replace(comparison, now=replace(comparison.now, read_share=share)))
    assert found.status == "pass"
    assert ("Only 3.0% of the probed rows' response tokens were read" in found.reason) == said


def make_evidence(losses: list[float], tokens: list[int], trained: list[bool]) -> Evidence:
    records = []
    for i in range(len(losses)):
        record = Conversation((Message("user", f"{i}?"), Message("assistant", "yes")), row=i + 1)
        records.append(HashedRecord(record, content_hash(record)))
    return Evidence(
        "sft", "", records,
        CompressionProfile(len(losses), 1, 1.0, 1.0, {}),
        ConsistencyProfile(len(losses), len(losses), 0.4, 0.1, 0, 0, 0, None),
        np.full(len(losses), 0.4), math.nan,
        [record.row for record, _ in records][::-1],
        [row_hash for _, row_hash in records][::-1],
        np.array(losses[::-1]), np.array(tokens[::-1]), np.array(trained[::-1]),
    )  # fmt: skip


def test_the_parts_of_l_are_token_means_of_the_rows_that_were_trained_on() -> None:
    """By hand: kept rows have 1 and 4 nats on 30 and 10 tokens, an added one 5 on 10, a new source's 9 on 50."""
    item = make_evidence([1.0, 4.0, 5.0, 9.0, 99.0], [30, 10, 10, 50, 70], [True, True, True, True, False])
    is_added = np.array([False, False, True, True, True])
    is_new = np.array([False, False, False, True, False])
    parts = measure_loss_parts(item, is_added, is_new)
    kept, known, whole = 70 / 40, 120 / 50, 570 / 100
    assert parts.new_sources == pytest.approx(whole - known)
    assert parts.added == pytest.approx(known - kept)
    nothing = np.zeros(5, dtype=bool)
    assert measure_loss_parts(item, is_added, nothing).new_sources == 0.0
    assert measure_loss_parts(item, ~nothing, nothing).added is None
    assert math.isnan(measure_loss_parts(item, is_added, ~nothing).new_sources)
