"""Rule `forecast`: does the entropy law predict a worse model?"""

from __future__ import annotations

from dataclasses import replace

from monitor.law.entropy_law import EntropyLaw, PredictedChange, predict_change
from monitor.rules.drafts import Draft
from monitor.rules.parent_comparison import ParentComparison
from monitor.rules.rule import Rule, RuleInput
from monitor.rules.significance import upper_tail
from monitor.verdict import SCORED_DATASET, RuleResult


def draft(case: RuleInput) -> Draft:
    """Test the change of Z that the law predicts; skipped where the law does not hold. It blames no single rows."""
    comparison, law = case.comparison, case.law
    (tolerance,) = case.thresholds
    result = RuleResult("forecast", comparison.dataset, "skipped", "", unit="Z")
    if comparison.dataset != SCORED_DATASET:
        return Draft(replace(result, reason=f"The law speaks of models trained on {SCORED_DATASET} only."))
    if not law.holds:
        return Draft(replace(result, reason=law.sentence))
    predicted = predict_version_change(comparison, law)
    fall = -predicted.value
    _, p = upper_tail(fall - tolerance.warn, predicted.sd, predicted.degrees_of_freedom)
    interval = f"{predicted.low:+.3f} to {predicted.high:+.3f}"
    numbers = f"the entropy law predicts Z to change by {predicted.value:+.3f} ({interval})"
    return Draft(
        replace(result, status="pass", statistic=predicted.value, threshold=-tolerance.warn, p_value=p),
        effect=fall,
        thresholds=tolerance,
        alarm=f"From R and L {numbers}.",
        negligible=f"From R and L {numbers}, a loss within the tolerance.",
        passing=f"From R and L {numbers}: no loss beyond the tolerance can be told from the noise.",
    )


def predict_version_change(comparison: ParentComparison, law: EntropyLaw) -> PredictedChange:
    """The law's forecast of a version's Z minus its parent's."""
    return predict_change(law, comparison.change_log_r_long, comparison.now.l - comparison.before.l)


RULE = Rule(
    id="forecast",
    order=50,
    title="Forecast",
    question="Does the entropy law predict a worse model?",
    advice="Compare the added rows with the rows they replaced.",
    thresholds=("forecast_fall",),
    draft=draft,
)
