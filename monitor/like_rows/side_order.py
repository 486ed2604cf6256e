"""Do a row's prompt and answer stand in each other's place? Learnt from the kept rows, which are taken to be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from monitor.like_rows.answer_fit import MIN_ROWS, Sides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def measure_side_order(sides: Sides, fold: NDArray[np.int64], is_kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log-odds that prompt and answer are exchanged, shape (rows,), nan where one of them is blank.

    A logistic regression tells the prompts of the kept rows from their answers, by their embeddings, their lengths and
    how they begin and end. A row scores high where its prompt reads like an answer and its answer like a prompt.
    ``fold``: a number from 0 for each row, shape (rows,); a row is scored by a regression without its fold. All nan
    with fewer than MIN_ROWS kept rows.
    """
    from sklearn.linear_model import LogisticRegression

    known = np.logical_and(sides.prompt_vectors.any(axis=1), sides.response_vectors.any(axis=1))
    teaches = known & is_kept
    order = np.full(len(fold), np.nan)
    if np.count_nonzero(teaches) < MIN_ROWS:
        return order
    prompts, answers = (
        np.column_stack([vectors, _describe_texts(texts)])
        for vectors, texts in ((sides.prompt_vectors, sides.prompts), (sides.response_vectors, sides.responses))
    )
    scale = np.concatenate([prompts[teaches], answers[teaches]]).std(axis=0)
    prompts, answers = (features / np.where(scale > 0, scale, 1.0) for features in (prompts, answers))
    for k in np.unique(fold):
        learnt, scored = teaches & (fold != k), fold == k
        count = np.count_nonzero(learnt)
        if count >= MIN_ROWS // 2:
            # So many dimensions separate few rows by chance: a strong penalty.
            model = LogisticRegression(C=0.01, max_iter=1000).fit(
                np.concatenate([prompts[learnt], answers[learnt]]), np.repeat([0, 1], count)
            )
            order[scored] = model.decision_function(prompts[scored]) - model.decision_function(answers[scored])
    return np.where(known, order, np.nan)


def _describe_texts(texts: Sequence[str]) -> NDArray[np.float64]:
    """Length, line breaks, question marks, and the first and the last character's kind, shape (texts, 5)."""
    return np.array(
        [
            (
                np.log1p(len(text)),
                np.log1p(text.count("\n")),
                text.rstrip().endswith("?"),
                text[:1].isupper(),
                text.rstrip()[-1:] in (".", "!", "。"),
            )
            for text in texts
        ],
        dtype=np.float64,
    )
