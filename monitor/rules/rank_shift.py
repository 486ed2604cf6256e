"""The test of ranks: do the added rows lie elsewhere among kept rows like them than an honest batch would?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from monitor.like_rows.like_comparison import LikeComparison
from monitor.like_rows.rank_comparison import MIN_KEPT_ROWS, RankFinding, Side, compare_ranks
from monitor.rules.drafts import Draft, RowScores, decide_status, join_words
from monitor.rules.significance import correct_for_choice
from monitor.verdict import SEVERITY, RuleResult, RuleStatus

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.rule_params import Thresholds
    from monitor.rules.rule import RuleInput

# Smaller p-values are rounding noise: of two such answers the one about more rows is graver.
LEAST_P = 1e-12
# Where no row was kept, but so many of the added ones are edits of old ones, their past is what they are compared with.
EDITED_SHARE = 0.9
# A row this far from the middle of its like rows, on the side of the finding, is named where a mean has moved.
NAMED_RANK = 0.9


@dataclass(frozen=True)
class RankQuestion:
    """A feature of the rows, the side on which it is looked at, and what is said of rows that lie there.

    - ``like``: whether a row is compared with kept rows of similar prompts or of similar answers.
    - ``mean``: whether the mean rank is tested as well. Otherwise only rows outside all of their like rows count: most
      damage moves a row far, and honest batches differ a little.
    - ``graded``: whether more of it is worse by degrees, such as a higher loss. Then an edited row is compared with its
      past instead, by the rule ``edits``: which rows somebody edits is no accident, so they differ from others anyway.
    - ``alone``: whether rows of a new kind, which have no like rows, are compared with all kept rows instead.
    """

    feature: str
    like: Literal["prompt", "answer"]
    side: Side
    says: str
    mean: bool = True
    graded: bool = False
    alone: bool = False


@dataclass(frozen=True)
class RankAnswer:
    """A question, what was found, and the ranks of all rows that were read, nan where a row was not compared."""

    question: RankQuestion
    found: RankFinding
    ranks: NDArray[np.float64]


def explain_no_like_rows(case: RuleInput, result: RuleResult) -> RuleResult | None:
    """The result of a rule where there are no rows to compare; None where there are."""
    comparison = case.comparison
    if not comparison.now.added:
        return replace(result, reason="No rows were added.")
    if comparison.like is None:
        if comparison.edits is not None and comparison.edits.total >= EDITED_SHARE * comparison.now.added:
            return replace(result, reason="Nearly all rows were edited: rule `edits` compares them with their past.")
        reason = f"Fewer than {MIN_KEPT_ROWS} different rows of the parent are left to compare the added rows with."
        return replace(result, status="not_assessed", reason=reason)
    return None


def draft_rank_shift(
    rule: str,
    case: RuleInput,
    questions: Sequence[RankQuestion],
    thresholds: Thresholds,
    worst: RuleStatus = "risky",
) -> Draft:
    """The draft of a rule that asks ``questions`` of the rows. It reports the gravest answer.

    ``thresholds``: shares of the version's rows. ``worst``: the gravest status that the rule may give. The p-value is
    corrected for all questions asked (Bonferroni).
    """
    result = RuleResult(rule, case.comparison.dataset, "skipped", "", unit="share of the rows")
    if hindrance := explain_no_like_rows(case, result):
        return Draft(hindrance)
    like = case.comparison.like
    assert like is not None  # explained above
    answers = answer_questions(like, questions, case.comparison.batches)
    if not answers:
        return Draft(replace(result, reason="None of the added rows, copies aside, has kept rows like it."))
    share = case.comparison.share_added

    def gravity(answer: RankAnswer) -> tuple[int, float, float]:
        status = decide_status(answer.found.p_value, answer.found.share * share, thresholds, case.params)
        return SEVERITY.index(status), max(answer.found.p_value, LEAST_P), -answer.found.share

    gravest = min(answers, key=gravity)
    effect = gravest.found.share * share
    numbers = describe_answer(gravest, like)
    return Draft(
        replace(result, status="pass", statistic=effect, threshold=thresholds.warn, p_value=gravest.found.p_value),
        effect=effect,
        thresholds=thresholds,
        alarm=f"{numbers}. {say_size(effect)}{_mention_others(answers, gravest, case, thresholds)}",
        negligible=f"{numbers}. These are too few to matter.",
        passing=f"{numbers}. An honest batch may differ as much.",
        happened=say_what_happened(gravest),
        worst=worst,
        blame=lambda rows: score_ranks(gravest, like, len(rows.evidence.records)),
    )


def answer_questions(like: LikeComparison, questions: Sequence[RankQuestion], batches: float = 1.0) -> list[RankAnswer]:
    """The answers to all questions that can be answered; their p-values are corrected for the number of tests.

    ``batches``: in how many batches the added rows came, see ``compare_ranks``.
    """
    compared = ~like.is_new
    answers: list[RankAnswer] = []
    for question in questions:
        values = like.features[question.feature]
        known = values[~np.isnan(values)]
        if not known.size or known.min() == known.max():
            continue
        ranks = like.rank(values, question.like)
        if question.alone:
            ranks = np.where(compared, ranks, rank_among_all(values, like))
        else:
            ranks = np.where(compared, ranks, np.nan)
        if question.graded:
            ranks[like.kept :][~like.is_fresh[like.kept :]] = np.nan
        edge = like.edge(question.like)
        kept, added = ranks[: like.kept], ranks[like.kept :]
        for found in compare_ranks(kept, added, like.groups, question.side, edge, batches):
            if found.beyond or question.mean:
                answers.append(RankAnswer(question, found, ranks))
    tests = len(answers)
    return [
        replace(answer, found=replace(answer.found, p_value=correct_for_choice(answer.found.p_value, tests)))
        for answer in answers
    ]


def rank_among_all(values: NDArray[np.float64], like: LikeComparison) -> NDArray[np.float64]:
    """The rank of each row's value among all kept rows that were read, shape (rows,)."""
    kept = np.sort(values[: like.kept][~np.isnan(values[: like.kept])])
    below, upto = np.searchsorted(kept, values, "left"), np.searchsorted(kept, values, "right")
    rank = (below + like.tie * (upto - below + 1)) / (len(kept) + 1)
    return np.where(np.isnan(values), np.nan, rank)


