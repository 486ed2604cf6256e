"""What a draft becomes once its p-value is corrected."""

import math
from dataclasses import replace

import pytest

from monitor.rule_params import RuleParams, Thresholds
from monitor.rules.apply import is_unsound
from monitor.rules.drafts import Draft, refuse_result
from monitor.verdict import RuleResult


def make_draft(**fields: object) -> Draft:
    result = RuleResult("edits", "sft", "pass", "", p_value=1e-9)
    fields = {"effect": 0.5, "thresholds": Thresholds(0.01, 0.02), "alarm": "An alarm.", **fields}
    return Draft(result, **fields)  # type: ignore[arg-type]


def test_a_rule_that_knows_a_change_but_no_harm_warns_at_most() -> None:
    assert make_draft().decide(1e-9, 1, RuleParams()).status == "risky"
    capped = make_draft(worst="warn").decide(1e-9, 1, RuleParams())
    assert (capped.status, capped.reason) == ("warn", "An alarm.")


@pytest.mark.parametrize(("p_value", "effect"), [(1e-9, 0.005), (0.5, 0.5)])
def test_the_gravest_status_raises_no_other(p_value: float, effect: float) -> None:
    for worst in ("warn", "risky"):
        assert make_draft(worst=worst, effect=effect).decide(p_value, 1, RuleParams()).status == "pass"


@pytest.mark.parametrize("field", ["effect", "statistic", "threshold", "p_value"])
def test_what_is_not_a_number_is_seen_wherever_it_stands(field: str) -> None:
    draft = make_draft(**({"effect": math.nan} if field == "effect" else {}))
    if field != "effect":
        draft = replace(draft, result=replace(draft.result, **{field: math.nan}))
    assert is_unsound(draft) and not is_unsound(make_draft())
    result = refuse_result(draft.result)
    assert (result.status, result.statistic, result.threshold, result.p_value) == ("not_assessed", None, None, None)


@pytest.mark.parametrize(("p_value", "effect"), [(math.nan, 0.5), (1e-9, math.nan), (math.nan, math.nan)])
def test_a_number_that_is_lost_on_the_way_is_no_pass(p_value: float, effect: float) -> None:
    assert make_draft(effect=effect).decide(p_value, 1, RuleParams()).status == "not_assessed"
    assert make_draft(effect=effect, worst="warn").decide(p_value, 1, RuleParams()).status == "not_assessed"
