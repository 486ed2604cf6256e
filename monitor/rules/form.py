"""Rule `form`: are the added rows shaped like the kept ones?"""

from __future__ import annotations

from monitor.rules.drafts import Draft
from monitor.rules.outlier_share import FeatureWords, draft_outlier_share
from monitor.rules.rule import Rule, RuleInput

FEATURES = (
    FeatureWords("answer endings", "end their answers unlike almost all kept rows", "bits per ending"),
    FeatureWords("an answer's ending", "have an answer that ends unlike those of almost all kept rows", "bits"),
    FeatureWords("short answers", "have shorter answers than almost all kept rows", "-log characters"),
    FeatureWords("short prompts", "have shorter prompts than almost all kept rows", "-log characters"),
    FeatureWords("roles", "have their roles in another order than the kept rows", "bits"),
    FeatureWords("repetition", "repeat themselves in their answers", "share of the runs of words"),
)


def draft(case: RuleInput) -> Draft:
    """Count outliers by length, by how answers end, by the order of roles, and by how much a row repeats itself."""
    (share,) = case.thresholds
    return draft_outlier_share("form", case, FEATURES, share)


RULE = Rule(
    id="form",
    order=80,
    title="Form",
    question="Are the added rows shaped like the kept ones?",
    advice="Look for answers cut short or all but empty, roles exchanged, and answers that repeat their prompts.",
    thresholds=("outlier_share",),
    draft=draft,
    over_versions=True,
)
