"""Cherry: the rows that a model learns from before it says how difficult each row's instruction is (Li et al., 2023).

"From Quantity to Quality", https://arxiv.org/abs/2308.12032: a model that has seen a few rows of every kind, and only
once, is a better judge than one that has seen none. How it ranks then is `selection.baselines.select_superfiltering`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from corpus.errors import EntropylawError

# Both from section 4.2 of the paper: 1,000 rows are enough.
EXPERIENCE_CLUSTERS = 100
EXPERIENCE_ROWS_PER_CLUSTER = 10


def choose_experience(
    embeddings: ArrayLike,
    random: np.random.Generator,
    clusters: int = EXPERIENCE_CLUSTERS,
    rows_per_cluster: int = EXPERIENCE_ROWS_PER_CLUSTER,
) -> tuple[int, ...]:
    """Some rows from each cluster of instructions, for the brief training: indices from 0, ascending.

    ``embeddings``: (rows, anything), of the instructions. K-means makes the clusters, as many as there are different
    embeddings where these are fewer. Of each cluster the rows at equal distances in the order of the pool are taken, as
    the authors' program does, and all of a small one. Raises EntropylawError for an empty pool.

    >>> choose_experience([[0.0], [0.1], [0.2], [9.0]], np.random.default_rng(0), clusters=2, rows_per_cluster=1)
    (0, 3)
    """
    from sklearn.cluster import KMeans

    vectors = np.asarray(embeddings, dtype=float)
    if not len(vectors):
        raise EntropylawError("there are no rows to choose from")
    distinct = len(np.unique(vectors, axis=0))
    means = KMeans(min(clusters, distinct), n_init=1, random_state=int(random.integers(2**32))).fit(vectors)
    chosen: list[int] = []
    for cluster in range(means.n_clusters):
        rows = np.flatnonzero(means.labels_ == cluster)
        step = max(1, len(rows) // rows_per_cluster)
        chosen.extend(rows[::step][:rows_per_cluster].tolist())
    return tuple(sorted(chosen))
