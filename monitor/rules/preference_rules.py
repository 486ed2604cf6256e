"""Two rules for preferences: pairs that the parent held the other way round, and pairs that prefer the opposite."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from monitor.measures.preferences import PairComparison
from monitor.rule_params import RuleParams
from monitor.rules.drafts import Draft
from monitor.rules.significance import upper_tail
from monitor.verdict import RuleResult

if TYPE_CHECKING:
    from monitor.rules.apply import Comparison

# Fewer pairs say too little about what is normal, or about their own mean.
MIN_PAIRS = 10


def judge_pairs(comparison: Comparison, pairs: PairComparison, params: RuleParams) -> list[Draft]:
    return [_flipped(comparison, pairs, params), _margin(comparison, pairs, params)]


def _flipped(comparison: Comparison, pairs: PairComparison, params: RuleParams) -> Draft:
    """More added than kept pairs stand in the parent with their answers exchanged (Fisher's exact test).

    Whatever the labels mean and however hard they are to predict, a pair that was there before and now prefers the
    other answer was relabelled. The kept pairs tell how many stand both ways round anyway.
    """
    from scipy import stats

    result = RuleResult("flipped", comparison.dataset, "skipped", "", unit="share of the added pairs")
    if not pairs.added:
        return Draft(replace(result, reason="No pairs were added."))
    if pairs.kept < MIN_PAIRS:
        reason = f"Only {pairs.kept} pairs of the parent to compare with."
        return Draft(replace(result, status="not_assessed", reason=reason))
    both = pairs.added_reversed + pairs.kept_reversed
    p = float(stats.hypergeom.sf(pairs.added_reversed - 1, pairs.added + pairs.kept, both, pairs.added))
    usual = pairs.kept_reversed / pairs.kept
    found = pairs.added_reversed / pairs.added
    # Of the pairs that were flipped all are found, of the others the usual share.
    flipped = max(0.0, (found - usual) / (1 - usual)) if usual < 1 else 0.0
    effect = flipped * comparison.share_added
    numbers = (
        f"{pairs.added_reversed} of the {pairs.added} added pairs stand in the parent with chosen and rejected "
        f"exchanged ({found:.1%}, against {usual:.1%} of the kept pairs)"
    )
    return Draft(
        replace(result, status="pass", statistic=found, threshold=_count_limit(pairs, params) / pairs.added, p_value=p),
        effect=effect,
        band=params.flipped_share,
        finding=f"{numbers}: {effect:.1%} of the version's preferences were reversed.",
        slight=f"{numbers}, too few to matter.",
        calm=f"{numbers}, no more than chance allows.",
    )


def _count_limit(pairs: PairComparison, params: RuleParams) -> int:
    """The smallest number of reversed pairs among the added ones that chance does not explain."""
    import numpy as np
    from scipy import stats

    counts = np.arange(pairs.added + 1)
    p = stats.hypergeom.sf(counts - 1, pairs.added + pairs.kept, counts + pairs.kept_reversed, pairs.added)
    beyond = np.flatnonzero(p <= params.false_alarm_rate)
    return int(beyond[0]) if len(beyond) else pairs.added


def _margin(comparison: Comparison, pairs: PairComparison, params: RuleParams) -> Draft:
    """The added pairs prefer the opposite of what the kept ones prefer (Student's t of their mean score below zero).

    An honest batch of another kind may prefer less clearly, even not at all as far as length and agreement can tell.
    It does not prefer the opposite.
    """
    from scipy import stats

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
    effect = min(1.0, max(0.0, (1 - mean) / 2)) * comparison.share_added
    numbers = (
        f"In length and agreement the chosen answers of the {len(scores)} added pairs differ from the rejected ones by "
        f"{mean:+.2f} times what is usual in the {direction.pairs} kept pairs"
    )
    return Draft(
        replace(result, status="pass", statistic=mean, threshold=limit, p_value=p),
        effect=effect,
        band=params.flipped_share,
        finding=f"{numbers}: the opposite (limit {limit:+.2f}), as if {effect:.1%} of all pairs were flipped.",
        slight=f"{numbers}: the opposite, but in too few pairs to matter.",
        calm=f"{numbers}: not the opposite.",
    )
