"""What is normal on this team's data and base model: noise of L, harmless changes, and runs to fit the law on."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy

from corpus.errors import EntropylawError, NotAssessedError
from corpus.records import Record, canonical_text
from monitor.compression import CompressionParams
from monitor.consistency import row_agreement
from monitor.entropy_law import LawPoint
from monitor.law_runs import Subset, run_law_point, split_for_law

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.probe import ProbeParams

# Below this a topic has no variance to speak of.
MIN_TOPIC_ROWS = 5

Rows = Sequence[tuple[Record, str]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CalibrationParams:
    """``seeds``: probe runs on the same data. ``update_shares``: sizes of the harmless updates, ``updates`` of each.
    ``topics``: clusters that stand for new kinds of good data. ``law_runs``: whether to train the runs that the
    entropy law is fitted on, at ``law_learning_rate`` after their probe, scored on ``heldout_rows`` unseen rows.
    ``max_rows``: rows of the baseline used, so that the cost does not grow with the data.
    """

    seeds: int = 5
    update_shares: tuple[float, ...] = (0.05, 0.1, 0.2)
    updates: int = 4
    topics: int = 12
    law_runs: bool = True
    law_learning_rate: float = 1e-3
    heldout_rows: int = 128
    max_rows: int = 4000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seeds < 2 or self.updates < 2 or self.topics < 3:
            raise ValueError("seeds and updates must be at least 2 and topics at least 3")
        if self.heldout_rows < 1 or self.max_rows < 1 or self.law_learning_rate <= 0:
            raise ValueError("heldout_rows, max_rows and law_learning_rate must be positive")
        if not self.update_shares or not all(0 < share <= 0.5 for share in self.update_shares):
            raise ValueError("update_shares must lie in (0, 0.5]")


@dataclass(frozen=True)
class HarmlessUpdate:
    """Rows replaced by held-back rows of the same data; changes are natural logarithms of ratios of R."""

    share: float
    kind: str
    change_log_r: float
    change_log_r_long: float


@dataclass(frozen=True)
class TopicSpread:
    """How far the mean of a kind of good data lies from the mean of the rest.

    ``sd``: standard deviation between topics beyond sampling noise; ``degrees_of_freedom`` of that estimate.
    """

    sd: float
    degrees_of_freedom: int


@dataclass(frozen=True)
class Calibration:
    """``noise_l``: L of the unchanged baseline over several seeds, nats. Spreads: L in nats, agreement in cosine."""

    rows: int
    noise_l: tuple[float, ...]
    loss_sd: float
    topic_loss: TopicSpread
    topic_agreement: TopicSpread
    updates: tuple[HarmlessUpdate, ...]
    points: tuple[LawPoint, ...]
    base_identity: str


def topic_spread(values: NDArray[numpy.float64], topics: NDArray[numpy.int64]) -> TopicSpread:
    """Between-topic standard deviation of a row measure, by the method of moments of a random-effects model.

    ``values``: shape (rows,); ``topics``: shape (rows,), a cluster number each. Topics below MIN_TOPIC_ROWS rows say
    nothing about their own mean and are left out.
    """
    values, topics = values[~numpy.isnan(values)], topics[~numpy.isnan(values)]
    groups = [values[topics == topic] for topic in numpy.unique(topics)]
    groups = [group for group in groups if len(group) >= MIN_TOPIC_ROWS]
    if len(groups) < 3:
        raise NotAssessedError("the baseline is too small to tell topics apart; calibrate on more rows")
    means = numpy.array([group.mean() for group in groups])
    sampling = numpy.array([group.var(ddof=1) / len(group) for group in groups])
    between = max(float(means.var(ddof=1) - sampling.mean()), 0.0)
    # A spread of zero is the estimator's floor, not knowledge: keep the sampling noise it could not see below.
    return TopicSpread(math.sqrt(max(between, float(sampling.mean()) / 4)), len(groups) - 1)


def cluster_topics(records: Sequence[Record], topics: int, seed: int) -> NDArray[numpy.int64]:
    """A topic number for each row: K-means on static embeddings of the whole text, shape (rows,)."""
    import warnings

    from scipy.cluster.vq import kmeans2

    from corpus.embeddings import embed_texts, load_embedder

    vectors = embed_texts(load_embedder(), [canonical_text(record) for record in records])
    # More centres than different rows cannot be seeded.
    distinct = len(numpy.unique(vectors, axis=0))
    with warnings.catch_warnings():
        # A topic that has lost all its rows to others is one topic less, and no cause for alarm.
        warnings.filterwarnings("ignore", message="One of the clusters is empty", category=UserWarning)
        _, labels = kmeans2(
            vectors.astype(numpy.float64), min(topics, distinct), rng=numpy.random.default_rng(seed), minit="++"
        )
    topic: NDArray[numpy.int64] = labels.astype(numpy.int64)
    return topic


def measure_updates(
    records: Rows, topics: NDArray[numpy.int64], compression: CompressionParams, params: CalibrationParams
) -> tuple[HarmlessUpdate, ...]:
    """Replace a share of rows by held-back rows, drawn at random and, every other time, from a single topic."""
    rng = numpy.random.default_rng(params.seed)
    texts = [canonical_text(record).encode() for record, _ in records]
    n = len(texts)
    updates = []
    for share in params.update_shares:
        size = max(1, round(share * n / (1 + share)))
        for draw in range(params.updates):
            if draw % 2:
                topic = rng.choice(topics)
                pool = rng.permutation(numpy.flatnonzero(topics == topic))[:size]
                held_back = numpy.concatenate([pool, rng.permutation(numpy.flatnonzero(topics != topic))])[:size]
            else:
                held_back = rng.permutation(n)[:size]
            kept = numpy.setdiff1d(numpy.arange(n), held_back)
            replaced = set(rng.permutation(kept)[:size].tolist())
            before = [texts[i] for i in kept]
            after = [texts[i] for i in kept if i not in replaced] + [texts[i] for i in held_back]
            change = [
                math.log(codec.ratio(after) / codec.ratio(before))
                for codec in (compression.codec(), compression.long_codec())
            ]
            updates.append(HarmlessUpdate(size / len(kept), "topic" if draw % 2 else "random", *change))
    return tuple(updates)


def calibrate(
    records: Rows,
    base_folder: str,
    probe: ProbeParams,
    compression: CompressionParams,
    params: CalibrationParams,
    progress: Progress = lambda done, total: None,
) -> Calibration:
    """Measure the baseline's own noise. ``records``: (record, content hash) of the baseline version.

    Costs ``seeds`` probe runs and, with ``law_runs``, twelve runs of twice a probe's length. Raises NotAssessedError
    when the baseline is too small, before any run where that can be told.
    """
    from training.base_model import load_base_model
    from training.probe import probe_loss

    rng = numpy.random.default_rng(params.seed)
    # A careless baseline may repeat itself. What is usual must be measured on its distinct rows: an update that takes
    # the place of a copy is a repair, and would make every later copy look usual.
    distinct: dict[str, Record] = {}
    for record, row_hash in records:
        distinct.setdefault(row_hash, record)
    records = [(record, row_hash) for row_hash, record in distinct.items()]
    if len(records) > params.max_rows:
        records = [records[i] for i in sorted(rng.permutation(len(records))[: params.max_rows])]
    rows = [record for record, _ in records]
    # About fifteen rows of a topic in the probed half, or its mean says little.
    topics = cluster_topics(rows, min(params.topics, max(3, len(rows) // 30)), params.seed)
    topic_agreement = topic_spread(row_agreement(rows)[0], topics)
    updates = measure_updates(records, topics, compression, params)

    model, tokenizer, card = load_base_model(base_folder)
    held_out: Rows = []
    subsets: list[tuple[str, Subset]] = []
    if params.law_runs:
        held_out, subsets = split_for_law(
            records, tokenizer, card.trained_from, probe, params.seeds, params.heldout_rows, rng
        )
    runs = params.seeds + len(subsets)

    noise: list[float] = []
    losses: dict[str, float] = {}
    for k in range(params.seeds):
        result = probe_loss(
            copy.deepcopy(model), tokenizer, records, replace(probe, seed=probe.seed + k), card.trained_from
        )
        noise.append(result.l)
        # Over several seeds a row may be probed twice; it must not count twice for its topic.
        losses |= {row.hash: row.loss_nats for row in result.rows}
        progress(k + 1, runs)
    topic_of = {row_hash: topic for (_, row_hash), topic in zip(records, topics, strict=True)}
    loss_values = numpy.array(list(losses.values()))
    topic_loss = topic_spread(loss_values, numpy.array([topic_of[row_hash] for row_hash in losses]))

    points: list[LawPoint] = []
    for name, subset in subsets:
        points.append(
            run_law_point(name, subset, held_out, model, tokenizer, probe, params.law_learning_rate, compression)
        )
        progress(params.seeds + len(points), runs)

    return Calibration(
        rows=len(records),
        noise_l=tuple(noise),
        loss_sd=float(loss_values.std(ddof=1)),
        topic_loss=topic_loss,
        topic_agreement=topic_agreement,
        updates=updates,
        points=tuple(points),
        base_identity=card.identity,
    )


def calibration_from_json(document: dict[str, Any]) -> Calibration:
    """The inverse of writing a calibration as JSON. Raises EntropylawError on a document of another shape."""
    try:
        return Calibration(
            **{
                **document,
                "noise_l": tuple(document["noise_l"]),
                "topic_loss": TopicSpread(**document["topic_loss"]),
                "topic_agreement": TopicSpread(**document["topic_agreement"]),
                "updates": tuple(HarmlessUpdate(**update) for update in document["updates"]),
                "points": tuple(LawPoint(**point) for point in document["points"]),
            }
        )
    except (KeyError, TypeError) as error:
        raise EntropylawError(f"not a calibration of this version ({error}); run `dvc repro calibration`") from None
