from __future__ import annotations

import datetime
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sample_verdicts import STATUSES, data_hash, history, law, long_history, sample_verdict, waiver, written_verdict

from corpus.artifacts import to_json
from corpus.shapes import parse_shape
from monitor.gate import RESTART_COMMAND, decide_gate
from monitor.law.results import LawSummary
from monitor.rules.registry import list_rules
from monitor.verdict import RuleResult, Verdict
from reports.law_view import LawView
from reports.report_data import ReportData, build_report_data
from reports.rule_view import ROWS_PER_RULE

RISKY_RULES = ("redundancy", "loss", "both_rise")


def build(status: str, *waivers, today: datetime.date | None = None) -> ReportData:
    return build_report_data(sample_verdict(status), history(), waivers, today)


def test_a_change_is_this_version_minus_its_parent() -> None:
    sft = next(dataset for dataset in build("risky").datasets if dataset.name == "sft")
    changes = {change.measure.key: change.change for change in sft.changes}
    # x5 - x4 by hand, from the table in sample_verdicts.
    assert changes == pytest.approx({"r": 0.046, "r_long": 0.306, "l": 0.293, "c": -0.037})


def test_without_a_parent_or_a_value_there_is_no_change() -> None:
    assert all(change.change is None for part in build("baseline").datasets for change in part.changes)
    (sft,) = build("not_assessed").datasets
    assert [change.value is None for change in sft.changes] == [False, False, True, False]
    assert [change.change is None for change in sft.changes] == [False, False, True, False]


def test_every_rule_has_a_name_a_question_and_advice_of_its_own() -> None:
    rules = list_rules()
    for words in zip(*((rule.title, rule.question, rule.advice) for rule in rules), strict=True):
        assert len(set(words)) == len(rules) and all(words)


def test_the_version_under_test_comes_last_and_once() -> None:
    versions = build("risky").versions
    assert [(version.name, version.current) for version in versions] == [
        *((f"x{i}", False) for i in range(1, 5)),
        ("x5", True),
    ]


def test_a_version_accepted_already_keeps_its_place_its_name_and_its_score() -> None:
    verdict = sample_verdict("risky")
    accepted = replace(
        history()[0], number=5, name="x5-rescrape", data_hash=data_hash(5), waived=True, scores={"heldout": -5.1}
    )
    later = replace(accepted, number=6, name="x6", data_hash=data_hash(6), waived=False)
    unnamed = replace(verdict, version=replace(verdict.version, name=data_hash(5)[:8]))
    data = build_report_data(unnamed, [*history(), accepted, later], [])
    assert [version.name for version in data.versions] == ["x1", "x2", "x3", "x4", "x5-rescrape", "x6"]
    (current,) = (version for version in data.versions if version.current)
    assert (current.name, current.z, current.waived) == ("x5-rescrape", -5.1, True)
    assert data.version.name == "x5-rescrape" and "x5-rescrape" in data.headline


def test_a_version_called_by_its_hash_is_called_this_version_in_the_headline() -> None:
    verdict = sample_verdict("pass")
    data = build_report_data(replace(verdict, version=replace(verdict.version, name=data_hash(6)[:8])), [], [])
    assert data.headline == "This version shows no risk"


def test_versions_measured_otherwise_are_not_comparable() -> None:
    past = [replace(history()[0], config_fingerprint="another"), *history()[1:]]
    versions = build_report_data(sample_verdict("pass"), past, []).versions
    assert [version.comparable for version in versions] == [False, True, True, True, True]


def test_flagged_versions_are_the_risky_and_the_waived() -> None:
    flagged = [
        version.name
        for version in build_report_data(sample_verdict("risky"), long_history(10), []).versions
        if version.flagged
    ]
    assert flagged == ["2031-w09", "x5"]


def test_worse_rules_come_first() -> None:
    statuses = [rule.status for rule in build("risky").rules]
    assert statuses == ["risky"] * 3 + ["warn"] + ["pass"] * 7 + ["skipped"] * (len(statuses) - 11)
    # Of equally bad ones the surest is first.
    p_values = [rule.p_value for rule in build("warn").rules if rule.status == "warn"]
    assert len(p_values) == 4 and p_values == sorted(p_values)


def test_rows_keep_the_verdicts_order_up_to_a_cap_and_the_total_is_said() -> None:
    verdict = sample_verdict("risky")
    listed = [row for row in verdict.rows if row.rule == "redundancy"]
    redundancy = next(rule for rule in build("risky").rules if rule.id == "redundancy")
    assert list(redundancy.rows) == listed[:ROWS_PER_RULE]
    assert redundancy.rows_total == len(listed) > ROWS_PER_RULE


