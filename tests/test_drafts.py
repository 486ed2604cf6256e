"""What a draft becomes once its p-value is corrected."""

import pytest

from monitor.rule_params import RuleParams, Thresholds
from monitor.rules.drafts import Draft
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
