"""Rule `both_rise`: is the data at once more redundant and harder to learn, like the paper's x5?"""

from __future__ import annotations

import math
from dataclasses import replace

from monitor.rule_params import Thresholds
from monitor.rules.drafts import Draft, refuse_result
from monitor.rules.loss import score_losses
from monitor.rules.rule import Rule, RuleInput
from monitor.verdict import RuleResult


def draft(case: RuleInput, redundancy: Draft, loss: Draft) -> Draft:
    """Test whether R and L rise together, as in the paper's x5.

    The null hypothesis is a benign update. Its two p-values are independent, because R is measured on all rows by a
    codec and L on a sample of them by a model. So both lie below p with probability p squared: two pieces of weak
    evidence together are strong. The square is taken only where each of the two is significant on its own. Where only
    one of them rises, a chance rise of the other must not count.
    """
    comparison, params = case.comparison, case.params
    result = RuleResult("both_rise", comparison.dataset, "skipped", "", unit="times the risky threshold")
    if any(math.isnan(number) for part in (redundancy, loss) for number in (part.effect, part.result.p_value or 0.0)):
        return Draft(refuse_result(result))
    p_values = [part.result.p_value for part in (redundancy, loss) if part.result.p_value is not None]
    if len(p_values) < 2:
        return Draft(replace(result, reason=f"Needs both R and L of the added rows. {loss.result.reason}"))
    weaker = max(p_values)
    p = weaker**2 if weaker <= params.false_alarm_rate else weaker
    # Both effects on one scale, on which 1 is the measure's own risky threshold.
    parts = (redundancy, loss)
    effect = min(part.effect / part.thresholds.risky if part.thresholds.risky else math.inf for part in parts)
    warn = max(part.thresholds.warn / part.thresholds.risky if part.thresholds.risky else 0.0 for part in parts)
    numbers = _describe_rises(case, loss)
    return Draft(
        replace(result, status="pass", statistic=effect, threshold=1.0, p_value=p),
        effect=effect,
        thresholds=Thresholds(warn, 1.0),
        alarm=f"{numbers}: both rise, as in the paper's x5, the sign of repetitive and inconsistent data.",
        negligible=f"{numbers}: both rise, but by too little to matter.",
        passing=f"{numbers}: they do not both rise beyond what benign updates do.",
        blame=score_losses,
    )


def _describe_rises(case: RuleInput, loss: Draft) -> str:
    now, before = case.comparison.now, case.comparison.before
    ratios = f"Long R went from {before.r_long:.3f} to {now.r_long:.3f}"
    if case.comparison.pairs is None:
        return f"{ratios} and L from {before.l:.3f} to {now.l:.3f} nats"
    # L of preferences is a KTO loss. Their rows are compared by the loss of the chosen answers instead.
    return f"{ratios} and the loss of chosen answers by {loss.effect:+.3f} nats"


RULE = Rule(
    id="both_rise",
    order=40,
    title="R and L both rise",
    question="Is the data at once more redundant and harder to learn?",
    advice="Look for damaged text that also repeats: often one source merged again through another decoder.",
    thresholds=(),
    draft=draft,
    combines=("redundancy", "loss"),
)
