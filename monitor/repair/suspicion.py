"""How likely each added row is one of the rows behind an alarm, from everything that the rules know of single rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monitor.like_rows.rank_comparison import MIN_KEPT_ROWS
from monitor.repair.row_signs import find_traced, list_signs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.like_rows.like_comparison import LikeComparison

# Each row is told by what the rows of the other folds teach, so that no row vouches for itself.
FOLDS = 4
# The strength of the penalty on weights (scikit-learn's C, smaller is stronger). There are some eighty signs and often
# only a few hundred added rows.
PENALTY = 0.05


@dataclass(frozen=True)
class Suspicion:
    """What is suspected of the added rows of one dataset.

    - ``probability``: that a row is damaged, shape (rows,); 0 of a row that was not looked at.
    - ``reason``: for each row what tells most against it, shape (rows,), an index into ``reasons``; -1 for no reason.
    - ``reasons``: the name of a rule, and what is said of such rows.
    """

    probability: NDArray[np.float64]
    reason: NDArray[np.int64]
    reasons: tuple[tuple[str, str], ...]


def suspect_unlike_rows(like: LikeComparison, rows: int) -> Suspicion:
    """Tell damaged from honest rows among the added ones that were compared with like rows. ``rows``: of the version.

    A part of the added rows is like kept rows and a part is not. A logistic regression learns to tell added from kept
    rows by signs of harm (see ``row_signs``), and the ratio of the two densities tells how likely a row is of the part
    that is not (Elkan and Noto 2008, on learning from positive and unlabelled examples; the size of the honest part by
    Storey's estimator). Signs that are a difference and no harm are not asked: with them, half of the honest rows of
    chit-chat were suspected as well. Nor are rows of a new kind suspected, which have no like rows.
    """
    signs = list_signs(like)
    reasons = tuple((sign.rule, sign.says) for sign in signs)
    found = Suspicion(np.zeros(rows), np.full(rows, -1), reasons)
    if not signs or like.kept < MIN_KEPT_ROWS:
        return found
    told = np.flatnonzero(~like.is_new | find_traced(like))
    if len(told) - like.kept < MIN_KEPT_ROWS:
        return found
    columns = np.stack([sign.strength for sign in signs], axis=1)[told]
    scores, parts = _tell_apart(columns, like.kept)
    added = like.rows[told[like.kept :]]
    found.probability[added] = find_odd_ones(scores[: like.kept], scores[like.kept :])
    found.reason[added] = np.where(found.probability[added] > 0, parts[like.kept :].argmax(axis=1), -1)
    return found


def _tell_apart(columns: NDArray[np.float64], kept: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The log-odds of each row to be an added one, and what each column adds to them. The first rows are ``kept``."""
    from sklearn.linear_model import LogisticRegression

    is_added = np.arange(len(columns)) >= kept
    fold = np.arange(len(columns)) % FOLDS
    scores, parts = np.zeros(len(columns)), np.zeros(columns.shape)
    for held_out in range(FOLDS):
        train = fold != held_out
        model = LogisticRegression(C=PENALTY, max_iter=500, class_weight="balanced")
        model.fit(columns[train], is_added[train])
        scores[~train] = model.decision_function(columns[~train])
        parts[~train] = columns[~train] * model.coef_[0]
    return scores, parts


def find_odd_ones(kept: NDArray[np.float64], added: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability that an added row is of the part of them that is unlike the kept rows, shape (added,).

    ``kept``, ``added``: a score of each row, higher for rows less like kept ones.

    >>> kept = np.arange(100.0)
    >>> found = find_odd_ones(kept, np.concatenate([kept, np.full(100, 500.0)]))
    >>> bool((found[:50] < 0.1).all() and (found[100:] > 0.9).all())
    True
    """
    from sklearn.isotonic import IsotonicRegression

    # Of the honest added rows half lie below the median of the kept ones, and hardly any other row does.
    honest = min(1.0, 2 * (float(np.mean(added <= np.median(kept))) + 1 / len(added)))
    scores = np.concatenate([kept, added])
    is_added = np.repeat([0.0, 1.0], [len(kept), len(added)])
    weights = np.repeat([1 / len(kept), 1 / len(added)], [len(kept), len(added)])
    share = IsotonicRegression(out_of_bounds="clip").fit(scores, is_added, sample_weight=weights).predict(added)
    ratio = share / np.maximum(1 - share, 1e-9)
    found: NDArray[np.float64] = np.clip(1 - honest / np.maximum(ratio, 1e-9), 0.0, 1.0)
    return found


def join_suspicions(found: Sequence[Suspicion]) -> Suspicion:
    """What is suspected of the same rows for several reasons, at least one: the highest probability, with its reason.

    Where two are as sure, the first one stays.
    """
    probability, reason = found[0].probability.copy(), found[0].reason.copy()
    reasons = list(found[0].reasons)
    for other in found[1:]:
        worse = other.probability > probability
        probability[worse] = other.probability[worse]
        reason[worse] = np.where(other.reason[worse] >= 0, other.reason[worse] + len(reasons), -1)
        reasons += other.reasons
    return Suspicion(probability, reason, tuple(reasons))
