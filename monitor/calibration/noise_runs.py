"""A/A runs: probes of the same data under several seeds, and what they tell about single rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from corpus.errors import NotAssessedError
from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord, data_hash
from corpus.row_sides import key_fraction, question_key
from monitor.calibration.benign_updates import RowMeasures
from monitor.calibration.kept_runs import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.probe_run import ProbeParams
    from training.probed_model import ProbedModel


@dataclass(frozen=True)
class NoiseRun:
    """One A/A run: its L, and for each probed row its hash, its loss in nats per token and its response tokens.

    The losses are the base model's before training.
    """

    l: float  # noqa: E741 - the paper's letter
    row_hashes: tuple[str, ...]
    losses_nats: tuple[float, ...]
    tokens: tuple[int, ...]


def plan_noise_runs(
    records: Sequence[HashedRecord], base: ProbedModel, probe: ProbeParams, seeds: int
) -> list[Run[NoiseRun]]:
    """One probe for each of ``seeds`` seeds, the first of them the probe's own. ``base`` is left as it is.

    The later ones read only the rows that they train on: a row's loss does not depend on the seed.
    """
    from training.probe_run import count_reading_steps, count_steps

    trained_from = base.card.trained_from
    unseen = sum(key_fraction(question_key(record)) < trained_from for record, _ in records)
    seeded = [probe, *(replace(probe, seed=probe.seed + k, rows=1) for k in range(1, seeds))]
    return [
        Run(
            depends_on={
                "run": "probe",
                "rows": data_hash(row_hash for _, row_hash in records),
                "base": base.card.identity,
                "device": str(base.model.device),
                "trained_from": trained_from,
                "probe": params,
            },
            steps=count_steps(unseen, params) + count_reading_steps(min(unseen, params.read_rows), params),
            shape=NoiseRun,
            measure=partial(run_noise_probe, records, base, params),
        )
        for params in seeded
    ]


def run_noise_probe(
    records: Sequence[HashedRecord], base: ProbedModel, probe: ProbeParams, progress: Progress = ignore_progress
) -> NoiseRun:
    """Do one A/A run. Raises NotAssessedError when too few rows can be probed, or the run diverges."""
    from training.probe import probe_loss
    from training.probed_model import copy_probed_model

    trained = copy_probed_model(base.model)
    result = probe_loss(trained, base.tokenizer, records, probe, base.card.trained_from, progress)
    if not math.isfinite(result.l):
        raise NotAssessedError(f"calibration: the probe diverged; lower probe.learning_rate ({probe.learning_rate:g})")
    # An unpaired row without a chosen answer has no loss of a chosen answer.
    rows = [row for row in result.rows if math.isfinite(row.loss_nats)]
    return NoiseRun(
        result.l,
        tuple(row.hash for row in rows),
        tuple(row.loss_nats for row in rows),
        tuple(row.tokens for row in rows),
    )


def gather_rows(
    records: Sequence[HashedRecord],
    runs: Sequence[NoiseRun],
    agreement: NDArray[np.float64],
    probe: ProbeParams,
    trained_from: float,
) -> RowMeasures:
    """What the runs tell about each row of ``records``, together with its ``agreement``, shape (rows,).

    Several runs may probe the same row, and find the same loss.
    """
    from training.probe_run import choose_probe_rows

    index_of = {row_hash: i for i, (_, row_hash) in enumerate(records)}
    losses = np.full(len(records), math.nan)
    tokens = np.zeros(len(records), dtype=np.int64)
    for run in runs:
        rows = [index_of[row_hash] for row_hash in run.row_hashes]
        losses[rows], tokens[rows] = run.losses_nats, run.tokens
    order = [index_of[row_hash] for _, row_hash in choose_probe_rows(records, len(records), probe.seed, trained_from)]
    return RowMeasures(
        agreement,
        losses,
        tokens,
        np.array([row for row in order if not math.isnan(losses[row])], dtype=np.int64),
        probe.trained_rows,
        probe.skipped_steps * probe.batch_rows,
    )
