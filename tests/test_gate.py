"""The gate's decisions, over every combination of what can meet it."""

import datetime
import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.artifacts import write_json
from monitor.gate import decide_gate
from monitor.rules.registry import list_rules, rule_ids
from monitor.verdict import Measurements, RuleResult, RuleStatus, Status, Verdict, Version, worst
from monitor.verdict_consistency import find_contradiction, list_asked
from monitor.waivers import Waiver

HERE, ELSEWHERE = "a" * 32, "b" * 32
TODAY = datetime.date(2026, 3, 31)
# Of conversations.
RULES, RULE_STATUSES = tuple(list_asked("sft", list_rules())), get_args(RuleStatus)


def make_verdict(rules: list[tuple[Any, ...]], status: Status | None = None) -> Verdict:
    """A verdict in which the rules that are not named were skipped; without any, one on a version without a parent."""
    named = [
        RuleResult(rule, dataset[0] if dataset else "sft", rule_status, "because", p_value=0.5)
        for rule, rule_status, *dataset in rules
    ]
    datasets = dict.fromkeys(result.dataset for result in named)
    known = {(result.dataset, result.id) for result in named}
    others = [
        RuleResult(rule, dataset, "skipped", "because")
        for dataset in datasets
        for rule in list_asked(dataset, list_rules())
        if (dataset, rule) not in known
    ]
    measurements = dict.fromkeys(datasets, Measurements(200, 2.9, 3.1, 5.0, 0.4))
    return Verdict(
        status=status or worst([result.status for result in named]),
        summary="the summary",
        version=Version("x5", HERE, 200),
        parent=Version("x4", ELSEWHERE, 200) if named else None,
        rules=(*named, *others),
        measurements=measurements or dict.fromkeys(["sft"], Measurements(200, 2.9, 3.1, 5.0, 0.4)),
        parent_measurements=measurements,
        forecast=None,
        law={},
        rows=(),
        config_fingerprint="f" * 16,
        tool_version="0.1.0",
    )


def make_waiver(rule: str, data_hash: str = HERE, expires: str = "2026-03-31") -> Waiver:
    return Waiver(rule, data_hash, "known", "kim", expires)


@pytest.mark.parametrize(("status", "strict_code"), [("baseline", 0), ("pass", 0), ("warn", 1)])
def test_baseline_pass_and_warn_are_approved_and_strict_stops_a_warning(status: Status, strict_code: int) -> None:
    rules = [("redundancy", "warn" if status == "warn" else "skipped")]
    decision = decide_gate(make_verdict(rules, status), (), TODAY)
    assert (decision.approved, decision.exit_code, decision.status) == (True, 0, status)
    assert decide_gate(make_verdict(rules, status), (), TODAY, strict=True).exit_code == strict_code


def test_a_risky_version_is_stopped_with_its_rules_and_what_to_do() -> None:
    verdict = make_verdict([("redundancy", "risky"), ("loss", "risky"), ("agreement", "warn")])
    decision = decide_gate(verdict, (), TODAY)
    assert (decision.approved, decision.exit_code, decision.waivers) == (False, 1, ())
    assert decision.reason.startswith("x5 is risky: redundancy, loss; ")
    assert "entropylaw waive" in decision.reason


def test_a_waiver_for_each_risky_rule_opens_the_gate_and_is_named() -> None:
    verdict = make_verdict(
        [("redundancy", "risky", "sft"), ("redundancy", "risky", "preferences"), ("forecast", "risky")]
    )
    waivers = [make_waiver("redundancy"), make_waiver("forecast"), make_waiver("agreement")]
    decision = decide_gate(verdict, waivers, TODAY)
    assert (decision.approved, decision.exit_code, decision.status) == (True, 0, "risky")
    assert decision.waivers == tuple(waivers[:2])
    assert "redundancy (by kim, until 2026-03-31)" in decision.reason


