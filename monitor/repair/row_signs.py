"""Signs of harm on single rows: how far each lies from rows like it, in every way that a rule may stop it for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monitor.rules import agreement, copies, damage, loss, second_loss
from monitor.rules.rank_shift import RankQuestion, rank_among_all

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.like_rows.like_comparison import LikeComparison

# Of rules that may stop a version: what they ask about is worse, and not only different.
HARM: tuple[tuple[str, tuple[RankQuestion, ...]], ...] = (
    (damage.RULE.id, damage.QUESTIONS),
    (loss.RULE.id, (loss.QUESTION,)),
    (second_loss.RULE.id, (second_loss.QUESTION,)),
    (agreement.RULE.id, (agreement.MISMATCH, agreement.COSINE)),
    (copies.RULE.id, copies.NEAR),
)


@dataclass(frozen=True)
class Sign:
    """What one question says of each row that was read, shape (rows,).

    ``strength``: 0 for what is usual, more for a row further out than most of its like rows.
    """

    rule: str
    says: str
    strength: NDArray[np.float64]


def list_signs(like: LikeComparison) -> list[Sign]:
    """Every sign that differs between rows: two for each question, how far out a row lies and whether it lies beyond
    all of its like rows.
    """
    return [
        Sign(rule, question.says, strength)
        for rule, questions in HARM
        for question in questions
        if question.feature in like.features
        for strength in _measure(like, question)
    ]


def find_traced(like: LikeComparison) -> NDArray[np.bool_]:
    """Rows with more traces of damage than any kept row has, whatever kind of row they are, shape (rows,)."""
    traced = np.zeros(len(like.rows), dtype=bool)
    for question in damage.QUESTIONS:
        values = like.features[question.feature]
        if question.alone and not np.isnan(values[: like.kept]).all():
            traced |= np.nan_to_num(values) > max(0.0, float(np.nanmax(values[: like.kept])))
    return traced


def _measure(like: LikeComparison, question: RankQuestion) -> list[NDArray[np.float64]]:
    values = like.features[question.feature]
    known = values[~np.isnan(values)]
    if not known.size or known.min() == known.max():
        return []
    ranks = like.rank(values, question.like)
    ranks = np.where(~like.is_new, ranks, rank_among_all(values, like) if question.alone else np.nan)
    outward = ranks if question.side == "high" else 1 - ranks
    likes = like.like_rows(question.like)
    # Exponential of mean 1 for uniform ranks, so that the last few ranks count most; nothing known is what is usual.
    far = np.where(np.isnan(outward), 1.0, -np.log1p(-np.minimum(outward, 1.0) + 1 / (2 * likes)))
    beyond = np.nan_to_num(outward) >= like.edge(question.like)
    return [(far - 1) / 2, beyond.astype(float)]