def describe_answer(answer: RankAnswer, like: LikeComparison) -> str:
    """What was found in numbers, and one row as an example."""
    found, says = answer.found, answer.question.says
    likes = like.like_rows(answer.question.like)
    if found.beyond:
        count = round(found.found * found.rows)
        return (
            f"{count:,} of the {found.rows:,} added rows compared ({found.found:.1%}, against {found.usual:.1%} of the "
            f"kept rows) {says} than any of the {likes} kept rows most like them"
        )
    place = found.found if found.side == "high" else 1 - found.found
    usual = found.usual if found.side == "high" else 1 - found.usual
    return (
        f"On average, the {found.rows:,} added rows compared {says} than {place:.0%} of the kept rows most like them "
        f"({usual:.0%} is usual)"
    )


def say_what_happened(answer: RankAnswer) -> str:
    """What was found, without how it was told: "160 of the added rows have shorter answers than rows like them"."""
    found = answer.found
    rows = f"{round(found.found * found.rows):,} of the added rows" if found.beyond else "The added rows"
    return f"{rows} {answer.question.says} than rows like them"


def say_size(effect: float) -> str:
    """A sentence on how much of the version an alarm concerns. ``effect``: a share of its rows.

    >>> say_size(0.0412)
    'It concerns about 4.1% of the version.'
    """
    return f"It concerns about {effect:.1%} of the version."


def _mention_others(answers: Sequence[RankAnswer], gravest: RankAnswer, case: RuleInput, thresholds: Thresholds) -> str:
    """Up to three other findings that would be an alarm as well, one for each feature."""
    others: dict[str, RankAnswer] = {}
    for answer in sorted(answers, key=lambda answer: -answer.found.share):
        effect = answer.found.share * case.comparison.share_added
        sure = answer.found.p_value <= case.params.risky_rate and effect >= thresholds.warn
        if sure and answer.question.says != gravest.question.says:
            others.setdefault(answer.question.says, answer)
    if not others:
        return ""
    return f" They also {join_words(list(others)[:3])}."


def score_ranks(answer: RankAnswer, like: LikeComparison, rows: int) -> RowScores:
    """How far each row behind an answer lies from its like rows; nan of the others."""
    outward = answer.ranks if answer.found.side == "high" else 1 - answer.ranks
    limit = like.edge(answer.question.like) if answer.found.beyond else NAMED_RANK
    values = like.features[answer.question.feature]
    kept = values[: like.kept]
    spread = float(np.nanstd(kept)) or 1.0
    middle = like.middle_of_like_rows(values, answer.question.like)
    away = (values - middle) / spread * (1 if answer.found.side == "high" else -1)
    scores = np.full(rows, np.nan)
    named = np.flatnonzero((outward >= limit) & (np.arange(len(values)) >= like.kept))
    scores[like.rows[named]] = away[named]
    return RowScores(scores, "standard deviations from like rows")
