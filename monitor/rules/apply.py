"""Apply all rules to all datasets of a version, and correct their p-values for having asked so many questions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from monitor.calibration.calibrate import Calibration
from monitor.law.entropy_law import EntropyLaw
from monitor.rule_params import RuleParams
from monitor.rules.anchor_comparison import AnchorComparison
from monitor.rules.drafts import Draft, refuse_result
from monitor.rules.parent_comparison import ParentComparison
from monitor.rules.registry import list_rules
from monitor.rules.rule import NO_ANCHOR, Rule, RuleInput
from monitor.rules.significance import holm_adjust
from monitor.verdict import SEVERITY, RuleResult


@dataclass(frozen=True)
class AppliedRule:
    """A rule's result, and the draft that it was made of. The draft can name the rows behind it."""

    result: RuleResult
    draft: Draft


def apply_rules(
    comparisons: Sequence[ParentComparison],
    calibration: Calibration,
    law: EntropyLaw,
    params: RuleParams,
    anchors: Mapping[str, AnchorComparison | str] | None = None,
) -> tuple[AppliedRule, ...]:
    """Apply every rule to every dataset. Holm's correction goes over all p-values of the version.

    ``anchors``: each dataset against the anchor, by its name, or why that is not to be had.
    """
    anchors = anchors or {}
    drafts = [
        draft
        for comparison in comparisons
        for draft in draft_rules(
            RuleInput(comparison, calibration, law, params, anchor=anchors.get(comparison.dataset, NO_ANCHOR)),
            list_rules(),
        ).values()
    ]
    drafts = [replace(draft, result=refuse_result(draft.result)) if is_unsound(draft) else draft for draft in drafts]
    tested = [draft.result.p_value for draft in drafts if draft.result.p_value is not None]
    adjusted = iter(holm_adjust(tested))
    applied = [
        AppliedRule(
            draft.result if draft.result.p_value is None else draft.decide(next(adjusted), len(tested), params), draft
        )
        for draft in drafts
    ]
    return tuple(say_once(rule, applied) for rule in applied)


def is_unsound(draft: Draft) -> bool:
    """Whether a number of a draft is not one. It compares with nothing, so whatever follows from it would be a pass."""
    numbers = (draft.effect, draft.result.statistic, draft.result.threshold, draft.result.p_value)
    return any(number is not None and math.isnan(number) for number in numbers)


def say_once(rule: AppliedRule, applied: Sequence[AppliedRule]) -> AppliedRule:
    """The rule, without its alarm where it asks another one again and that one says as much of this version alone."""
    result = rule.result
    for own in (other.result for other in applied):
        if (own.id, own.dataset) != (rule.draft.asks_again, result.dataset) or own.status not in ("warn", "risky"):
            continue
        if result.status in ("warn", "risky") and SEVERITY.index(own.status) <= SEVERITY.index(result.status):
            reason = f"Rule `{own.id}` says it of this version alone; the versions since the anchor add nothing graver."
            return replace(rule, result=replace(result, status="pass", reason=reason))
    return rule


def draft_rules(case: RuleInput, rules: Sequence[Rule]) -> dict[str, Draft]:
    """The draft of each of the ``rules``, by the rule's name. Rules for preferences are left out where there are none,
    and so are rules that need a measure which the version does not have.

    A rule that combines others comes after them.
    """
    drafts: dict[str, Draft] = {}
    for rule in rules:
        if rule.preferences_only and case.comparison.pairs is None:
            continue
        if not rule.has_needs(case.comparison.now):
            continue
        drafts[rule.id] = rule.ask(case, *(drafts[name] for name in rule.combines))
    return drafts
