"""Rule `margin`: do the added pairs prefer the opposite of what the kept ones prefer?"""

from __future__ import annotations

import math
from dataclasses import replace

from monitor.rules.drafts import Draft, RowScores
from monitor.rules.pairs import MIN_PAIRS
from monitor.rules.rule import Rule, RuleInput
from monitor.rules.significance import upper_tail
from monitor.verdict import RuleResult


def draft(case: RuleInput) -> Draft:
    """Test whether the mean score of the added pairs lies below zero (Student's t).

    A score is 1 for a pair that prefers what the kept pairs prefer, and -1 for one that prefers the opposite, as far as
    length and agreement can tell. An honest batch of another kind may prefer less clearly, and then scores near 0. It
    does not prefer the opposite.
    """
    from scipy import stats

    comparison, params = case.comparison, case.params
    (thresholds,) = case.thresholds
    pairs = comparison.pairs
    assert pairs is not None  # this rule is asked of preferences only
    result = RuleResult("margin", comparison.dataset, "skipped", "", unit="of the kept pairs' margin")
    direction, scores = pairs.direction, pairs.scores_added
    if not pairs.added:
        return Draft(replace(result, reason="No pairs were added."))
    if direction is None or direction.p_value > params.risky_rate:
        blind = "Neither length nor agreement tells the chosen from the rejected answers of the kept pairs"
        return Draft(replace(result, reason=f"{blind}: nothing to hold the added ones against."))
    if len(scores) < MIN_PAIRS:
        return Draft(replace(result, reason=f"Only {len(scores)} added rows are pairs with text: too few to tell."))
    mean, error = float(scores.mean()), float(scores.std(ddof=1)) / math.sqrt(len(scores))
    _, p = upper_tail(-mean, error, len(scores) - 1)
    limit = -float(stats.t.isf(params.false_alarm_rate, len(scores) - 1)) * error
    # Sound pairs score 1 on average and flipped ones -1.
    effect = min(max((1 - mean) / 2, 0.0), 1.0) * comparison.share_added
    numbers = (
        f"In length and agreement the chosen answers of the {len(scores)} added pairs differ from the rejected ones by "
        f"{mean:+.2f} times what is usual in the {direction.pairs} kept pairs"
    )
    return Draft(
        replace(result, status="pass", statistic=mean, threshold=limit, p_value=p),
        effect=effect,
        thresholds=thresholds,
        alarm=f"{numbers}: the opposite (limit {limit:+.2f}), as if {effect:.1%} of all pairs were flipped.",
        negligible=f"{numbers}: the opposite, but in too few pairs to matter.",
        passing=f"{numbers}: not the opposite.",
        happened="The added pairs prefer the opposite of what the other pairs prefer",
        blame=lambda rows: RowScores(pairs.scores, result.unit, highest=False),
    )


RULE = Rule(
    id="margin",
    order=100,
    title="Margin",
    question="Do the added pairs prefer the opposite of what the kept ones prefer?",
    advice="Look for exchanged columns, and for another scale of grades: is the best grade the highest or the lowest?",
    thresholds=("flipped_share",),
    draft=draft,
    preferences_only=True,
    over_versions=True,
)
