"""What benign updates do to R of data that the calibration was not made on, measured on its kept rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import HashedRecord, canonical_text
from monitor.calibration.benign_updates import BenignUpdate, draw_updates, measure_updates
from monitor.calibration.params import CalibrationParams
from monitor.calibration.topics import ROWS_PER_TOPIC, cluster_topics
from monitor.measures.compression import CompressionParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Twelve updates of this many short rows take three seconds.
MAX_ROWS = 2000
# Fewer rows cannot be divided into topics and updates.
MIN_ROWS = 100


@dataclass(frozen=True)
class OwnUpdates:
    """What benign updates and growth do to R of this data.

    ``updates``: benign updates of the data itself. ``growth``, ``growth_long``: how much ln R rises, over either
    window, when the data grows by a factor of e. It rises because more rows of one kind have more to repeat.
    """

    updates: tuple[BenignUpdate, ...]
    growth: float
    growth_long: float


def measure_own_updates(
    records: Sequence[HashedRecord],
    compression: CompressionParams,
    params: CalibrationParams,
    among: NDArray[np.int64] | None = None,
) -> OwnUpdates | None:
    """Measure benign updates as the calibration does, and growth by comparing all of the data with half of it.

    ``among``: indices of the records that are looked at, in file order, without copies; by default all. Of more than
    MAX_ROWS, so many are drawn at random. All draws follow from ``params.seed``: same data, same numbers. None with
    fewer than MIN_ROWS.
    """
    among = np.arange(len(records)) if among is None else among
    if len(among) < MIN_ROWS:
        return None
    rng = np.random.default_rng(params.seed)
    if len(among) > MAX_ROWS:
        among = among[np.sort(rng.permutation(len(among))[:MAX_ROWS])]
    records = [records[i] for i in among.tolist()]
    topics = cluster_topics(
        [record for record, _ in records], min(params.topics, len(records) // ROWS_PER_TOPIC), params.seed
    )
    draws = draw_updates(topics, params.update_shares, params.updates, np.random.default_rng(params.seed))
    updates = measure_updates(records, draws, compression)
    texts = [canonical_text(record).encode() for record, _ in records]
    half = [texts[i] for i in sorted(rng.permutation(len(texts))[: len(texts) // 2])]
    size = math.log(len(texts) / len(half))
    growth, growth_long = (
        math.log(codec.ratio(texts) / codec.ratio(half)) / size
        for codec in (compression.codec(), compression.long_codec())
    )
    return OwnUpdates(updates, growth, growth_long)
