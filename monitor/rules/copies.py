"""Rule `copies`: do the added rows say again what other rows say?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from monitor.measures.repeated_rows import MIN_ANSWER_WORDS, Repeats
from monitor.rules.drafts import Draft, RowScores, decide_status
from monitor.rules.rank_shift import RankQuestion, draft_rank_shift, say_size
from monitor.rules.rule import Rule, RuleInput
from monitor.rules.significance import correct_for_choice
from monitor.verdict import SEVERITY, RuleResult

NEAR = (
    RankQuestion("row repeated", "prompt", "high", "repeat more runs of words of kept rows", mean=False),
    RankQuestion("prompt repeated", "prompt", "high", "repeat more of the prompts of kept rows", mean=False),
    RankQuestion("answer repeated", "prompt", "high", "repeat more of the answers of kept rows", mean=False),
)


@dataclass(frozen=True)
class RepeatWords:
    """What is said of added rows that repeat a text exactly. ``says``: what they are; ``unit``: of a row's score."""

    says: str
    unit: str


ROWS = RepeatWords("are exact copies of rows of this version", "exact copies")
ANSWERS = RepeatWords(f"have an answer of at least {MIN_ANSWER_WORDS} words that other rows have too", "equal answers")


def draft(case: RuleInput) -> Draft:
    """Count exact copies, equal answers and near copies of kept rows; report the gravest.

    Exact copies and equal answers are counted over all rows by full hashes. Near copies repeat more of the kept rows
    than kept rows like them repeat of others. The p-value is multiplied by the number of tests to choose from.
    """
    (share,) = case.thresholds
    near = draft_rank_shift("copies", case, NEAR, share)
    comparison = case.comparison
    if not comparison.now.added or comparison.repeated_rows is None or comparison.repeated_answers is None:
        return near
    exact = [
        draft_repeats(case, comparison.repeated_rows, ROWS),
        draft_repeats(case, comparison.repeated_answers, ANSWERS),
    ]
    tested = [found for found in (*exact, near) if found.result.p_value is not None]
    corrected = [_multiply(found, len(tested)) for found in tested]

    def gravity(found: Draft) -> tuple[int, float]:
        p_value = found.result.p_value or 0.0
        return SEVERITY.index(decide_status(p_value, found.effect, found.thresholds, case.params)), p_value

    gravest = min(corrected, key=gravity, default=near)
    # Exact copies are no answer to whether there are near ones, unless they are an alarm themselves.
    passes = SEVERITY[gravity(gravest)[0]] == "pass"
    return near if passes and near.result.status == "not_assessed" else gravest


def draft_repeats(case: RuleInput, found: Repeats, words: RepeatWords) -> Draft:
    """Test whether more of the added rows than of the kept ones repeat another row (Fisher's exact test).

    Its effect is the share of the version's rows by which they are more.
    """
    from scipy import stats

    comparison = case.comparison
    (thresholds,) = case.thresholds
    result = RuleResult("copies", comparison.dataset, "skipped", "", unit="share of the added rows")
    if not found.added or not found.kept:
        return Draft(replace(result, reason="There are no rows to compare."))
    share = found.surplus / found.added
    # Each row with another that has the same text counts, added or kept, so that without a cause both have as many.
    repeated = found.repeated_added + found.repeated_kept
    p_value = float(stats.hypergeom.sf(found.repeated_added - 1, found.added + found.kept, repeated, found.added))
    effect = (share - found.usual) * found.looked_at * comparison.share_added
    numbers = (
        f"{found.surplus:,} of {found.added:,} added rows ({share:.1%}, against {found.usual:.1%} of the kept rows) "
        f"{words.says}"
    )
    return Draft(
        replace(result, status="pass", statistic=share, threshold=found.usual, p_value=p_value),
        effect=effect,
        thresholds=thresholds,
        alarm=f"{numbers}. {say_size(effect)}",
        negligible=f"{numbers}. These are too few to matter.",
        passing=f"{numbers}. That is no more than kept rows do.",
        happened=f"{found.surplus:,} of the added rows {words.says}",
        blame=lambda rows: RowScores(np.where(found.is_repeat, 1.0, np.nan), words.unit),
    )


def _multiply(found: Draft, tests: int) -> Draft:
    return replace(found, result=replace(found.result, p_value=correct_for_choice(found.result.p_value or 0.0, tests)))


RULE = Rule(
    id="copies",
    order=60,
    title="Copies",
    question="Do the added rows say again what other rows say?",
    advice="Look for rows merged twice, copies cleaned by another program, one answer to all, and new answers to old "
    "prompts.",
    thresholds=("outlier_share",),
    draft=draft,
    over_versions=True,
)
