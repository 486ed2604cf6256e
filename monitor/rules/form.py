"""Rule `form`: are the added rows shaped like the kept ones?"""

from __future__ import annotations

from monitor.rules.drafts import Draft
from monitor.rules.outlier_share import RowFeature, draft_outlier_share
from monitor.rules.rule import Rule, RuleInput

FEATURES = (
    RowFeature("answer endings", "end their answers where answers do not end", "bits per ending"),
    RowFeature("an answer's ending", "break off an answer where answers do not end", "bits"),
    RowFeature("short answers", "have shorter answers than hardly any kept row has", "-log characters"),
    RowFeature("short prompts", "have shorter prompts than hardly any kept row has", "-log characters"),
    RowFeature("roles", "have their roles in another order than the kept rows", "bits"),
    RowFeature("repetition", "repeat themselves in their answers", "share of the words"),
)


def draft(case: RuleInput) -> Draft:
    """Count outliers by length, by how answers end, by the order of roles, and by how much a row repeats itself."""
    return draft_outlier_share("form", case, FEATURES)


RULE = Rule(
    id="form",
    order=80,
    title="Form",
    question="Are the added rows shaped like the kept ones?",
    advice="Look for answers cut short or all but empty, roles exchanged, and answers that repeat their prompts.",
    thresholds="outlier_share",
    draft=draft,
)
