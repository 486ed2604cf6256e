"""Rule `novelty`: are there rows of a new source, or of a kind that the parent did not have?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from monitor.like_rows.like_comparison import LikeComparison
from monitor.like_rows.rank_test import exceed_probability
from monitor.rules.drafts import Draft, RowScores
from monitor.rules.rank_shift import explain_no_like_rows
from monitor.rules.rule import Rule, RuleInput
from monitor.verdict import RuleResult

# Of honest rows, so many seem new by chance: the share of the kept rows that lies beyond the limit, and a few beside.
USUAL_SHARE = 0.02


def draft(case: RuleInput) -> Draft:
    """Say how many rows are new. New is not worse: it only warns, and once accepted such rows have rows like them."""
    (thresholds,) = case.thresholds
    result = RuleResult("novelty", case.comparison.dataset, "skipped", "", unit="share of the rows")
    if hindrance := explain_no_like_rows(case, result):
        return Draft(hindrance)
    like = case.comparison.like
    assert like is not None  # explained above
    added = len(like.rows) - like.kept
    labelled, new = (int(np.count_nonzero(flags)) for flags in (like.is_new_source, like.is_new))
    # A new source is a fact and no estimate.
    p_value = 0.0 if labelled else exceed_probability(new, added, USUAL_SHARE, like.kept)
    effect = new / added * case.comparison.share_added
    numbers = f"{new:,} of the {added:,} added rows read are new: {_tell_kinds(labelled, new)}"
    return Draft(
        replace(result, status="pass", statistic=effect, threshold=thresholds.warn, p_value=p_value),
        effect=effect,
        thresholds=thresholds,
        alarm=(
            f"{numbers}. They have no kept rows like them to be compared with{_describe_alone(like)}; if they are "
            "wanted, accept the version: from the next one on, rows of this kind have rows like them."
        ),
        negligible=f"{numbers}, too few to matter.",
        passing=f"{numbers}, no more than an honest batch may have." if new else "All added rows are like kept rows.",
        worst="warn",
        blame=lambda rows: _name_new(like, len(rows.evidence.records)),
    )


def _tell_kinds(labelled: int, new: int) -> str:
    parts = [f"{labelled:,} of a source that the parent did not have"] if labelled else []
    if new - labelled:
        parts.append(f"{new - labelled:,} with prompts that are like no kept row's")
    return " and ".join(parts) or "none"


def _describe_alone(like: LikeComparison) -> str:
    """What can be said of new rows without others like them."""
    repeats = int(np.count_nonzero(like.features["answer elsewhere"][like.is_new] > 0))
    ends = like.features["answer ending"][like.is_new]
    cut = int(np.count_nonzero(ends == 0))
    return f" ({repeats:,} share their answer with another row, {cut:,} do not end like a sentence, a list or code)"


def _name_new(like: LikeComparison, rows: int) -> RowScores:
    nearness = np.full(rows, np.nan)
    new = np.flatnonzero(like.is_new)
    nearness[like.rows[new]] = like.by_prompt.nearness[new]
    return RowScores(nearness, "cosine to like rows", highest=False)


RULE = Rule(
    id="novelty",
    order=82,
    title="Novelty",
    question="Are there rows of a new source, or of a kind that the parent did not have?",
    advice="Read some of the named rows. If this kind of data is wanted, accept the version.",
    thresholds=("outlier_share",),
    draft=draft,
)
