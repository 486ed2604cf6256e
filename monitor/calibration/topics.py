"""Topics of the data: clusters of rows that stand for kinds of good data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import Record, canonical_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

# So many rows, at least, for each topic that rows are divided into: fewer would not be a kind of data.
ROWS_PER_TOPIC = 30


def cluster_topics(records: Sequence[Record], topics: int, seed: int) -> NDArray[np.int64]:
    """A topic number for each row, by the static embedding of its whole text, shape (rows,)."""
    from corpus.embeddings import embed_texts, load_embedder

    return cluster_vectors(embed_texts(load_embedder(), [canonical_text(record) for record in records]), topics, seed)


def cluster_vectors(vectors: NDArray[np.float32], topics: int, seed: int) -> NDArray[np.int64]:
    """K-means: a cluster's number for each vector, shape (rows,)."""
    import warnings

    from scipy.cluster.vq import kmeans2

    # K-means cannot start with more centres than there are different rows.
    distinct = len(np.unique(vectors, axis=0))
    with warnings.catch_warnings():
        # A topic may lose all its rows to others. Then there is one topic less, which is no error.
        warnings.filterwarnings("ignore", message="One of the clusters is empty", category=UserWarning)
        _, labels = kmeans2(
            vectors.astype(np.float64), min(topics, distinct), rng=np.random.default_rng(seed), minit="++"
        )
    topic: NDArray[np.int64] = labels.astype(np.int64)
    return topic
