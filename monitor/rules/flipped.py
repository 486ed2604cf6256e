"""Rule `flipped`: do added pairs prefer the answer that the parent rejected?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from monitor.rules.drafts import Draft, RowScores
from monitor.rules.pairs import MIN_PAIRS, PairComparison
from monitor.rules.rule import Rule, RuleInput
from monitor.verdict import RuleResult

if TYPE_CHECKING:
    from monitor.rule_params import RuleParams


def draft(case: RuleInput) -> Draft:
    """Test whether more added than kept pairs stand in the parent with their answers exchanged (Fisher's exact test).

    A pair that the parent had and that now prefers the other answer was relabelled. This needs no idea of what the
    labels mean, nor of what predicts them. Some pairs stand in the data both ways round anyway; how many, the kept
    pairs tell.
    """
    from scipy import stats

    comparison, params = case.comparison, case.params
    (thresholds,) = case.thresholds
    pairs = comparison.pairs
    assert pairs is not None  # this rule is asked of preferences only
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
    # Every pair that was flipped is found, and the usual share of the others.
    flipped = max((found - usual) / (1 - usual), 0.0) if usual < 1 else 0.0
    effect = flipped * comparison.share_added
    numbers = (
        f"{pairs.added_reversed} of the {pairs.added} added pairs stand in the parent with chosen and rejected "
        f"exchanged ({found:.1%}, against {usual:.1%} of the kept pairs)"
    )
    return Draft(
        replace(result, status="pass", statistic=found, threshold=_count_limit(pairs, params) / pairs.added, p_value=p),
        effect=effect,
        thresholds=thresholds,
        alarm=f"{numbers}: {effect:.1%} of the version's preferences were reversed.",
        negligible=f"{numbers}, too few to matter.",
        passing=f"{numbers}, no more than chance allows.",
        happened=f"{pairs.added_reversed:,} of the added pairs prefer the answer that the parent rejected",
        blame=lambda rows: RowScores(np.where(pairs.is_reversed, 1.0, np.nan), "pair reversed"),
    )


def _count_limit(pairs: PairComparison, params: RuleParams) -> int:
    """The smallest number of reversed pairs among the added ones that chance does not explain."""
    from scipy import stats

    counts = np.arange(pairs.added + 1)
    p = stats.hypergeom.sf(counts - 1, pairs.added + pairs.kept, counts + pairs.kept_reversed, pairs.added)
    beyond = np.flatnonzero(p <= params.false_alarm_rate)
    return int(beyond[0]) if len(beyond) else pairs.added


RULE = Rule(
    id="flipped",
    order=90,
    title="Flipped pairs",
    question="Do added pairs prefer what the parent rejected?",
    advice="Look for the columns chosen and rejected exchanged, and for labels of another meaning.",
    thresholds=("flipped_share",),
    draft=draft,
    preferences_only=True,
    over_versions=True,
)
