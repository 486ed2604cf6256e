"""Benign updates: rows of the data replaced by other rows of the same data, and what that changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from corpus.records import HashedRecord, canonical_text
from monitor.measures.compression import CompressionParams

if TYPE_CHECKING:
    from numpy.typing import NDArray


# Of longer rows R is measured on a part, of so many bytes, of both versions: twelve updates of it take ten seconds.
MAX_BYTES = 4_000_000
# But at least so many rows, however long they are.
MIN_COMPRESSED_ROWS = 100


@dataclass(frozen=True)
class BenignUpdate:
    """What an update changed in which rows were replaced by held-back rows of the same data.

    - ``share``: of the rows that were replaced. ``kind``: whether the new rows were drawn at random or from one topic.
    - ``change_log_r``, ``change_log_r_long``: ln(R after / R before), for both windows.
    - ``change_l`` (nats per response token), ``change_c`` (cosine): changes of means over rows that were measured once;
      None where no row was. C is over all rows that have an agreement, L over the rows that a probe would read, as far
      as an A/A run has read them.

    The changes of L and C come from the exchange of rows alone, which is nearly all that such an update does. A real
    probe of the updated data would also train on other rows, and read rows that no A/A run has read.
    """

    share: float
    kind: Literal["random", "topic"]
    change_log_r: float
    change_log_r_long: float
    change_l: float | None = None
    change_c: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"an update exchanges a share of the rows, found {self.share}")


@dataclass(frozen=True)
class RowMeasures:
    """What is known of single rows.

    - ``agreement``: shape (rows,), nan where a row has none.
    - ``loss_nats``: per response token, and ``tokens``: how many response tokens; shape (rows,), known for the rows in
      ``probe_order`` only.
    - ``probe_order``: row indices in the order in which a probe takes them.
    - ``probe_rows``: so many rows of a version a probe reads; the first ``skipped_rows`` of them do not count for L.
    """

    agreement: NDArray[np.float64]
    loss_nats: NDArray[np.float64]
    tokens: NDArray[np.int64]
    probe_order: NDArray[np.int64]
    probe_rows: int
    skipped_rows: int


@dataclass(frozen=True)
class UpdateDraw:
    """An update before it is measured.

    ``before``, ``after``: row indices of both versions, new rows last. ``size``: how many rows are exchanged.
    """

    kind: Literal["random", "topic"]
    size: int
    before: NDArray[np.int64]
    after: NDArray[np.int64]


def draw_updates(
    topics: NDArray[np.int64], shares: Iterable[float], draws: int, rng: np.random.Generator
) -> list[UpdateDraw]:
    """Draw ``draws`` updates for each of the ``shares``. In every other one the new rows come from a single topic.

    ``topics``: a number for each row, shape (rows,). Where a topic has too few rows, rows of others are added.
    """
    n = len(topics)
    updates = []
    for share in shares:
        # The share is of the rows that remain once `size` rows are held back.
        size = max(1, round(share * n / (1 + share)))
        for draw in range(draws):
            if draw % 2:
                topic = rng.choice(topics)
                pool = rng.permutation(np.flatnonzero(topics == topic))[:size]
                held_back = np.concatenate([pool, rng.permutation(np.flatnonzero(topics != topic))])[:size]
            else:
                held_back = rng.permutation(n)[:size]
            before = np.setdiff1d(np.arange(n), held_back)
            kept = np.setdiff1d(before, rng.permutation(before)[:size])
            after = np.concatenate([kept, held_back])
            updates.append(UpdateDraw("topic" if draw % 2 else "random", size, before, after))
    return updates


def measure_updates(
    records: Sequence[HashedRecord],
    updates: Iterable[UpdateDraw],
    compression: CompressionParams,
    measures: RowMeasures | None = None,
) -> tuple[BenignUpdate, ...]:
    """Measure what each update changes. L and C are measured only where ``measures`` of the same rows are given."""
    texts = [canonical_text(record).encode() for record, _ in records]
    compressed = take_bytes([len(text) for text in texts], MAX_BYTES)
    found = []
    for update in updates:
        before, after = ([texts[i] for i in rows if compressed[i]] for rows in (update.before, update.after))
        change_log_r, change_log_r_long = (
            math.log(codec.ratio(after) / codec.ratio(before))
            for codec in (compression.codec(), compression.long_codec())
        )
        share = update.size / len(update.before)
        change_l = change_c = math.nan
        if measures is not None:
            change_l = _mean_loss(update.after, measures) - _mean_loss(update.before, measures)
            change_c = _mean_agreement(update.after, measures) - _mean_agreement(update.before, measures)
        changes = (change if math.isfinite(change) else None for change in (change_l, change_c))
        found.append(BenignUpdate(share, update.kind, change_log_r, change_log_r_long, *changes))
    return tuple(found)


def take_bytes(sizes: Sequence[int], most: int) -> NDArray[np.bool_]:
    """For each text, whether it is among those that are compressed: all, or of too many bytes some drawn at random.

    >>> int(take_bytes([5] * 300, most=1000).sum())
    200
    """
    taken = np.ones(len(sizes), dtype=bool)
    if sum(sizes) > most:
        order = np.random.default_rng(0).permutation(len(sizes))
        taken[order] = np.cumsum(np.array(sizes)[order]) <= most
        taken[order[:MIN_COMPRESSED_ROWS]] = True
    return taken


def predict_sd(changes: Sequence[float], shares: Sequence[float], share: float) -> float:
    """Standard deviation of the change by one more benign update, in which ``share`` of the rows is exchanged.

    ``changes``: by the updates that were measured, which exchanged ``shares`` of the rows. For Student's t it has as
    many degrees of freedom as there are changes, less one.

    >>> round(predict_sd([0.01, -0.01], [0.1, 0.1], 0.1), 4)
    0.0122
    """
    if not changes:  # nothing is known of it
        return math.nan
    # Replacing twice as many rows doubles the variance of the change.
    per_row = [change / math.sqrt(of) for change, of in zip(changes, shares, strict=True)]
    spread = math.sqrt(sum(change * change for change in per_row) / len(per_row)) * math.sqrt(share)
    return spread * math.sqrt(1 + 1 / len(per_row))


def describe_updates(updates: Sequence[BenignUpdate]) -> str:
    """A sentence on how far benign updates move each measure: root mean squares, those of L and C where known.

    >>> describe_updates([BenignUpdate(0.1, "random", 0.001, x, 10 * x, x) for x in (0.003, -0.001)])
    'Benign updates move long R by ±0.2%, L by ±0.022 nats, C by ±0.0022.'
    """

    def spread(values: Iterable[float | None]) -> float | None:
        known = [value * value for value in values if value is not None]
        return math.sqrt(sum(known) / len(known)) if known else None

    parts = [
        (spread(update.change_log_r_long for update in updates), "long R by ±{:.1%}"),
        (spread(update.change_l for update in updates), "L by ±{:.3f} nats"),
        (spread(update.change_c for update in updates), "C by ±{:.4f}"),
    ]
    return f"Benign updates move {', '.join(form.format(value) for value, form in parts if value is not None)}."


def _mean_loss(rows: NDArray[np.int64], measures: RowMeasures) -> float:
    order = measures.probe_order
    probed = order[np.isin(order, rows)][: measures.probe_rows]
    # With fewer rows than are skipped, all count.
    probed = probed[measures.skipped_rows :] if len(probed) > measures.skipped_rows else probed
    if not len(probed):
        return math.nan
    return float(np.average(measures.loss_nats[probed], weights=measures.tokens[probed]))


def _mean_agreement(rows: NDArray[np.int64], measures: RowMeasures) -> float:
    known = measures.agreement[rows]
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else math.nan
