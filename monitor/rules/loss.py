"""Rule `loss`: are the added rows harder for the base model than kept rows like them?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from monitor.measures.evidence import row_losses
from monitor.rules.drafts import Draft, RowScores
from monitor.rules.rank_shift import RankQuestion, answer_questions, describe_answer, explain_no_like_rows
from monitor.rules.rule import Rule, RuleInput
from monitor.verdict import RuleResult

if TYPE_CHECKING:
    from monitor.rules.parent_comparison import ComparedRows

QUESTION = RankQuestion("loss", "prompt", "high", "have a higher loss", graded=True)
# Fewer added rows with a loss say nothing.
MIN_ROWS = 5


def draft(case: RuleInput) -> Draft:
    """Test the rank of each row's loss among kept rows with like prompts: the paper's consistency at equal content.

    Its effect is how far the added rows move the version's mean loss, beyond what as many like rows would.
    """
    happened = "The added rows are harder to learn than rows like them"
    return draft_harder_rows(case, "loss", QUESTION, "L", happened)


def draft_harder_rows(case: RuleInput, rule: str, question: RankQuestion, mean: str, happened: str) -> Draft:
    """The draft of ``rule``, which asks ``question`` of a model's losses, in nats per response token.

    ``mean``: how the mean loss of the version is called. ``happened``: see `Draft`.
    """
    comparison = case.comparison
    (thresholds,) = case.thresholds
    result = RuleResult(rule, comparison.dataset, "skipped", "", unit="nats")
    if hindrance := explain_no_like_rows(case, result):
        return Draft(hindrance)
    like = comparison.like
    assert like is not None  # explained above
    loss = like.features[question.feature]
    usual = like.middle_of_like_rows(loss, question.like)
    compared = ~np.isnan(loss) & ~np.isnan(usual) & like.is_fresh
    if np.count_nonzero(compared) < MIN_ROWS:
        count = np.count_nonzero(compared)
        reason = f"{f'Only {count}' if count else 'None'} of the added rows have a loss and kept rows like them."
        return Draft(replace(result, reason=reason))
    answers = answer_questions(like, [question], comparison.batches)
    if not answers:
        return Draft(replace(result, reason="All losses are the same."))
    gravest = min(answers, key=lambda answer: answer.found.p_value)
    rise = float((loss[compared] - usual[compared]).mean())
    effect = rise * comparison.share_added
    numbers = (
        f"{describe_answer(gravest, like)}. Their mean loss is {loss[compared].mean():.3f} nats per token, that of the "
        f"rows like them {usual[compared].mean():.3f}"
    )
    return Draft(
        replace(result, status="pass", statistic=effect, threshold=thresholds.warn, p_value=gravest.found.p_value),
        effect=effect,
        thresholds=thresholds,
        alarm=f"{numbers}: {mean} moves by {effect:+.3f}.",
        negligible=f"{numbers}: {mean} moves by {effect:+.4f} only, too little to matter.",
        passing=f"{numbers}. An honest batch may differ as much.",
        happened=happened,
        worst=like.worst_of_graded(),
        blame=lambda rows: _score_beside_like_rows(case, question, rows),
    )


def score_losses(rows: ComparedRows) -> RowScores:
    """The loss of each row; nan where a row was not probed."""
    return RowScores(row_losses(rows.evidence), "nats per token")


def _score_beside_like_rows(case: RuleInput, question: RankQuestion, rows: ComparedRows) -> RowScores:
    like = case.comparison.like
    assert like is not None  # an alarm has rows
    beside = np.full(len(rows.evidence.records), np.nan)
    loss = like.features[question.feature]
    excess = np.where(like.is_fresh, loss - like.middle_of_like_rows(loss, question.like), np.nan)
    # Rows that are no harder than like ones are not behind the alarm.
    beside[like.rows] = np.where(excess > 0, excess, np.nan)
    return RowScores(beside, "nats above like rows")


RULE = Rule(
    id="loss",
    order=20,
    title="Loss",
    question="Are the added rows harder for the base model than kept rows like them?",
    advice="Look for damaged text: a wrong decoder, scrambled words, turns in the wrong order, wrong facts.",
    thresholds=("loss_rise",),
    draft=draft,
    over_versions=True,
)