@pytest.mark.parametrize(
    ("waiver", "told"),
    [
        (make_waiver("redundancy"), "forecast;"),
        (make_waiver("forecast", data_hash=ELSEWHERE), "forecast (its waiver is bound to other data (bbbbbbbbbbbb))"),
        (make_waiver("forecast", expires="2026-03-30"), "forecast (its waiver expired on 2026-03-30)"),
    ],
)
def test_a_waiver_of_another_rule_other_data_or_the_past_opens_nothing_and_the_reason_tells(
    waiver: Waiver, told: str
) -> None:
    decision = decide_gate(make_verdict([("redundancy", "pass"), ("forecast", "risky")]), [waiver], TODAY)
    assert (decision.exit_code, decision.waivers) == (1, ())
    assert told in decision.reason


def test_what_was_not_assessed_cannot_be_waived() -> None:
    waivers = [make_waiver(rule) for rule in RULES]
    for rules in ([("agreement", "not_assessed")], [("forecast", "risky"), ("agreement", "not_assessed")], []):
        status: Status | None = None if rules else "not_assessed"
        decision = decide_gate(make_verdict(rules, status), waivers, TODAY)
        assert (decision.approved, decision.exit_code, decision.waivers) == (False, 3, ())
        assert "could not be assessed" in decision.reason and "the summary" in decision.reason


def test_an_open_risk_is_told_before_what_was_not_assessed() -> None:
    verdict = make_verdict([("forecast", "risky"), ("agreement", "not_assessed")])
    assert decide_gate(verdict, (), TODAY).exit_code == 1


@pytest.mark.parametrize("status", ["risky", "ok", "", None, "PASS"])
def test_a_verdict_of_no_known_good_status_is_never_approved(status: Any) -> None:
    verdict = make_verdict([("redundancy", "pass")], "pass")
    object.__setattr__(verdict, "status", status)
    assert not decide_gate(verdict, [make_waiver(rule) for rule in RULES], TODAY).approved


@given(
    st.lists(
        st.tuples(st.sampled_from(RULES), st.sampled_from(RULE_STATUSES)),
        min_size=1,
        max_size=5,
        unique_by=lambda r: r[0],
    ),
    st.lists(
        st.builds(
            make_waiver,
            st.sampled_from(RULES),
            st.sampled_from([HERE, ELSEWHERE]),
            st.sampled_from(["2026-03-30", "2026-03-31", "2026-04-01"]),
        ),
        max_size=6,
    ),
    st.booleans(),
)
def test_the_gate_agrees_with_the_rule_written_out_plainly(
    rules: list[tuple[str, str]], waivers: list[Waiver], strict: bool
) -> None:
    verdict = make_verdict(rules)
    stopping = {"risky", "warn"} if strict else {"risky"}
    unwaived = [
        rule
        for rule, status in rules
        if status in stopping
        and not any(w.rule == rule and w.data_hash == HERE and w.expires >= "2026-03-31" for w in waivers)
    ]
    expected = 1 if unwaived else 3 if "not_assessed" in [status for _, status in rules] else 0
    decision = decide_gate(verdict, waivers, TODAY, strict)
    assert (decision.exit_code, decision.approved) == (expected, expected == 0)


def test_more_waivers_or_less_strictness_never_close_an_open_gate() -> None:
    for first, second, strict in product(RULE_STATUSES, RULE_STATUSES, (False, True)):
        verdict = make_verdict([("redundancy", first), ("forecast", second)])
        fewer = decide_gate(verdict, [make_waiver("redundancy")], TODAY, strict)
        more = decide_gate(verdict, [make_waiver("redundancy"), make_waiver("forecast")], TODAY, strict)
        assert more.approved >= fewer.approved
        assert decide_gate(verdict, [make_waiver("redundancy")], TODAY).approved >= fewer.approved


