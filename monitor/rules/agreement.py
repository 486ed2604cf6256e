"""Rule `agreement`: do the answers of the added rows fit their prompts?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from monitor.rules.drafts import Draft, RowScores, decide_status
from monitor.rules.mean_shift import RowMeasure, draft_mean_shift
from monitor.rules.outlier_share import FeatureWords, draft_outlier_share
from monitor.rules.rule import Rule, RuleInput
from monitor.verdict import SEVERITY

if TYPE_CHECKING:
    from monitor.rule_params import RuleParams
    from monitor.rules.parent_comparison import ComparedRows

MISMATCH = FeatureWords("answer mismatch", "have answers that fit other rows' prompts better", "log-odds")


def draft(case: RuleInput) -> Draft:
    """Test the mean agreement and the share of outliers, and report the graver.

    The mean sees many rows that fit a little less; outliers are few rows that do not fit at all.
    """
    comparison, params = case.comparison, case.params
    fall, share = case.thresholds
    measure = RowMeasure(
        kept=comparison.agreement_kept,
        added=comparison.agreement_added,
        expected=len(comparison.agreement_added),
        found=int(np.count_nonzero(~np.isnan(comparison.agreement_added))),
        missing="the others have a blank prompt or answer",
        name="prompt-response agreement",
        unit="cosine",
        sign=-1.0,
        worse="further from their prompts than an honest batch of another topic",
        blank="All prompts, or all answers, are the same: agreement says nothing.",
    )
    topics = case.calibration.topic_agreement
    mean = draft_mean_shift("agreement", comparison, measure, topics, fall, params)
    outliers = draft_outlier_share("agreement", case, [MISMATCH], share)
    return replace(take_graver(mean, outliers, params), blame=lambda rows: _score_answers(case, rows))


def take_graver(mean: Draft, outliers: Draft, params: RuleParams) -> Draft:
    """The graver of two drafts. Its p-value is doubled, because there was a choice of two."""
    if outliers.result.p_value is None or mean.result.status == "not_assessed":
        return mean
    if mean.result.p_value is None:
        return outliers
    doubled = [
        replace(draft, result=replace(draft.result, p_value=min(1.0, 2 * (draft.result.p_value or 0.0))))
        for draft in (mean, outliers)
    ]

    def gravity(draft: Draft) -> tuple[int, float]:
        p = draft.result.p_value or 0.0
        return SEVERITY.index(decide_status(p, draft.effect, draft.thresholds, params)), p

    return min(doubled, key=gravity)


def _score_answers(case: RuleInput, rows: ComparedRows) -> RowScores:
    """The answer mismatch of each row; where there are too few kept rows to learn it from, its agreement (cosine)."""
    features = case.comparison.features
    mismatch = None if features is None else features.features[MISMATCH.name]
    if mismatch is None or np.isnan(mismatch[rows.split.is_added]).all():
        return RowScores(rows.evidence.row_agreement, "cosine", highest=False)
    return RowScores(mismatch, MISMATCH.unit)


RULE = Rule(
    id="agreement",
    order=30,
    title="Agreement",
    question="Do the answers of the added rows fit their prompts?",
    advice="Look for answers of other prompts, stock answers, and answers cut short.",
    thresholds=("agreement_fall", "outlier_share"),
    draft=draft,
    over_versions=True,
)
