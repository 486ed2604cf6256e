"""Rule `wording`: are the added rows written like the kept ones?"""

from __future__ import annotations

from monitor.rules.drafts import Draft
from monitor.rules.outlier_share import EXCESS, FeatureWords, draft_outlier_share
from monitor.rules.rule import Rule, RuleInput

FEATURES = (
    FeatureWords("characters", "are spelt unlike almost all kept rows", "bits per character"),
    FeatureWords("answer characters", "have answers spelt unlike almost all kept rows'", "bits per character"),
    FeatureWords("rare characters", "hold characters that kept rows hardly have", "share of characters"),
    FeatureWords("word pairs", "put words together that do not stand together in kept rows", EXCESS),
)


def draft(case: RuleInput) -> Draft:
    """Count outliers by how a row is spelt, and by which words stand side by side."""
    (share,) = case.thresholds
    return draft_outlier_share("wording", case, FEATURES, share)


RULE = Rule(
    id="wording",
    order=70,
    title="Wording",
    question="Are the added rows written like the kept ones?",
    advice="Look for a wrong decoder, markup left in, text in another language, and noise.",
    thresholds=("outlier_share",),
    draft=draft,
    over_versions=True,
)
