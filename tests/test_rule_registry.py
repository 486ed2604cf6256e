"""A rule is one file: what the registry finds, and that a new file needs no change anywhere else."""

import datetime
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from sample_verdicts import data_hash, sample_verdict

import monitor.rules
from monitor.calibration.benign_updates import BenignUpdate
from monitor.calibration.calibrate import Calibration
from monitor.calibration.params import CalibrationParams
from monitor.law.entropy_law import fit_entropy_law
from monitor.rule_params import RuleParams
from monitor.rules.apply import apply_rules
from monitor.rules.registry import find_rule, list_rules, rule_ids
from monitor.verdict import PREFERENCES
from monitor.waivers import Waiver, add_waiver, read_waivers
from reports.checks import render_check
from reports.report_data import build_report_data

TOY = '''
"""Rule `crowd`: were more rows added than a crowd?"""

from dataclasses import replace

from monitor.rules.drafts import Draft
from monitor.rules.rule import Rule
from monitor.verdict import RuleResult


def draft(case):
    added = case.comparison.now.added or 0
    result = RuleResult("crowd", case.comparison.dataset, "pass", "", added, 100, 0.0 if added > 100 else 1.0, "rows")
    return Draft(
        result,
        effect=case.comparison.share_added,
        thresholds=case.thresholds[0],
        alarm=f"{added} rows were added: a crowd.",
        passing=f"{added} rows were added.",
    )


RULE = Rule("crowd", 35, "Crowd", "Were more rows added than a crowd?", "Ask who they are.", ("outlier_share",), draft)
'''


@pytest.fixture
def crowd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One more file among the rules, as if it had been put into monitor/rules/."""
    (tmp_path / "crowd.py").write_text(TOY)
    monkeypatch.setattr(monitor.rules, "__path__", [*monitor.rules.__path__, str(tmp_path)])
    list_rules.cache_clear()
    yield
    sys.modules.pop("monitor.rules.crowd", None)
    list_rules.cache_clear()


def test_every_rule_is_called_like_its_file_and_names_a_parameter() -> None:
    folder = Path(monitor.rules.__path__[0])
    assert {rule.id for rule in list_rules()} == {
        path.stem for path in folder.glob("*.py") if "\nRULE = Rule(" in path.read_text()
    }
    parameters = {field.name for field in fields(RuleParams)}
    for rule in list_rules():
        assert set(rule.thresholds) <= parameters, rule.id
        # The rule drift takes those of the rule that it reports.
        assert rule.thresholds or rule.combines or rule.id == "drift", rule.id


def test_a_rule_that_combines_others_comes_after_them() -> None:
    order = {rule.id: i for i, rule in enumerate(list_rules())}
    for rule in list_rules():
        assert all(order[name] < order[rule.id] for name in rule.combines)


def test_a_name_that_no_rule_has_is_an_error() -> None:
    with pytest.raises(KeyError):
        find_rule("no rule has a blank in its name")


def test_a_rule_called_otherwise_than_its_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "throng.py").write_text(TOY)
    monkeypatch.setattr(monitor.rules, "__path__", [*monitor.rules.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match=r"throng\.py: its RULE is called 'crowd'"):
        list_rules.__wrapped__()
    sys.modules.pop("monitor.rules.throng")


def apply_to_added(added: int) -> dict[str, str]:
    """The status of each rule on a version of 1,000 rows of which only so much is known."""
    from monitor.rules.parent_comparison import ParentComparison
    from monitor.verdict import Measurements

    now = Measurements(1000, 2.0, 2.0, 5.0, 0.3, added, 0, 1000 - added)
    comparison = ParentComparison("sft", now, now)
    updates = (BenignUpdate(0.1, "random", 0.001, 0.001), BenignUpdate(0.1, "topic", -0.001, -0.001))
    calibration = Calibration(1000, (5.0, 5.01), updates, (), "base", CalibrationParams())
    applied = apply_rules([comparison], calibration, fit_entropy_law(()), RuleParams())
    return {rule.result.id: rule.result.status for rule in applied}


@pytest.mark.usefixtures("crowd")
def test_a_new_file_is_a_rule_of_the_verdict_in_its_place() -> None:
    assert apply_to_added(200)["crowd"] == "risky" and apply_to_added(50)["crowd"] == "pass"
    places = [rule_ids().index(name) for name in ("agreement", "crowd", "both_rise")]
    assert places == sorted(places)


@pytest.mark.usefixtures("crowd")
def test_a_new_file_is_a_rule_of_reports_and_waivers(tmp_path: Path) -> None:
    from dataclasses import replace

    verdict = sample_verdict("risky")
    found = replace(verdict.rules[0], id="crowd", status="risky", reason="200 rows were added: a crowd.")
    waiver = Waiver("crowd", data_hash(5), "a party", "kim", "2030-01-31")
    add_waiver(tmp_path / "waivers.yaml", waiver, rule_ids())
    waivers = read_waivers(tmp_path / "waivers.yaml", rule_ids())
    data = build_report_data(replace(verdict, rules=(*verdict.rules, found)), [], waivers, datetime.date(2026, 1, 1))
    shown = next(rule for rule in data.rules if rule.id == "crowd")
    assert (shown.title, shown.advice, shown.waiver is not None) == ("Crowd", "Ask who they are.", True)
    for text in (render_check(data, "text"), render_check(data, "markdown"), render_check(data, "junit")):
        assert "a crowd." in " ".join(text.split())


def test_rules_for_pairs_are_asked_of_preferences_only() -> None:
    assert {rule.id for rule in list_rules() if rule.preferences_only} >= {"flipped", "margin"}
    assert not {"flipped", "margin"} & set(apply_to_added(200))
    assert {rule.id for rule in sample_verdict("risky").rules if rule.dataset == PREFERENCES} <= set(rule_ids())
