"""Apply all rules to all datasets of a version, and correct their p-values for having asked so many questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.calibration.calibrate import Calibration
from monitor.law.entropy_law import EntropyLaw
from monitor.rule_params import RuleParams
from monitor.rules.drafts import Draft
from monitor.rules.parent_comparison import ParentComparison
from monitor.rules.registry import list_rules
from monitor.rules.rule import RuleInput
from monitor.rules.significance import holm_adjust
from monitor.verdict import RuleResult


@dataclass(frozen=True)
class AppliedRule:
    """A rule's result, and the draft that it was made of. The draft can name the rows behind it."""

    result: RuleResult
    draft: Draft


def apply_rules(
    comparisons: Sequence[ParentComparison], calibration: Calibration, law: EntropyLaw, params: RuleParams
) -> tuple[AppliedRule, ...]:
    """Apply every rule to every dataset. Holm's correction goes over all p-values of the version."""
    drafts = [
        draft
        for comparison in comparisons
        for draft in draft_rules(RuleInput(comparison, calibration, law, params)).values()
    ]
    tested = [draft.result.p_value for draft in drafts if draft.result.p_value is not None]
    adjusted = iter(holm_adjust(tested))
    return tuple(
        AppliedRule(
            draft.result if draft.result.p_value is None else draft.decide(next(adjusted), len(tested), params), draft
        )
        for draft in drafts
    )


def draft_rules(case: RuleInput) -> dict[str, Draft]:
    """The draft of each rule, by the rule's name. Rules for preferences are left out where there are none."""
    drafts: dict[str, Draft] = {}
    for rule in list_rules():
        if rule.preferences_only and case.comparison.pairs is None:
            continue
        drafts[rule.id] = rule.ask(case, *(drafts[name] for name in rule.combines))
    return drafts
