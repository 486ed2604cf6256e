"""Rule `style`: are the added rows written otherwise than kept rows like them?"""

from __future__ import annotations

from monitor.measures.side_features import SIDE_FEATURES
from monitor.rules.drafts import Draft
from monitor.rules.rank_shift import RankQuestion, draft_rank_shift
from monitor.rules.rule import Rule, RuleInput

# Both sides of every side feature: an answer may be longer or shorter than those of like rows.
QUESTIONS = (
    *(
        RankQuestion(
            feature.name,
            "prompt" if feature.side == "answers" else "answer",
            side,
            f"have {feature.describe(rises=side == 'high')}",
        )
        for feature in SIDE_FEATURES
        for side in ("high", "low")
    ),
    RankQuestion("characters", "prompt", "high", "are spelt more unusually"),
    RankQuestion("answer characters", "prompt", "high", "have answers that are spelt more unusually"),
    RankQuestion("rare characters", "prompt", "high", "hold more rare characters"),
    RankQuestion("word pairs", "prompt", "high", "have more pairs of neighbouring words that are found nowhere else"),
)


def draft(case: RuleInput) -> Draft:
    """Compare plain features of prompts and answers with those of like rows. Different is not worse: it only warns."""
    (share,) = case.thresholds
    return draft_rank_shift("style", case, QUESTIONS, share, worst="warn")


RULE = Rule(
    id="style",
    order=75,
    title="Style",
    question="Are the added rows written otherwise than kept rows like them?",
    advice="Open the named rows beside older rows of the same kind. If the new style is wanted, accept the version.",
    thresholds=("outlier_share",),
    draft=draft,
    over_versions=True,
)
