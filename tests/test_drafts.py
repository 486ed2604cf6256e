"""What a draft becomes once its p-value is corrected."""

import math
from dataclasses import replace

import pytest

from monitor.rule_params import RuleParams, Thresholds
from monitor.rules.drafts import Draft
from monitor.rules.significance import correct_for_looks, correct_for_tests
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


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["effect", "statistic", "p_value"])
def test_what_is_not_a_number_is_not_assessed_whatever_else_was_found(field: str, wrong: float) -> None:
    draft = make_draft(**({field: wrong} if field == "effect" else {}))
    if field != "effect":
        draft = replace(draft, result=replace(draft.result, **{field: wrong}))
    assert not draft.is_computed
    result = draft.without_numbers()
    assert (result.status, result.statistic, result.p_value) == ("not_assessed", None, None)
    assert "could not be computed" in result.reason


@pytest.mark.parametrize(("p_value", "effect"), [(math.nan, 0.5), (1e-9, math.nan), (math.nan, math.nan)])
def test_a_number_that_is_lost_on_the_way_is_no_pass(p_value: float, effect: float) -> None:
    assert make_draft(effect=effect).decide(p_value, 1, RuleParams()).status == "not_assessed"
    assert make_draft(effect=effect, worst="warn").decide(p_value, 1, RuleParams()).status == "not_assessed"


def test_a_correction_keeps_what_is_not_a_number() -> None:
    assert math.isnan(correct_for_tests(math.nan, 3)) and math.isnan(correct_for_looks(math.nan, 2))
