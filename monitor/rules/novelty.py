"""Rule `novelty`: are there rows of a new source, or of a kind that the parent did not have?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from monitor.like_rows.like_comparison import LikeComparison
from monitor.like_rows.rank_comparison import exceed_probability
from monitor.rules.drafts import Draft, RowScores
from monitor.rules.rank_shift import explain_no_like_rows, say_size
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
    labelled = int(np.count_nonzero(like.is_new_source & like.is_new))
    new = int(np.count_nonzero(like.is_new))
    # A new source is a fact and no estimate.
    p_value = 0.0 if labelled else exceed_probability(new, added, USUAL_SHARE, like.kept)
    effect = new / added * case.comparison.share_added
    numbers = f"Of the {added:,} added rows read, {_tell_kinds(labelled, new)}"
    return Draft(
        replace(result, status="pass", statistic=effect, threshold=thresholds.warn, p_value=p_value),
        effect=effect,
        thresholds=thresholds,
        alarm=(
            f"{numbers}. {say_size(effect)} There are no older rows to compare them with{_describe_alone(like)}. If "
            "they are wanted, accept the version: the next rows of this kind are then compared with these."
        ),
        negligible=f"{numbers}. These are too few to matter.",
        passing=f"{numbers}. An honest batch may have as many." if new else "All added rows are like kept rows.",
        happened=numbers,
        worst="warn",
        blame=lambda rows: _name_new(like, len(rows.evidence.records)),
    )


def _tell_kinds(labelled: int, new: int) -> str:
    unlike = new - labelled
    come, have = "comes" if labelled == 1 else "come", "has" if unlike == 1 else "have"
    parts = [f"{labelled:,} {come} from a source that the parent did not have"] if labelled else []
    if unlike:
        parts.append(f"{unlike:,} {have} prompts unlike those of any kept row")
    return ", and ".join(parts)


def _describe_alone(like: LikeComparison) -> str:
    """What can be said of new rows without others like them."""
    repeats = int(np.count_nonzero(like.features["answer elsewhere"][like.is_new] > 0))
    ends = like.features["answer ending"][like.is_new]
    cut = int(np.count_nonzero(ends == 0))
    return f"; {repeats:,} of the new rows share their answer with another row, and the answers of {cut:,} break off"


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
