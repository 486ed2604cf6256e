"""Rule `edits`: what happened to rows that were edited, each beside its own past?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from monitor.measures.row_edits import RowEdits
from monitor.rules.drafts import Draft, RowScores, decide_status
from monitor.rules.edit_findings import (
    DAMAGE_TESTS,
    MOVE_TESTS,
    EditFinding,
    find_damage,
    find_harder,
    find_moves,
)
from monitor.rules.rule import Rule, RuleInput
from monitor.rules.significance import correct_for_choice
from monitor.verdict import SEVERITY, RuleResult

if TYPE_CHECKING:
    from monitor.rule_params import RuleParams, Thresholds
    from monitor.rules.parent_comparison import ComparedRows

# Fewer edited rows say nothing: eight coins fall alike once in 256 throws, and many questions are asked.
MIN_EDITS = 8
# A feature that moved in fewer of the edited rows, net, is not what the edit was about.
MIN_MOVED_SHARE = 0.5
# Holm's method corrects the p-values of all rules of both datasets together, which are hardly more than so many.
MOST_TESTS = 40
# So many things are said of the edited rows at most.
NAMED_FINDINGS = 4


def draft(case: RuleInput) -> Draft:
    """Test what edits did, row by row: sign tests of losses, of harm, and of features, corrected for their number.

    Features that moved are a change and at most a warning. Harm, and answers that are harder to learn than they were,
    may stop the version. The effect is the share of the version's rows that went one way, net.
    """
    comparison = case.comparison
    (thresholds,) = case.thresholds
    edits = comparison.edits
    result = RuleResult("edits", comparison.dataset, "skipped", "", unit="share of the rows")
    if edits is None:
        reason = (
            "The parent was accepted by an older release, which recorded no single rows and takes one new row in 128 "
            "for an old one. This rule is asked from the next accepted version on."
        )
        return Draft(replace(result, reason=reason))
    if edits.count < MIN_EDITS:
        reason = f"{_count_rows(edits.count)} edited{', too few to compare' if edits.count else ''}."
        return Draft(replace(result, reason=reason))
    share = min(edits.total / comparison.now.rows, 1.0)
    found = _correct_findings(edits)
    chosen, p_value = _choose(found, share, thresholds, case.params)
    about = "" if edits.coverage == 1 else "about "
    rows = f"{about}{max(edits.total, edits.count):,.0f} rows were edited"
    rows = rows[0].upper() + rows[1:]
    said = _say([finding for finding, p in found if p <= case.params.false_alarm_rate], chosen)
    effect = max(chosen.share * share, 0.0)
    return Draft(
        replace(result, status="pass", statistic=effect, threshold=thresholds.warn, p_value=p_value),
        effect=effect,
        thresholds=thresholds,
        alarm=f"{rows}: {said}.",
        negligible=f"{rows}: {said}. This is {effect:.1%} of all rows, too few to matter.",
        passing=f"{rows}, and not in one direction.",
        happened=f"{rows}: {chosen.words}",
        worst="risky" if chosen.worse else "warn",
        blame=lambda compared: score_edits(compared, edits, chosen),
    )


def score_edits(rows: ComparedRows, edits: RowEdits, finding: EditFinding) -> RowScores:
    """How much each row of a finding has changed: the mean of its features' changes in standard deviations."""
    change = np.abs(edits.values - edits.past_values) / np.where(edits.spread > 0, edits.spread, 1.0)
    scores = np.full(len(rows.evidence.records), np.nan)
    scores[edits.rows[finding.went]] = np.nan_to_num(change).mean(axis=1)[finding.went]
    return RowScores(scores, "standard deviations from its past")


def _correct_findings(edits: RowEdits) -> list[tuple[EditFinding, float]]:
    """Every finding that counts, with its p-value corrected for all that was asked, the least likely first.

    A third of the risk of a false alarm goes to the losses, a third to harm, and a third to features. Two models share
    the part of the losses.
    """
    by_model = find_harder(edits)
    found = [(finding, 3 * len(by_model) * finding.p_value) for finding in by_model if finding.worse]
    found += [(finding, 3 * DAMAGE_TESTS * finding.p_value) for finding in find_damage(edits)]
    moves = [finding for finding in find_moves(edits) if finding.share >= MIN_MOVED_SHARE]
    found += [(finding, 3 * MOVE_TESTS * finding.p_value) for finding in moves]
    return sorted(
        ((finding, correct_for_choice(p, 1)) for finding, p in found), key=lambda item: (item[1], -item[0].share)
    )


def _choose(
    found: Sequence[tuple[EditFinding, float]], share: float, thresholds: Thresholds, params: RuleParams
) -> tuple[EditFinding, float]:
    """The finding that decides: the gravest harm that is large enough to matter, of equally grave ones the one in most
    rows; without harm the likeliest change.
    """
    if not found:
        return EditFinding(1.0, 0.0, "", np.zeros(0, dtype=bool)), 1.0
    harm = [
        (finding, p)
        for finding, p in found
        if finding.worse and p <= params.risky_rate and finding.share * share >= thresholds.warn
    ]
    if harm:
        return min(harm, key=lambda item: (*_rank(item, share, thresholds, params), -item[0].share))
    return max(found, key=lambda item: (item[1] <= params.false_alarm_rate, item[0].share * (item[1] < 1), -item[1]))


def _rank(
    found: tuple[EditFinding, float], share: float, thresholds: Thresholds, params: RuleParams
) -> tuple[int, int]:
    """How grave a finding is, lowest first: after the correction for all rules, and then before it.

    A finding of few rows may concern all of these, and yet not survive that correction.
    """
    finding, p = found
    corrected, alone = (
        decide_status(chance, finding.share * share, thresholds, params) for chance in (min(MOST_TESTS * p, 1.0), p)
    )
    return SEVERITY.index(corrected), SEVERITY.index(alone)


def _count_rows(count: int) -> str:
    return "1 row was" if count == 1 else f"{count or 'No'} rows were"


def _say(findings: Sequence[EditFinding], chosen: EditFinding) -> str:
    """What was found in words: what decides first, then other harm, then features, the most common ones first."""
    ranked = sorted(findings, key=lambda finding: (finding is not chosen, not finding.worse, -finding.share))
    if not ranked:
        return chosen.words
    return "; ".join(
        finding.words if "measured" in finding.words else f"{finding.words} ({finding.share:.0%} of them)"
        for finding in ranked[:NAMED_FINDINGS]
    )


RULE = Rule(
    id="edits",
    order=65,
    title="Edits",
    question="What happened to the rows that were edited?",
    advice="Compare a named row with its past in Git: fields that a script cut, emptied or exchanged; wrong facts.",
    thresholds=("outlier_share",),
    draft=draft,
)
