"""Rule `second_loss`: are the added rows harder for the second model than kept rows like them?"""

from __future__ import annotations

from monitor.like_rows.like_comparison import SECOND_LOSS
from monitor.rules.drafts import Draft
from monitor.rules.loss import draft_harder_rows
from monitor.rules.rank_shift import RankQuestion
from monitor.rules.rule import Rule, RuleInput

QUESTION = RankQuestion(SECOND_LOSS, "prompt", "high", "have a higher loss under the second model", graded=True)


def draft(case: RuleInput) -> Draft:
    """Ask what the rule `loss` asks, of the losses of a second model: a real language model that only reads.

    It is asked only where params.yaml names one. Such a model sees wrong facts and answers of other rows, which a
    small one does not; the small one sees damaged text better.
    """
    happened = "The added rows are harder for the second model than rows like them"
    return draft_harder_rows(case, "second_loss", QUESTION, "the mean of the version", happened)


RULE = Rule(
    id="second_loss",
    order=26,
    title="Loss of the second model",
    question="Are the added rows harder for the second model than kept rows like them?",
    advice="Read the rows: wrong facts or numbers, answers of other rows, another language, damaged text.",
    thresholds=("loss_rise",),
    draft=draft,
    needs="second_loss",
    over_versions=True,
)
