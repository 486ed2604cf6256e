"""Q, the quality of a version's rows: in the entropy law, in the history, and the rule that notes its fall."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from test_assess import CALIBRATION, CONFIGURATION, accept, make_evidence, make_rows, make_update

from corpus.artifacts import read_result, to_json, write_json
from corpus.errors import DamagedResultError
from corpus.records import HashedRecord, Message, Preference, content_hash
from entropylaw.repository import layout
from entropylaw.repository.results import load_grades
from monitor.assess import assess_version
from monitor.history import HistoryEntry
from monitor.history_file import read_file, write_file
from monitor.law.entropy_law import fit_entropy_law, summarise_law
from monitor.law.quality_part import measure_quality_part
from monitor.law.results import CLEAN, LawPoint
from monitor.measures.evidence import Evidence
from monitor.measures.grades import GradeSummary, RowGrades, find_grades
from monitor.rule_params import RuleParams
from monitor.rules.quality import find_chance
from monitor.rules.registry import list_rules
from monitor.rules.scored_versions import HELDOUT, list_scored_versions
from monitor.verdict import Measurements, RuleResult, Verdict
from monitor.verdict_consistency import find_contradiction
from reports.law_view import view_law
from training.quality import QualityReport, RatedRow

# In the law.


def make_points(slope_q: float, noise: float = 0.002, runs: int = 16, graded: bool = True) -> list[LawPoint]:
    """Runs of a law that is known: Z = 1 - 0.3 ln(long R) - 0.4 L + slope_q · Q, and noise."""
    rng = np.random.default_rng(5)
    points = []
    for i in range(runs):
        log_r, l, q = rng.uniform(1.0, 1.6), rng.uniform(4.8, 5.4), rng.uniform(2.5, 4.5)  # noqa: E741
        z = 1 - 0.3 * log_r - 0.4 * l + slope_q * q + noise * rng.normal()
        points.append(LawPoint(str(i), 2.9, math.exp(log_r), l, z, CLEAN, q if graded else None))
    return points


@pytest.mark.parametrize("slope", [0.12, -0.05])
def test_a_known_coefficient_of_q_is_recovered_and_said(slope: float) -> None:
    part = measure_quality_part(make_points(slope))
    assert part is not None and part.tells and part.low < slope < part.high
    assert part.slope == pytest.approx(slope, abs=0.005)
    assert part.r_squared_loo > 0.97 and part.r_squared_loo > part.r_squared_loo_without
    assert f"Z {'rises' if slope > 0 else 'falls'} by" in part.sentence and "it explains" in part.sentence


def test_the_numbers_are_those_of_a_regression_done_by_hand() -> None:
    points = make_points(0.05, noise=0.05)
    part = measure_quality_part(points)
    assert part is not None
    z = np.array([point.z for point in points])
    design = np.array([[1, math.log(point.r_long), point.l, point.q] for point in points], dtype=float)

    def predict_left_out(columns: np.ndarray) -> float:
        errors = []
        for i in range(len(z)):
            rest = np.arange(len(z)) != i
            errors.append(z[i] - columns[i] @ np.linalg.lstsq(columns[rest], z[rest], rcond=None)[0])
        return 1 - float(np.square(errors).sum() / np.square(z - z.mean()).sum())

    assert part.r_squared_loo == pytest.approx(predict_left_out(design))
    assert part.r_squared_loo_without == pytest.approx(predict_left_out(design[:, :3]))
    # Frisch, Waugh and Lovell: the slope of Q is that of the residuals on the residuals.
    left = [y - design[:, :3] @ np.linalg.lstsq(design[:, :3], y, rcond=None)[0] for y in (design[:, 3], z)]
    assert part.slope == pytest.approx(float(left[0] @ left[1] / (left[0] @ left[0])))
    residual = left[1] - part.slope * left[0]
    error = math.sqrt(float(residual @ residual) / (len(z) - 4) / float(left[0] @ left[0]))
    assert part.p_value == pytest.approx(2 * stats.t.sf(abs(part.slope) / error, len(z) - 4))
    assert part.high - part.slope == pytest.approx(stats.t.ppf(0.975, len(z) - 4) * error)


def test_where_z_does_not_depend_on_q_that_is_said_in_nearly_all_samples() -> None:
    told = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        points = [replace(point, z=point.z + 0.05 * rng.normal()) for point in make_points(0.0)]
        part = measure_quality_part(points)
        assert part is not None
        told += part.tells
    # One in a hundred by design; ten of 200 would come once in 15,000 times.
    assert told < 10
    assert "adds nothing" in str(measure_quality_part(make_points(0.0, noise=0.5)))


def test_too_few_or_too_equal_grades_give_no_part() -> None:
    points = make_points(0.1)
    assert measure_quality_part([replace(point, q=None) for point in points[8:]] + points[:8]) is None
    assert measure_quality_part([replace(point, q=4.0) for point in points]) is None
    assert measure_quality_part([replace(point, z=-4.0) for point in points]) is None


def test_grades_change_nothing_of_the_law_without_them_and_their_absence_no_byte() -> None:
    graded, plain = make_points(0.1), make_points(0.1, graded=False)
    with_q, without = fit_entropy_law(graded), fit_entropy_law(plain)
    assert replace(with_q, points=()) == replace(without, points=())
    text = to_json(summarise_law(without, {}))
    assert '"q"' not in text and "quality" not in text
    assert summarise_law(with_q, {}).quality is not None
    assert to_json(replace(summarise_law(with_q, {}), quality=None, points=tuple(plain))) == text


def test_accepted_versions_bring_their_q_into_the_law() -> None:
    entry = HistoryEntry(
        number=1, name="v1", data_hash="aa", config_fingerprint="now", status="pass", rows=9, tool_version="1",
        measurements={"sft": Measurements(9, 2.9, 3.6, 4.8, 0.4, q=4.1)}, datasets={}, scores={HELDOUT: -4.9},
    )  # fmt: skip
    assert [point.q for point in list_scored_versions([entry], "now", "cc")] == [4.1]


# Of rows.


def test_a_judges_grades_are_found_by_content_and_never_mixed_with_those_of_the_data() -> None:
    pairs = [
        Preference((Message("user", str(i)),), (Message("assistant", "a"),), (Message("assistant", "b"),),
                   chosen_score=8.0 if i else None)
        for i in range(3)
    ]  # fmt: skip
    rows = [HashedRecord(pair, content_hash(pair)) for pair in pairs]
    own = find_grades(rows, {"of another row": 2.0}, has_own=True)
    assert own is not None and own.rows.tolist() == [1, 2] and own.summary == GradeSummary(8.0, 0.0, 2)
    judged = find_grades(rows, {rows[0].hash: 3.5}, has_own=True)
    assert judged is not None and judged.rows.tolist() == [0] and judged.summary == GradeSummary(3.5, 0.0, 1)
    assert find_grades(rows, {}, has_own=False) is None and find_grades(rows[:1], {}, has_own=True) is None


def test_what_rate_wrote_is_read_and_the_datasets_own_file_counts(in_tmp_path: Path) -> None:
    assert load_grades("sft") == {}

    def report(**grades: float | None) -> QualityReport:
        rows = tuple(RatedRow(1, row_hash, "", 1, int(grade is None), grade) for row_hash, grade in grades.items())
        return QualityReport(3.0, None, 1, 0, rows)

    write_json(layout.QUALITY, report(aa=1.0, bb=None, cc=2.0))
    write_json(layout.result("sft", "quality.json"), report(aa=5.0))
    assert load_grades("sft") == {"aa": 5.0, "cc": 2.0} and load_grades("preferences") == {"aa": 1.0, "cc": 2.0}
    layout.QUALITY.write_text("{}")
    with pytest.raises(DamagedResultError, match=r"entropylaw rate --out results/quality\.json"):
        load_grades("sft")


# In the verdict.


def grade(evidence: Evidence, grades: Sequence[float]) -> Evidence:
    return replace(evidence, grades=RowGrades(np.arange(len(grades)), np.array(grades, dtype=float)))


def decide(added: Sequence[float], before: Sequence[float] | None) -> Verdict:
    """The verdict on an honest update of 400 rows, of which 40 are new, with grades of the kept and the added rows."""
    parent = make_evidence(make_rows(0, 400))
    parent = parent if before is None else grade(parent, before)
    version = make_evidence(make_update())
    kept = [4.0] * 360 if before is None else [g for i, g in enumerate(before) if i % 10 >= 1]
    version = version if not len(added) else grade(version, [*kept, *added])
    return assess_version([version], CALIBRATION, [accept([parent], [], "x1")], CONFIGURATION, RuleParams(), "1")


def of_rule(verdict: Verdict) -> RuleResult:
    return next(rule for rule in verdict.rules if rule.id == "quality")


def draw_grades(rng: np.random.Generator, rows: int, shift: float = 0.0) -> list[float]:
    """Grades as judges give them: between 0 and 5, by halves, most of them high."""
    drawn = np.round(2 * (4.2 - rng.gamma(1.2, 0.6, rows) - shift)) / 2
    return np.clip(drawn, 0, 5).tolist()  # type: ignore[no-any-return]


def test_a_fall_of_q_is_a_warning_with_the_numbers_and_the_rows_and_never_a_stop() -> None:
    rng = np.random.default_rng(0)
    before, added = draw_grades(rng, 400), draw_grades(rng, 40, shift=2.0)
    verdict = decide(added, before)
    found = of_rule(verdict)
    assert verdict.status == found.status == "warn"
    assert f"mean grade of {np.mean(added):.2f}, the parent's rows one of {np.mean(before):.2f}" in found.reason
    assert found.statistic == pytest.approx(np.mean(added) - np.mean(before))
    assert verdict.measurements["sft"].q == pytest.approx(
        np.mean([*(g for i, g in enumerate(before) if i % 10 >= 1), *added])
    )
    blamed = [row for row in verdict.rows if row.rule == "quality"]
    assert blamed and min(row.score for row in blamed) == min(added) and all(row.row > 360 for row in blamed)
    assert find_contradiction(verdict, list_rules()) is None
    # However deep the fall, no version is stopped for it.
    assert decide([0.0] * 40, before).status == "warn"


def test_noise_of_grades_raises_no_alarm() -> None:
    alarms = 0
    params = RuleParams()
    for seed in range(400):
        rng = np.random.default_rng(seed)
        before, added = (GradeSummary.of(np.array(draw_grades(rng, rows))) for rows in (400, 40))
        # As the only test of its version, where Holm's correction is weakest.
        alarms += find_chance(before, added) <= params.false_alarm_rate and before.mean > added.mean
    # One in twenty by design. More than 34 of 400 would come once in 1,000 times.
    assert alarms <= 34
    rng = np.random.default_rng(3)
    assert of_rule(decide(draw_grades(rng, 40), draw_grades(rng, 400))).status == "pass"


@given(st.lists(st.integers(0, 10), min_size=2, max_size=30), st.lists(st.integers(0, 10), min_size=2, max_size=30))
def test_the_chance_is_welchs(before: list[int], added: list[int]) -> None:
    if np.ptp(before) == 0 or np.ptp(added) == 0:  # scipy, the oracle, warns of its rounding there
        return
    found = find_chance(*(GradeSummary.of(np.array(part, dtype=float)) for part in (before, added)))
    expected = stats.ttest_ind(before, added, equal_var=False, alternative="greater").pvalue
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_grades_that_are_all_the_same_are_compared_too() -> None:
    fours, threes = GradeSummary(4.0, 0.0, 30), GradeSummary(3.0, 0.0, 30)
    assert find_chance(fours, threes) == 0.0 and find_chance(threes, fours) == find_chance(fours, fours) == 1.0


def test_without_grades_the_rule_is_in_no_verdict_and_no_byte_is_another() -> None:
    verdict = decide([], None)
    text = to_json(verdict)
    assert '"q"' not in text and '"quality"' not in text
    assert [rule.id for rule in verdict.rules] == [
        rule.id for rule in list_rules() if not rule.preferences_only and not rule.needs
    ]
    assert find_contradiction(verdict, list_rules()) is None
    # Only grades on either side: the other rules answer as before.
    graded = decide([4.0] * 40, None)
    assert of_rule(graded).status == "skipped" and "had no grades" in of_rule(graded).reason
    assert [rule for rule in graded.rules if rule.id != "quality"] == list(verdict.rules)


def test_few_graded_rows_say_nothing() -> None:
    parent = grade(make_evidence(make_rows(0, 400)), [4.0] * 400)
    version = make_evidence(make_update())
    version = replace(version, grades=RowGrades(np.arange(395, 400), np.zeros(5)))
    verdict = assess_version([version], CALIBRATION, [accept([parent], [], "x1")], CONFIGURATION, RuleParams(), "1")
    assert of_rule(verdict).status == "skipped" and "Only 5 added rows and 400" in of_rule(verdict).reason


def test_a_verdict_that_was_not_asked_of_its_grades_is_refused() -> None:
    verdict = decide([4.0] * 40, [4.0] * 400)
    unasked = replace(verdict, rules=tuple(rule for rule in verdict.rules if rule.id != "quality"))
    assert "no answer of quality" in str(find_contradiction(unasked, list_rules()))


def test_the_history_keeps_grades_where_there_are_any_and_writes_nothing_of_them_elsewhere(tmp_path: Path) -> None:
    plain = make_evidence(make_rows(0, 400))
    for evidence in (plain, grade(plain, [3.0, 4.0, 5.0])):
        write_file(tmp_path / "entry.json", accept([evidence], [], "x1"))
        stored = json.loads((tmp_path / "entry.json").read_text())
        is_graded = evidence.grades is not None
        assert ("grades" in stored["datasets"]["sft"]) == is_graded == ("q" in stored["measurements"]["sft"])
        read = read_file(tmp_path / "entry.json")
        assert read.datasets["sft"].grades == (evidence.grades.summary if evidence.grades else None)
        assert read.measurements["sft"].q == (4.0 if is_graded else None)


def test_the_report_says_what_q_adds() -> None:
    verdict = decide([], None)
    law = summarise_law(fit_entropy_law(make_points(0.1)), {})
    assert "With quality Q" in view_law(replace(verdict, law=law)).sentence
    assert "quality" not in view_law(verdict).sentence


def test_a_calibration_of_an_earlier_release_is_still_whole(tmp_path: Path) -> None:
    """It has no key for grades; what every release wrote must be there all the same."""
    write_json(tmp_path / "point.json", LawPoint("a", 2.0, 3.0, 4.0, -5.0))
    assert "q" not in json.loads((tmp_path / "point.json").read_text())
    assert read_result(tmp_path / "point.json", LawPoint, complete=True).q is None
    write_json(tmp_path / "point.json", {"name": "a", "r": 2.0, "r_long": 3.0, "l": 4.0, "z": -5.0})
    with pytest.raises(DamagedResultError, match="family: missing key"):
        read_result(tmp_path / "point.json", LawPoint, complete=True)
