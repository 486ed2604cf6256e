"""The methods ZIP is compared with (the paper's Tables 1 and 2), each as its own authors define it.

They rank rows by numbers computed elsewhere (losses, scores, embeddings) and take the same budgets as ZIP. Of rows
that rank equal, the one that comes first in the pool is taken. A row without a score (NaN) is never selected. All of
them return indices of rows in the pool, from 0, in the order of selection.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corpus.errors import EntropylawError
from selection.budget import Budget, Spending, spend

# DEITA (Liu et al., 2023): a row closer than this to a kept row adds nothing.
DEITA_SIMILARITY = 0.9

Indices = tuple[int, ...]
Counts = Sequence[int] | None


def select_random(pool_rows: int, budget: Budget, random: np.random.Generator, token_counts: Counts = None) -> Indices:
    """Take rows of a pool in uniformly random order until the budget is spent.

    >>> sorted(select_random(3, Budget(rows=5), np.random.default_rng(0)))
    [0, 1, 2]
    """
    return spend(budget, random.permutation(pool_rows).tolist(), token_counts)


def select_perplexity(losses_nats: ArrayLike, budget: Budget, token_counts: Counts = None) -> Indices:
    """Take the rows with the highest training loss first (paper, section 5.1.1).

    >>> select_perplexity([1.0, 3.0, 2.0], Budget(rows=2))
    (1, 2)
    """
    return spend(budget, _highest_first(losses_nats), token_counts)


def select_score(chosen_scores: ArrayLike, budget: Budget, token_counts: Counts = None) -> Indices:
    """Take the preference pairs with the highest grade of the chosen answer first (paper, section 5.2, Table 2).

    >>> select_score([4.0, 5.0, float("nan")], Budget(rows=3))
    (1, 0)
    """
    return spend(budget, _highest_first(chosen_scores), token_counts)


def select_length(answer_lengths: ArrayLike, budget: Budget, token_counts: Counts = None) -> Indices:
    """Take the rows with the longest answers first (Shen, 2024, arXiv 2402.06094).

    >>> select_length([10, 30, 20], Budget(rows=2))
    (1, 2)
    """
    return spend(budget, _highest_first(answer_lengths), token_counts)


def select_superfiltering(ifd: ArrayLike, budget: Budget, token_counts: Counts = None) -> Indices:
    """Take the rows with the highest instruction-following difficulty below 1 first (Li et al., 2024).

    ``ifd``: a row's perplexity of the answer given the prompt, divided by that of the answer alone. At 1 and above the
    prompt does not help with the answer, so such a row is never taken.

    >>> select_superfiltering([0.4, 1.2, 0.9], Budget(rows=3))
    (2, 0)
    """
    values = np.asarray(ifd, dtype=float)
    return spend(budget, _highest_first(np.where(values < 1, values, np.nan)), token_counts)


def score_deita(complexities: Sequence[ArrayLike], qualities: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """A row's complexity times its quality, summed over its turns (Liu et al., 2023): one score per row.

    >>> score_deita([[2.0, 3.0], [5.0]], [[1.0, 4.0], [2.0]])
    array([14., 10.])
    """
    pairs = zip(complexities, qualities, strict=True)
    return np.array([np.dot(np.asarray(c, dtype=float), np.asarray(q, dtype=float)) for c, q in pairs], dtype=float)


def select_deita(
    scores: ArrayLike,
    embeddings: ArrayLike,
    budget: Budget,
    token_counts: Counts = None,
    similarity: float = DEITA_SIMILARITY,
) -> Indices:
    """Take the rows with the highest score first, but skip those too similar to a row already taken.

    A row is skipped when the cosine of its embedding with that of a row already taken exceeds ``similarity``.

    ``embeddings``: one vector per row, of any length. May end before the budget is spent.
    Raises EntropylawError unless there is one embedding per score.

    >>> select_deita([3.0, 2.0, 1.0], [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]], Budget(rows=3))
    (0, 2)
    """
    vectors = _one_per_row(embeddings, len(np.asarray(scores)))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    kept = np.empty_like(vectors)
    spending = Spending(budget, token_counts)
    for row in _highest_first(scores):
        count = len(spending.rows)
        if count and float((kept[:count] @ vectors[row]).max()) > similarity:
            continue
        if not spending.take(row):
            break
        kept[count] = vectors[row]
    return tuple(spending.rows)


def select_cluster(
    embeddings: ArrayLike, budget: Budget, random: np.random.Generator, token_counts: Counts = None
) -> Indices:
    """Take the row nearest each centre of K-means with as many clusters as rows are wanted, large clusters first.

    For a budget in tokens, as many rows are wanted as fit it at the pool's mean length. When the nearest rows do not
    spend the budget, the second nearest follow, and so on. Raises EntropylawError unless there is one embedding per
    token count.

    >>> select_cluster([[0.0], [0.1], [0.3], [9.0]], Budget(rows=2), np.random.default_rng(0))
    (1, 3)
    """
    from sklearn.cluster import KMeans

    vectors = _one_per_row(embeddings, len(np.asarray(embeddings)) if token_counts is None else len(token_counts))
    wanted = budget.limit
    if budget.tokens is not None and token_counts is not None:
        wanted = round(budget.limit / max(float(np.mean(token_counts)), 1.0)) if len(token_counts) else 0
    # More clusters than distinct rows would stay empty.
    clusters = min(max(wanted, 1), len(np.unique(vectors, axis=0)))
    if budget.limit == 0 or clusters == 0:
        return ()
    means = KMeans(clusters, n_init=1, random_state=int(random.integers(2**32))).fit(vectors)
    distances = np.linalg.norm(vectors - means.cluster_centers_[means.labels_], axis=1)
    return spend(budget, _nearest_first(means.labels_, distances).tolist(), token_counts)


def _nearest_first(labels: NDArray[np.int32], distances: NDArray[np.float64]) -> NDArray[np.int64]:
    """The nearest row of every cluster, then the second nearest of every cluster, ...; large clusters before small."""
    sizes = np.bincount(labels)
    by_cluster = np.lexsort((distances, labels))
    starts = np.cumsum(sizes) - sizes
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[by_cluster] = np.arange(len(labels)) - starts[labels[by_cluster]]
    return np.lexsort((-sizes[labels], ranks))


def _highest_first(scores: ArrayLike) -> list[int]:
    values = np.asarray(scores, dtype=float)
    order: list[int] = np.argsort(-values, kind="stable").tolist()
    # Sorting puts NaN last.
    return order[: len(values) - int(np.count_nonzero(np.isnan(values)))]


def _one_per_row(embeddings: ArrayLike, rows: int) -> NDArray[np.float64]:
    vectors = np.asarray(embeddings, dtype=float)
    if len(vectors) != rows:
        raise EntropylawError(f"{len(vectors)} embeddings for {rows} rows: give one vector per row")
    return vectors.reshape(rows, -1) if rows else vectors.reshape(0, 0)
