"""Rule `drift`: have small steps, each of which passed, added up since the anchor?"""

from __future__ import annotations

from dataclasses import replace

from monitor.rules.anchor_comparison import AnchorComparison
from monitor.rules.apply import draft_rules
from monitor.rules.drafts import Draft
from monitor.rules.registry import list_rules
from monitor.rules.rule import Rule, RuleInput
from monitor.rules.significance import correct_for_choice, correct_for_looks
from monitor.verdict import SEVERITY, RuleResult


def draft(case: RuleInput) -> Draft:
    """Ask other rules again, of everything that was added since the anchor, and report the gravest.

    A parent moves with every accepted version, so a version that is a little worse than the one before it passes each
    time. The anchor is the last version that a person confirmed, or the baseline, and it stays. All rows added since
    are held against it together. With every version they become more, so evidence grows, and nothing has to be
    remembered.

    The p-value is multiplied by the number of rules that have one (Bonferroni), and then by k(k+1) where k versions
    were accepted since the anchor. So the k-th comparison spends 1/(k(k+1)) = 1/k - 1/(k+1) of the rate of false
    alarms. Over n versions these shares add up to 1 - 1/(n+1): any number of versions together raises no more false
    alarms than one rule may. Thresholds and blamed rows are those of the rule that is reported; one that can only warn
    only warns here. What a rule says of this version alone is not said again.
    """
    anchor = case.anchor
    result = RuleResult("drift", case.comparison.dataset, "skipped", "")
    if isinstance(anchor, str):
        return Draft(replace(result, reason=anchor))
    since = replace(case, comparison=anchor.comparison, thresholds=())
    drafts = draft_rules(since, [rule for rule in list_rules() if rule.over_versions])
    tested = {name: draft for name, draft in drafts.items() if draft.result.p_value is not None}
    if not tested:
        reason = next((draft.result.reason for draft in drafts.values()), "No rule looks at several versions.")
        return Draft(replace(result, reason=f"Nothing to hold against the anchor {anchor.name}: {reason}"))
    corrected = {name: _correct(draft, len(tested), anchor.versions) for name, draft in tested.items()}

    def gravity(name: str) -> tuple[int, float]:
        p = corrected[name].result.p_value or 0.0
        return SEVERITY.index(corrected[name].decide(p, 1, case.params).status), p

    gravest = min(corrected, key=gravity)
    unasked = [name for name, draft in drafts.items() if draft.result.status == "not_assessed"]
    return _tell(corrected[gravest], gravest, anchor, unasked)


def _correct(draft: Draft, tests: int, versions: int) -> Draft:
    """The draft with its p-value corrected for the choice among ``tests`` rules, and for all versions before it."""
    p = correct_for_looks(correct_for_choice(draft.result.p_value or 0.0, tests), versions)
    return replace(draft, result=replace(draft.result, p_value=p))


def _tell(draft: Draft, rule: str, anchor: AnchorComparison, unasked: list[str]) -> Draft:
    """The draft of ``rule`` in the words of this one."""
    versions = "1 version was" if anchor.versions == 1 else f"{anchor.versions} versions were"
    added = anchor.comparison.now.added or 0
    since = f"since the anchor {anchor.name} ({versions} accepted in between, {added:,} rows are new)"
    start = f"Of all rows added {since}, rule `{rule}` says: "
    limits = f" Too few rows of the anchor are left for: {', '.join(unasked)}." if unasked else ""
    return replace(
        draft,
        result=replace(draft.result, id="drift"),
        alarm=(
            f"Small steps have added up {since}. Of all these rows, rule `{rule}` says: {draft.alarm} If they are "
            "wanted, confirm the version with `entropylaw accept --anchor`."
        ),
        negligible=f"{start}{draft.negligible}{limits}",
        passing=f"{start}{draft.passing}{limits}",
        asks_again=rule,
    )


RULE = Rule(
    id="drift",
    order=110,
    title="Drift",
    question="Have small steps added up since the last version that a person confirmed?",
    advice=(
        "Compare the version with the anchor that the reason names. If the rows are wanted, confirm the version with "
        "`entropylaw accept --anchor`; where this rule stops it, waive the rule first."
    ),
    thresholds=(),
    draft=draft,
)
