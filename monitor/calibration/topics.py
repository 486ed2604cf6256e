"""Topics of the data: clusters of rows that stand for kinds of good data, and how far they lie apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.errors import NotAssessedError
from corpus.records import Record, canonical_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A mean of fewer rows says little, and their variance less.
MIN_TOPIC_ROWS = 5
# Two topics have one difference between them: too little to estimate a spread from.
MIN_TOPICS = 3
# So many rows, at least, for each topic that rows are divided into: fewer would not be a kind of data.
ROWS_PER_TOPIC = 30


@dataclass(frozen=True)
class TopicSpread:
    """How far the means of topics lie apart.

    ``sd``: standard deviation between topics beyond sampling noise, in the unit of the measure.
    ``degrees_of_freedom``: of that estimate.
    """

    sd: float
    degrees_of_freedom: int


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


def measure_topic_spread(values: NDArray[np.float64], topics: NDArray[np.int64]) -> TopicSpread:
    """Between-topic standard deviation of a row measure, by the method of moments of a random-effects model.

    ``values``: shape (rows,), nan where a row has none; ``topics``: shape (rows,), a cluster number each. Topics of
    fewer than MIN_TOPIC_ROWS rows are left out. Raises NotAssessedError with fewer than MIN_TOPICS topics.
    """
    values, topics = values[~np.isnan(values)], topics[~np.isnan(values)]
    groups = [values[topics == topic] for topic in np.unique(topics)]
    groups = [group for group in groups if len(group) >= MIN_TOPIC_ROWS]
    if len(groups) < MIN_TOPICS:
        raise NotAssessedError("the baseline is too small to tell topics apart; calibrate on more rows")
    means = np.array([group.mean() for group in groups])
    sampling = np.array([group.var(ddof=1) / len(group) for group in groups])
    between = max(float(means.var(ddof=1) - sampling.mean()), 0.0)
    # An estimate of zero does not prove that topics are equal, so the spread is at least half the sampling error.
    return TopicSpread(math.sqrt(max(between, float(sampling.mean()) / 4)), len(groups) - 1)
