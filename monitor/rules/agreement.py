"""Rule `agreement`: do the answers of the added rows fit their prompts as well as those of kept rows like them?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from monitor.rules.drafts import Draft, RowScores, decide_status
from monitor.rules.rank_shift import (
    RankAnswer,
    RankQuestion,
    answer_questions,
    describe_answer,
    draft_rank_shift,
    explain_no_like_rows,
)
from monitor.rules.rule import Rule, RuleInput
from monitor.rules.significance import correct_for_choice
from monitor.verdict import SEVERITY, RuleResult

MISMATCH = RankQuestion(
    "answer mismatch", "prompt", "high", "have answers that fit other rows' prompts better", graded=True
)
COSINE = RankQuestion("agreement", "prompt", "low", "agree less with their prompts", graded=True)


def draft(case: RuleInput) -> Draft:
    """Test the agreement of prompt and answer, and the answer mismatch, among like rows; report the graver.

    The first sees many rows that fit a little less; the second sees few rows that do not fit at all.
    """
    _, share = case.thresholds
    result = RuleResult("agreement", case.comparison.dataset, "skipped", "", unit="cosine")
    if hindrance := explain_no_like_rows(case, result):
        return Draft(hindrance)
    assert case.comparison.like is not None  # explained above
    worst = case.comparison.like.worst_of_graded()
    drafts = [_draft_cosine(case, result), draft_rank_shift("agreement", case, [MISMATCH], share, worst)]
    tested = [draft for draft in drafts if draft.result.p_value is not None]
    if not tested:
        return drafts[0]
    # There was a choice of so many.
    corrected = [
        replace(
            draft, result=replace(draft.result, p_value=correct_for_choice(draft.result.p_value or 0.0, len(tested)))
        )
        for draft in tested
    ]

    def gravity(draft: Draft) -> tuple[int, float]:
        p = draft.result.p_value or 0.0
        return SEVERITY.index(decide_status(p, draft.effect, draft.thresholds, case.params)), p

    return min(corrected, key=gravity)


def _draft_cosine(case: RuleInput, result: RuleResult) -> Draft:
    like = case.comparison.like
    assert like is not None  # explained by the caller
    fall, _ = case.thresholds
    answers: list[RankAnswer] = answer_questions(like, [COSINE], case.comparison.batches)
    if not answers:
        reason = "No added row can be compared: none has kept rows like it, or all prompts or answers are the same."
        return Draft(replace(result, reason=reason))
    gravest = min(answers, key=lambda answer: answer.found.p_value)
    agreement = like.features["agreement"]
    usual = like.middle_of_like_rows(agreement, "prompt")
    compared = ~np.isnan(agreement) & ~np.isnan(usual) & like.is_fresh
    less = float((usual[compared] - agreement[compared]).mean())
    effect = less * case.comparison.share_added
    numbers = (
        f"{describe_answer(gravest, like)}. Their mean cosine is {agreement[compared].mean():.3f}, that of the rows "
        f"like them {usual[compared].mean():.3f}"
    )
    return Draft(
        replace(result, status="pass", statistic=-effect, threshold=-fall.warn, p_value=gravest.found.p_value),
        effect=effect,
        thresholds=fall,
        alarm=f"{numbers}: C moves by {-effect:+.3f}.",
        negligible=f"{numbers}: C moves by {-effect:+.4f} only, too little to matter.",
        passing=f"{numbers}. An honest batch may differ as much.",
        happened="The answers of the added rows fit their prompts less than those of rows like them",
        worst=like.worst_of_graded(),
        blame=lambda rows: _score_answers(case, len(rows.evidence.records)),
    )


def _score_answers(case: RuleInput, rows: int) -> RowScores:
    """The answer mismatch of each row that was read, which tells single rows better than a cosine does."""
    like = case.comparison.like
    assert like is not None  # an alarm has rows
    scores = np.full(rows, np.nan)
    scores[like.rows] = np.where(like.is_fresh, like.features[MISMATCH.feature], np.nan)
    return RowScores(scores, "log-odds")


RULE = Rule(
    id="agreement",
    order=30,
    title="Agreement",
    question="Do the answers of the added rows fit their prompts as well as those of kept rows like them?",
    advice="Look for answers of other prompts, stock answers, and answers cut short.",
    thresholds=("agreement_fall", "outlier_share"),
    draft=draft,
    over_versions=True,
)
