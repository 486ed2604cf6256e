"""What is normal on this team's data and base model: noise of L, benign changes, and runs to fit the law on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.errors import NotAssessedError, ParamsError
from corpus.params import parse_section
from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord, Record
from monitor.calibration.benign_updates import BenignUpdate, cluster_topics, draw_updates, measure_updates
from monitor.calibration.cost import CalibrationCost, time_step
from monitor.calibration.kept_runs import Run, find_run, finish_runs
from monitor.calibration.law_runs import plan_law_runs, split_for_law
from monitor.calibration.noise_runs import gather_rows, plan_noise_runs
from monitor.law.curves import LawCurve, LawMeasure, fit_law_curves
from monitor.law.entropy_law import LawPoint
from monitor.measures.compression import CompressionParams
from monitor.measures.consistency import row_agreement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.probe import ProbeParams

# Below this a topic has no variance to speak of.
MIN_TOPIC_ROWS = 5

Announce = Callable[[CalibrationCost], None]


@dataclass(frozen=True)
class CalibrationParams:
    """``seeds``: probe runs on the same data. ``update_shares``: sizes of the benign updates, ``updates`` of each.
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
class TopicSpread:
    """How far the mean of a kind of good data lies from the mean of the rest.

    ``sd``: standard deviation between topics beyond sampling noise; ``degrees_of_freedom`` of that estimate.
    """

    sd: float
    degrees_of_freedom: int


@dataclass(frozen=True)
class Calibration:
    """``noise_l``: L of the unchanged baseline over several seeds, nats. Spreads: L in nats, agreement in cosine.
    ``points``: the runs that the law is fitted on. ``curves``: of their Z over each measure alone; fitted
    here, once, because of their thousands of shuffles.
    """

    rows: int
    noise_l: tuple[float, ...]
    loss_sd: float
    topic_loss: TopicSpread
    topic_agreement: TopicSpread
    updates: tuple[BenignUpdate, ...]
    points: tuple[LawPoint, ...]
    base_identity: str
    curves: dict[LawMeasure, LawCurve] = field(default_factory=dict)


def topic_spread(values: NDArray[np.float64], topics: NDArray[np.int64]) -> TopicSpread:
    """Between-topic standard deviation of a row measure, by the method of moments of a random-effects model.

    ``values``: shape (rows,); ``topics``: shape (rows,), a cluster number each. Topics below MIN_TOPIC_ROWS rows say
    nothing about their own mean and are left out.
    """
    values, topics = values[~np.isnan(values)], topics[~np.isnan(values)]
    groups = [values[topics == topic] for topic in np.unique(topics)]
    groups = [group for group in groups if len(group) >= MIN_TOPIC_ROWS]
    if len(groups) < 3:
        raise NotAssessedError("the baseline is too small to tell topics apart; calibrate on more rows")
    means = np.array([group.mean() for group in groups])
    sampling = np.array([group.var(ddof=1) / len(group) for group in groups])
    between = max(float(means.var(ddof=1) - sampling.mean()), 0.0)
    # A spread of zero is the estimator's floor, not knowledge: keep the sampling noise it could not see below.
    return TopicSpread(math.sqrt(max(between, float(sampling.mean()) / 4)), len(groups) - 1)


def calibrate(
    records: Sequence[HashedRecord],
    base_folder: str,
    probe: ProbeParams,
    compression: CompressionParams,
    params: CalibrationParams,
    progress: Progress = ignore_progress,
    kept_in: Path | None = None,
    announce: Announce | None = None,
) -> Calibration:
    """Measure the baseline's own noise. ``records``: (record, content hash) of the baseline version.

    Costs ``seeds`` probe runs and, with ``law_runs``, twelve runs of twice a probe's length; ``announce`` is told what
    is left to do before it starts, ``progress`` the steps of training. Finished runs are kept in ``kept_in``: what was
    interrupted goes on where it stopped, and gives the same bytes. Raises NotAssessedError when the baseline is too
    small, before any run where that can be told, and when a run diverges.
    """
    from training.probed_model import load_probed_model

    rng = np.random.default_rng(params.seed)
    records = choose_rows(records, params.max_rows, rng)
    rows = [record for record, _ in records]
    # About fifteen rows of a topic in the probed half, or its mean says little.
    topics = cluster_topics(rows, min(params.topics, max(3, len(rows) // 30)), params.seed)
    agreement = row_agreement(rows)[0]
    topic_agreement = topic_spread(agreement, topics)

    model, tokenizer, card = load_probed_model(base_folder)
    base = (model, tokenizer, card.identity)
    noise_runs = plan_noise_runs(records, *base, card.trained_from, probe, params.seeds)
    held_out, subsets = (
        split_for_law(records, tokenizer, card.trained_from, probe, params.seeds, params.heldout_rows, rng)
        if params.law_runs
        else ((), [])
    )
    law_runs = plan_law_runs(subsets, held_out, *base, probe, params.law_learning_rate, compression)
    noise_left, law_left = list_unfinished(noise_runs, kept_in), list_unfinished(law_runs, kept_in)
    if announce and (left := [*noise_left, *law_left]):
        seconds = time_step(model, tokenizer, records, probe, card.trained_from) * sum(run.steps for run in left)
        kept = len(noise_runs) + len(law_runs) - len(left)
        announce(CalibrationCost(len(noise_left), len(law_left), kept, seconds))

    noise_steps = sum(run.steps for run in noise_runs)
    steps = noise_steps + sum(run.steps for run in law_runs)
    noise = finish_runs(noise_runs, kept_in, lambda done: progress(done, steps))
    measures = gather_rows(records, noise, agreement, probe, card.trained_from)
    probed = measures.loss_nats[measures.probe_order]
    topic_loss = topic_spread(probed, topics[measures.probe_order])
    draws = draw_updates(topics, params.update_shares, params.updates, np.random.default_rng(params.seed))
    updates = measure_updates(records, draws, compression, measures)
    points = finish_runs(law_runs, kept_in, lambda done: progress(noise_steps + done, steps))
    return Calibration(
        rows=len(records),
        noise_l=tuple(run.l for run in noise),
        loss_sd=float(probed.std(ddof=1)),
        topic_loss=topic_loss,
        topic_agreement=topic_agreement,
        updates=updates,
        points=tuple(points),
        base_identity=card.identity,
        curves=fit_law_curves(points, np.random.default_rng(params.seed)),
    )


def choose_rows(records: Sequence[HashedRecord], most: int, rng: np.random.Generator) -> Sequence[HashedRecord]:
    """The distinct rows in file order; of more than ``most``, as many drawn at random.

    A careless baseline may repeat itself. What is usual must be measured on its distinct rows: an update that takes
    the place of a copy is a repair, and would make every later copy look usual.
    """
    distinct: dict[str, Record] = {}
    for record, row_hash in records:
        distinct.setdefault(row_hash, record)
    chosen = [HashedRecord(record, row_hash) for row_hash, record in distinct.items()]
    if len(chosen) > most:
        chosen = [chosen[i] for i in sorted(rng.permutation(len(chosen))[:most])]
    return chosen


def list_unfinished(runs: Sequence[Run[Any]], kept_in: Path | None) -> list[Run[Any]]:
    return [run for run in runs if find_run(run, kept_in) is None]


def calibration_from_json(document: object, where: str) -> Calibration:
    """The inverse of writing a calibration as JSON; ``where`` names its file.

    Raises NotAssessedError on a document of another shape, such as an older version's without the law's curves.
    """
    try:
        return parse_section(Calibration, document, where)
    except ParamsError as error:
        raise NotAssessedError(f"{error}; run `dvc repro --force calibration`") from None
