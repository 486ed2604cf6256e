"""Rule `phrases`: does a phrase stand in many added rows, and hardly in rows like them?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from monitor.rules.drafts import Draft, RowScores
from monitor.rules.rank_shift import explain_no_like_rows, say_size
from monitor.rules.rule import Rule, RuleInput
from monitor.rules.significance import correct_for_choice
from monitor.verdict import RuleResult


def draft(case: RuleInput) -> Draft:
    """Report the phrase that bursts in most. It is counted and never shown, because a verdict holds no text.

    A phrase in many rows is different, which is not worse: a disclaimer, a greeting and a placeholder are phrases too.
    The tokens of chat templates, which are never wanted, are counted by the rule ``damage``.
    """
    (thresholds,) = case.thresholds
    result = RuleResult("phrases", case.comparison.dataset, "skipped", "", unit="share of the rows")
    if hindrance := explain_no_like_rows(case, result):
        return Draft(hindrance)
    like = case.comparison.like
    assert like is not None  # explained above
    found = [(phrase, side) for side, phrases in like.phrases.items() for phrase in phrases[:1]]
    if not found:
        reason = "No phrase stands in many more of the added rows than of the kept rows."
        passed = replace(result, status="pass", statistic=0.0, threshold=thresholds.warn, p_value=1.0)
        return Draft(passed, passing=reason)
    phrase, side = min(found, key=lambda item: item[0].p_value)
    p_value = correct_for_choice(phrase.p_value, len(like.phrases))
    compared = int(np.count_nonzero(~like.is_new[like.kept :]))
    effect = max(phrase.found - phrase.expected, 0.0) / compared * case.comparison.share_added
    numbers = (
        f"The same phrase stands in the {side} of {phrase.found:,} of the {compared:,} added rows compared; going by "
        f"the kept rows most like them, {phrase.expected:.0f} would have it"
    )
    scores = np.full(len(like.rows), np.nan)
    scores[np.flatnonzero(~like.is_new[like.kept :])[phrase.rows] + like.kept] = 1.0

    def blame_rows(rows: int) -> RowScores:
        whole = np.full(rows, np.nan)
        whole[like.rows] = scores
        return RowScores(whole, "the phrase")

    return Draft(
        replace(result, status="pass", statistic=effect, threshold=thresholds.warn, p_value=p_value),
        effect=effect,
        thresholds=thresholds,
        alarm=f"{numbers}. {say_size(effect)} All rows that are named have the phrase.",
        negligible=f"{numbers}. These are too few to matter.",
        passing=f"{numbers}. An honest batch may differ as much.",
        happened=f"The same phrase stands in the {side} of {phrase.found:,} of the added rows",
        worst="warn",
        blame=lambda rows: blame_rows(len(rows.evidence.records)),
    )


RULE = Rule(
    id="phrases",
    order=80,
    title="Phrases",
    question="Does a phrase stand in many added rows, and hardly in rows like them?",
    advice="Read the named rows for what they have in common: a disclaimer, a greeting, a placeholder, a template.",
    thresholds=("outlier_share",),
    draft=draft,
    over_versions=True,
)
