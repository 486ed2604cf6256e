"""Rule `copies`: do the added rows say again what rows of the parent say?"""

from __future__ import annotations

from monitor.rules.drafts import Draft
from monitor.rules.outlier_share import EXCESS, FeatureWords, draft_outlier_share
from monitor.rules.rule import Rule, RuleInput

FEATURES = (
    FeatureWords("row repeated", "repeat runs of words that stand in kept rows", EXCESS),
    FeatureWords("prompt repeated", "have prompts that stand in kept rows", EXCESS),
    FeatureWords("answer repeated", "have answers that stand in kept rows", EXCESS),
)


def draft(case: RuleInput) -> Draft:
    """Count outliers by how much of a row stands in kept rows. A row that was added twice counts twice."""
    (share,) = case.thresholds
    return draft_outlier_share("copies", case, FEATURES, share, with_copies=True)


RULE = Rule(
    id="copies",
    order=60,
    title="Copies",
    question="Do the added rows say again what rows of the parent say?",
    advice="Look for rows merged twice, copies cleaned by another program, and new answers to old prompts.",
    thresholds=("outlier_share",),
    draft=draft,
    over_versions=True,
)