def test_the_approval_file_binds_the_data_the_configuration_and_the_waivers(tmp_path: Path) -> None:
    decision = decide_gate(make_verdict([("forecast", "risky")]), [make_waiver("forecast")], TODAY)
    write_json(tmp_path / "approval.json", decision)
    assert json.loads((tmp_path / "approval.json").read_text()) == {
        "approved": True,
        "exit_code": 0,
        "status": "risky",
        "reason": "x5 is risky and approved under a waiver of forecast (by kim, until 2026-03-31)",
        "version": "x5",
        "data_hash": HERE,
        "config_fingerprint": "f" * 16,
        "waivers": [
            {"rule": "forecast", "data_hash": HERE, "reason": "known", "owner": "kim", "expires": "2026-03-31"}
        ],
        "schema_version": 1,
    }


def change(**fields: Any) -> Any:
    return lambda verdict: replace(verdict, **fields)


def change_rule(**fields: Any) -> Any:
    """The first rule's result with other fields."""
    return lambda verdict: replace(verdict, rules=(replace(verdict.rules[0], **fields), *verdict.rules[1:]))


FORGERIES = {
    "no rules": change(rules=()),
    "a rule is missing": lambda verdict: replace(verdict, rules=verdict.rules[1:]),
    "a rule stands twice": lambda verdict: replace(verdict, rules=(*verdict.rules, verdict.rules[0])),
    "a rule of another tool": change_rule(id="wording"),
    "a rule without a name": change_rule(id=None),
    "RISKY": change_rule(status="RISKY"),
    "error": change_rule(status="error"),
    "null": change_rule(status=None),
    "ok": change_rule(status="ok"),
    "a warning": change_rule(status="warn"),
    "not assessed": change_rule(status="not_assessed"),
    "a number for a status": change_rule(status=0),
    "no p-value": change_rule(p_value=None),
    "nan": change_rule(p_value=float("nan")),
    "a dataset that is not there": change_rule(dataset="chats"),
    "the verdict says Pass": change(status="Pass"),
    "the verdict says nothing": change(status=None),
    "the verdict warns": change(status="warn"),
    "the verdict was not assessed": change(status="not_assessed"),
    "another schema": change(schema_version=2),
    "a schema that is a word": change(schema_version="1"),
    "a schema that is true": change(schema_version=True),
    "no schema": change(schema_version=None),
    "no parent": change(parent=None),
    "nothing measured on the parent": change(parent_measurements={}),
    "no parent and no rules": change(parent=None, rules=(), parent_measurements={}),
    "a dataset more": lambda verdict: replace(
        verdict, measurements={**verdict.measurements, "preferences": verdict.measurements["sft"]}
    ),
    "no dataset": change(measurements={}),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_verdict_that_does_not_follow_from_its_rules_never_opens_the_gate(forge: Any) -> None:
    verdict = make_verdict([("redundancy", "pass"), ("loss", "pass")])
    assert decide_gate(verdict, (), TODAY).approved
    waivers = [make_waiver(rule) for rule in rule_ids()]
    decision = decide_gate(forge(verdict), waivers, TODAY)
    assert (decision.approved, decision.exit_code, decision.waivers) == (False, 3, ())


def test_every_rule_is_asked_for_by_name_and_those_of_preferences_too() -> None:
    for dataset in ("sft", "preferences"):
        verdict = make_verdict([("redundancy", "pass", dataset)])
        for rule in list_asked(dataset, list_rules()):
            forged = replace(verdict, rules=tuple(result for result in verdict.rules if result.id != rule))
            found = find_contradiction(forged, list_rules())
            assert found is not None and rule in found
            assert decide_gate(forged, (), TODAY).exit_code == 3


def test_a_version_without_a_parent_is_a_baseline_or_was_not_assessed() -> None:
    first = make_verdict([], "baseline")
    assert decide_gate(first, (), TODAY).approved
    for status in ("pass", "warn", "risky", "not_assessed"):
        assert not decide_gate(replace(first, status=status), (), TODAY).approved
