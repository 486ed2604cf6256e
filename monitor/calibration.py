"""What is normal on this team's data and base model: noise of L, harmless changes, and runs to fit the law on."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy

from corpus.errors import NotAssessedError
from corpus.records import Conversation, Message, Record, canonical_text, content_hash
from monitor.compression import CompressionParams
from monitor.entropy_law import LawPoint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.probe import ProbeParams

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

    ``values``: shape (rows,); ``topics``: shape (rows,), a cluster number each. Topics of fewer than five rows say
    nothing about their own mean and are left out.
    """
    values, topics = values[~numpy.isnan(values)], topics[~numpy.isnan(values)]
    groups = [values[topics == topic] for topic in numpy.unique(topics)]
    groups = [group for group in groups if len(group) >= 5]
    if len(groups) < 3:
        raise NotAssessedError("the baseline is too small to tell topics apart; calibrate on more rows")
    means = numpy.array([group.mean() for group in groups])
    sampling = numpy.array([group.var(ddof=1) / len(group) for group in groups])
    between = max(float(means.var(ddof=1) - sampling.mean()), 0.0)
    # A spread of zero is the estimator's floor, not knowledge: keep the sampling noise it could not see below.
    return TopicSpread(math.sqrt(max(between, float(sampling.mean()) / 4)), len(groups) - 1)


def cluster_topics(records: Sequence[Record], topics: int, seed: int) -> NDArray[numpy.int64]:
    """A topic number for each row: K-means on static embeddings of the whole text, shape (rows,)."""
    from scipy.cluster.vq import kmeans2

    from corpus.embeddings import embed_texts, load_embedder

    vectors = embed_texts(load_embedder(), [canonical_text(record) for record in records])
    _, labels = kmeans2(vectors.astype(numpy.float64), min(topics, len(records)), seed=seed, minit="++")
    return labels.astype(numpy.int64)


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


def scramble_words(record: Record, rng: numpy.random.Generator) -> Record:
    """The same conversation with the words of its answers in random order: damage of a known kind."""
    assert isinstance(record, Conversation)
    messages = tuple(
        Message(m.role, " ".join(rng.permutation(m.content.split()).tolist()) if m.role == "assistant" else m.content)
        for m in record.messages
    )
    return Conversation(messages, record.source, record.row)


def law_subsets(records: Rows, rows: int, rng: numpy.random.Generator) -> list[tuple[str, Rows]]:
    """Twelve subsets of ``rows`` rows each that differ in redundancy and in damage, as the paper's methods differ."""
    codec = CompressionParams().codec()
    pool = [records[i] for i in rng.permutation(len(records))]
    by_ratio = sorted(pool, key=lambda item: codec.ratio([canonical_text(item[0]).encode()]))

    def repeated(distinct: int) -> Rows:
        return [pool[i % distinct] for i in range(rows)]

    def damaged(share: float, start: int) -> Rows:
        chosen = [pool[(start + i) % len(pool)] for i in range(rows)]
        for i in range(round(share * rows)):
            record = scramble_words(chosen[i][0], rng)
            chosen[i] = (record, content_hash(record))
        return chosen

    subsets: list[tuple[str, Rows]] = [(f"random {k + 1}", damaged(0.0, k * rows)) for k in range(3)]
    subsets += [("least compressible", by_ratio[:rows]), ("most compressible", by_ratio[-rows:])]
    subsets += [(f"1/{k} distinct", repeated(max(1, rows // k))) for k in (2, 4, 8)]
    subsets += [(f"{share:.0%} scrambled", damaged(share, 0)) for share in (0.25, 0.5)]
    half = repeated(max(1, rows // 4))
    mixed = damaged(0.5, 0)[: rows // 2] + list(half[: rows - rows // 2])
    subsets += [("scrambled and repeated", mixed), ("random, half as many", damaged(0.0, 3 * rows)[: rows // 2] * 2)]
    return subsets


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
    when the baseline is too small.
    """
    from dataclasses import replace

    from monitor.consistency import row_agreement
    from training.base_model import load_base_model
    from training.chat import encode_conversation, training_messages
    from training.loss import mean_token_loss
    from training.probe import choose_probe_rows, probe_loss, train_and_record

    rng = numpy.random.default_rng(params.seed)
    if len(records) > params.max_rows:
        records = [records[i] for i in sorted(rng.permutation(len(records))[: params.max_rows])]
    model, tokenizer, card = load_base_model(base_folder)
    runs = params.seeds + (12 if params.law_runs else 0)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, runs)

    noise, losses, loss_hashes = [], [], []
    for seed in range(params.seeds):
        result = probe_loss(
            copy.deepcopy(model), tokenizer, records, replace(probe, seed=probe.seed + seed), card.trained_from
        )
        noise.append(result.l)
        losses += [row.loss_nats for row in result.rows]
        loss_hashes += [row.hash for row in result.rows]
        step()

    rows = [record for record, _ in records]
    topics = cluster_topics(rows, params.topics, params.seed)
    topic_of = {row_hash: topic for (_, row_hash), topic in zip(records, topics, strict=True)}
    # Over several seeds a row may be probed twice; it must not count twice for its topic.
    unique = dict(zip(loss_hashes, losses, strict=True))
    loss_values = numpy.array(list(unique.values()))
    loss_topics = numpy.array([topic_of[row_hash] for row_hash in unique])

    points: list[LawPoint] = []
    if params.law_runs:
        unseen = choose_probe_rows(records, len(records), probe.seed + params.seeds, card.trained_from)
        held_out, pool = unseen[: params.heldout_rows], unseen[params.heldout_rows :]
        size = min(probe.steps * probe.batch_rows, len(pool))
        if size < 8 * probe.batch_rows or not held_out:
            raise NotAssessedError(
                f"the baseline leaves {len(pool)} rows for the law's training runs, too few; "
                "add rows, lower calibration.heldout_rows or set calibration.law_runs to false"
            )
        heldout_rows = [
            row
            for record, _ in held_out
            if (row := encode_conversation(tokenizer, training_messages(record), probe.max_length)) is not None
        ]
        for name, subset in law_subsets(pool, size, rng):
            texts = [canonical_text(record).encode() for record, _ in subset]
            encoded: list[Any] = []
            for record, row_hash in choose_probe_rows(subset, len(subset), probe.seed, 1.0):
                row = encode_conversation(tokenizer, training_messages(record), probe.max_length)
                if row is not None:
                    encoded.append((record, row_hash, row))
            trained = copy.deepcopy(model)
            measured = train_and_record(trained, tokenizer.pad_token_id, encoded, probe)
            # L comes from the probe as always; the run then goes on at a rate that makes the data matter.
            train_and_record(
                trained, tokenizer.pad_token_id, encoded, replace(probe, learning_rate=params.law_learning_rate)
            )
            z = -mean_token_loss(trained, heldout_rows, tokenizer.pad_token_id, 2 * probe.batch_rows)
            r, r_long = compression.codec().ratio(texts), compression.long_codec().ratio(texts)
            points.append(LawPoint(name, r, r_long, measured.l, z))
            step()

    return Calibration(
        rows=len(records),
        noise_l=tuple(noise),
        loss_sd=float(loss_values.std(ddof=1)),
        topic_loss=topic_spread(loss_values, loss_topics),
        topic_agreement=topic_spread(row_agreement(rows)[0], topics),
        updates=measure_updates(records, topics, compression, params),
        points=tuple(points),
        base_identity=card.identity,
    )


def calibration_from_json(document: dict[str, Any]) -> Calibration:
    """The inverse of writing a calibration as JSON."""
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
