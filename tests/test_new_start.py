"""A person begins anew with a version that could not be assessed: what that answers, and what it does not."""

import datetime
from dataclasses import replace

import pytest
from test_assess import CONFIGURATION, HISTORY, judge, make_evidence, make_rows, make_update, renumber

from monitor.accept import accept_version
from monitor.gate import decide_gate
from monitor.history import HistoryEntry, place_entry
from monitor.measures.compression import CompressionParams
from monitor.measures.evidence import Evidence
from monitor.verdict import Verdict
from monitor.waivers import Waiver

TODAY = datetime.date(2026, 3, 31)
OTHER = replace(CONFIGURATION, compression=CompressionParams(level=6))
WHY = {"reason": "one prompt on every row is meant", "owner": "ana@example.org"}


def begin(verdict: Verdict, evidence: list[Evidence], history: list[HistoryEntry], **start: str) -> list[HistoryEntry]:
    """The history after `accept --baseline`."""
    entry = accept_version(verdict, evidence, "restart", {}, (), True, "0.1.0", start=start or None)
    return [*history, place_entry(history, entry)]


def test_after_a_change_of_configuration_the_accepted_baseline_is_a_baseline_and_the_gate_opens() -> None:
    evidence = [make_evidence(make_update())]
    before = judge(evidence, HISTORY, OTHER)
    assert (before.status, decide_gate(before, (), TODAY).exit_code) == ("not_assessed", 3)
    verdict = judge(evidence, begin(before, evidence, HISTORY), OTHER)
    assert verdict.status == "baseline" and "restart was accepted as a baseline." in verdict.summary
    assert "Nothing was compared with it" in verdict.summary
    assert decide_gate(verdict, (), TODAY).approved
    # The next version is compared with it as with any other.
    after = judge([make_evidence(make_update(2))], begin(before, evidence, HISTORY), OTHER)
    assert after.parent is not None and after.parent.name == "restart"


@pytest.mark.parametrize(
    "changes", [{"config_fingerprint": "0" * 16}, {"data_hash": "0" * 32}, {"status": "pass"}, {"status": "warn"}]
)
def test_an_entry_of_other_data_of_another_configuration_or_not_recorded_as_a_baseline_opens_nothing(changes) -> None:
    evidence = [make_evidence(make_update())]
    *history, entry = begin(judge(evidence, HISTORY, OTHER), evidence, HISTORY)
    verdict = judge(evidence, [*history, replace(entry, **changes)], OTHER)
    if "data_hash" in changes:  # then it is a reference like any other
        assert verdict.parent is not None and verdict.parent.name == "restart"
    else:
        assert verdict.status == "not_assessed"


def test_a_version_that_is_risky_stays_risky_whatever_is_recorded_of_it() -> None:
    evidence = [make_evidence(renumber([*make_rows(0, 400), *make_rows(0, 40)]))]
    verdict = judge(evidence, HISTORY)
    assert verdict.status == "risky"
    after = judge(evidence, begin(verdict, evidence, HISTORY))
    assert (after.status, after.risky_rules()) == ("risky", verdict.risky_rules())


def add_pairs() -> list[Evidence]:
    """A version with a dataset that the parent does not have: nothing of it can be assessed."""
    return [make_evidence(make_update()), make_evidence(make_rows(1000, 1100), dataset="preferences")]


def test_what_could_not_be_assessed_is_answered_by_name_and_the_other_rules_still_hold() -> None:
    evidence = add_pairs()
    before = judge(evidence, HISTORY)
    assert before.status == "not_assessed"
    history = begin(before, evidence, HISTORY, **WHY)
    verdict = judge(evidence, history)
    assert verdict.status == "baseline" and decide_gate(verdict, (), TODAY).approved
    (answered,) = (rule for rule in verdict.rules if rule.dataset == "preferences")
    assert answered.status == "skipped"
    assert "has no dataset 'preferences'" in answered.reason and answered.reason.endswith(
        "restart was accepted as a baseline by ana@example.org (one prompt on every row is meant)."
    )
    assert {rule.status for rule in before.rules if rule.dataset == "sft"} == {
        rule.status for rule in verdict.rules if rule.dataset == "sft"
    }


def test_a_rule_that_is_risky_needs_its_waiver_beside_the_new_start() -> None:
    repeated = make_evidence(renumber([*make_rows(0, 400), *make_rows(0, 40)]))
    evidence = [repeated, *add_pairs()[1:]]
    before = judge(evidence, HISTORY)
    risky = {rule.id for rule in before.risky_rules()}
    waivers = [Waiver(rule, before.version.data_hash, "wanted", "ana", "2026-03-31") for rule in risky]
    assert decide_gate(before, waivers, TODAY).exit_code == 3
    verdict = judge(evidence, begin(before, evidence, HISTORY, **WHY))
    assert verdict.status == "risky" and "ana@example.org" in verdict.summary
    assert decide_gate(verdict, (), TODAY).exit_code == 1
    assert decide_gate(verdict, waivers, TODAY).approved


def test_who_began_anew_before_the_parent_was_there_did_not_decide_about_it() -> None:
    """Back to the first version, which was a baseline: that is a step from where the team is now."""
    evidence = [make_evidence(make_rows(0, 400)), *add_pairs()[1:]]
    first = judge(evidence, [])
    history = begin(first, evidence, [])
    later = evidence[:1]
    entry = accept_version(judge(later, history), later, "x2", {}, (), False, "0.1.0")
    history = [*history, place_entry(history, replace(entry, status="pass"))]
    assert judge(evidence, history[:1]).status == "baseline"
    verdict = judge(evidence, history)
    assert verdict.status == "not_assessed" and verdict.parent is not None and verdict.parent.name == "x2"
    assert judge(evidence, begin(verdict, evidence, history, **WHY)).status == "baseline"