@pytest.mark.parametrize("status", STATUSES)
def test_a_verdict_read_back_from_its_file_makes_the_same_report(status: str) -> None:
    verdict = written_verdict(status)
    read_back = parse_shape(json.loads(to_json(verdict)), Verdict)
    first, second = (to_json(build_report_data(version, history(), [])) for version in (verdict, read_back))
    assert first == second


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("waived", [(), ("redundancy",), RISKY_RULES])
def test_blocked_is_what_the_gate_decides(status: str, waived: tuple[str, ...]) -> None:
    waivers = [waiver(rule) for rule in waived]
    today = datetime.date(2031, 1, 1)
    gate = decide_gate(sample_verdict(status), waivers, today)
    assert build(status, *waivers, today=today).blocked is not gate.approved


def test_only_waivers_of_every_risky_rule_let_a_version_through() -> None:
    some, all_of_them = (build("risky", *map(waiver, rules)) for rules in (RISKY_RULES[:1], RISKY_RULES))
    assert some.blocked and some.headline == "Do not train on x5"
    assert [command.split()[2] for command in some.steps[-1].commands] == ["loss", "both_rise"]
    assert not all_of_them.blocked and "waiver" in all_of_them.headline
    assert all(rule.waiver for rule in all_of_them.rules if rule.status == "risky")
    assert not any("entropylaw waive" in command for step in all_of_them.steps for command in step.commands)


def test_a_rule_that_could_not_run_keeps_a_waived_version_blocked() -> None:
    verdict = sample_verdict("risky")
    broken = RuleResult("agreement", "preferences", "not_assessed", "No row could be embedded.")
    data = build_report_data(
        replace(verdict, rules=(*verdict.rules, broken)), [], [waiver(rule) for rule in RISKY_RULES]
    )
    assert data.blocked
    assert any(broken.reason in step.text for step in data.steps)
    assert [step.commands for step in data.steps[-2:]] == [("dvc repro",), (RESTART_COMMAND,)]


def test_a_waiver_of_other_data_is_shown_and_does_not_apply() -> None:
    data = build("risky", waiver("redundancy", of=4))
    (shown,) = data.waivers
    assert not shown.applies and "other data" in shown.note
    assert not any(rule.waiver for rule in data.rules)
    assert build("pass", waiver("redundancy", of=4)).waivers == ()


def test_a_waiver_ends_with_its_last_day_where_the_day_is_known() -> None:
    last = datetime.date(2031, 3, 31)
    on, after, unknown = (
        build("risky", waiver("redundancy"), today=day).waivers[0]
        for day in (last, last + datetime.timedelta(days=1), None)
    )
    assert (on.applies, after.applies, unknown.applies) == (True, False, True)
    assert "expired on 2031-03-31" in after.note and unknown.note == "until 2031-03-31"


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_says_what_to_do(status: str) -> None:
    data = build(status)
    assert data.steps and data.headline and data.words.word and data.words.icon


def test_the_first_step_names_the_rows_to_look_at() -> None:
    first = build("risky").steps[0].text
    assert "rows 1601, 1602, 1603, 1604, 1605" in first and "rescrape-2019" in first


def test_z_is_shown_on_the_forecasts_scale_then_the_held_out_one_then_the_most_common() -> None:
    def benchmark(status: str, *scores: dict[str, float]) -> str:
        past = [replace(entry, scores=score) for entry, score in zip(history(), scores, strict=False)]
        return build_report_data(sample_verdict(status), past, []).benchmark

    assert benchmark("pass", {"mt_bench": 6.1}) == "heldout"
    assert benchmark("baseline") == "heldout"
    assert benchmark("baseline", {"arc": 0.5}, {"mt_bench": 6.1, "arc": 0.6}) == "arc"
    assert benchmark("baseline", {"arc": 0.5}, {"heldout": -4.9, "arc": 0.6}) == "heldout"


def test_a_law_with_few_runs_or_curves_is_shown_as_far_as_it_goes() -> None:
    verdict = sample_verdict("pass")

    def view(summary: LawSummary) -> LawView:
        return build_report_data(replace(verdict, law=summary), [], []).law

    nothing = view(replace(law(), holds=None, points=(), curves={}))
    assert (nothing.points, nothing.curves, nothing.sentence) == ((), (), law().sentence)
    curve = law().curves["r_long"]
    band = curve.band
    assert band is not None
    shown = view(replace(law(), curves={"r_long": curve})).curves
    assert [part.symbol for part in shown] == ["R", "long R", "L"] and all(part.sentence for part in shown)
    steps = tuple(zip(band.x, band.z, band.low, band.high, band.run_low, band.run_high, strict=True))
    assert [part.steps for part in shown] == [(), steps, ()]
    assert view(replace(law(), curves={"r_long": replace(curve, band=None)})).curves[1].steps == ()


def test_rendering_a_check_loads_no_heavy_library() -> None:
    heavy = "{'jinja2', 'matplotlib', 'pandas', 'scipy', 'sklearn', 'torch'}"
    program = f"import sys, reports.checks; print(sorted({heavy} & set(sys.modules)))"
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
