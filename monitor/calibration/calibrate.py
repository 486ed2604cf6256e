"""What is normal on this team's data and base model: noise of L, benign changes, and runs to fit the law on."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.errors import NotAssessedError
from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord
from corpus.row_facts import hashes_of
from monitor.calibration.benign_updates import BenignUpdate, draw_updates, measure_updates
from monitor.calibration.cost import CalibrationCost, time_step
from monitor.calibration.kept_runs import Run, find_run, finish_runs
from monitor.calibration.law_runs import LawTraining, plan_law_runs, split_for_law
from monitor.calibration.noise_runs import gather_rows, plan_noise_runs
from monitor.calibration.params import CalibrationParams
from monitor.calibration.run_processes import count_processes, finish_in_processes, is_small
from monitor.calibration.topics import ROWS_PER_TOPIC, cluster_topics
from monitor.law.curves import fit_law_curves
from monitor.law.results import LawCurve, LawMeasure, LawPoint
from monitor.measures.agreement import row_agreement
from monitor.measures.compression import CompressionParams

if TYPE_CHECKING:
    from training.probe_run import ProbeParams

Announce = Callable[[CalibrationCost], None]

# Of fewer rows an update of 5% exchanges a single one, and half of the rows, which are probed, are a handful.
MIN_ROWS = 30


@dataclass(frozen=True)
class Calibration:
    """What is normal on one baseline and base model.

    - ``noise_l``: L of the unchanged baseline over several seeds, in nats per token.
    - ``updates``: what benign updates change.
    - ``points``: the runs that the entropy law is fitted on. ``curves``: Z over one measure of these runs at a time.
      They are fitted here, once, because a fit takes thousands of shuffles.
    - ``base_identity``: the hash of the base model.
    - ``params``: what it was made with. A verdict measures topics and updates of a later version by the same.
    """

    rows: int
    noise_l: tuple[float, ...]
    updates: tuple[BenignUpdate, ...]
    points: tuple[LawPoint, ...]
    base_identity: str
    params: CalibrationParams
    curves: dict[LawMeasure, LawCurve] = field(default_factory=dict)


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
    """Measure what is normal on a baseline. ``records``: its rows, in file order.

    It takes ``params.seeds`` probe runs and, with ``params.law_runs``, fourteen runs of twice a probe's length.
    ``announce`` is told the cost before the first run, and ``progress`` the training steps. Finished runs are kept in
    the folder ``kept_in``, so that an interrupted calibration goes on where it stopped and gives the same bytes.

    Raises NotAssessedError when the baseline is too small (before any run, if that is known by then), and when a run
    diverges.
    """
    from training.probed_model import load_probed_model
    from training.threads import limit_threads

    rng = np.random.default_rng(params.seed)
    records = choose_rows(records, params.max_rows, rng)
    rows = [record for record, _ in records]
    if len(rows) < MIN_ROWS:
        raise NotAssessedError(
            f"the baseline has {len(rows)} different rows, too few to tell what is normal; "
            f"calibrate on {MIN_ROWS} or more"
        )
    # At least three topics: an update of a single topic shall differ from one of random rows.
    topics = cluster_topics(rows, min(params.topics, max(3, len(rows) // ROWS_PER_TOPIC)), params.seed)
    agreement = row_agreement(rows)

    base = load_probed_model(base_folder)
    tokenizer, card = base.tokenizer, base.card
    noise_runs = plan_noise_runs(records, base, probe, params.seeds)
    noise_steps = sum(run.steps for run in noise_runs)
    held_out, subsets = (
        split_for_law(
            records, tokenizer, card.trained_from, probe, compression, params, rng, noise_steps * probe.batch_rows
        )
        if params.law_runs
        else ((), [])
    )
    law_runs = plan_law_runs(subsets, held_out, base, LawTraining(probe, params.law_learning_rate, compression))
    steps = noise_steps + sum(run.steps for run in law_runs)
    processes = count_processes(base, steps * probe.batch_rows * probe.max_length)
    with contextlib.ExitStack() as stack:
        if is_small(base):
            # With one thread everywhere the last bits depend neither on the cores nor on which process does a run.
            stack.enter_context(limit_threads(1))
        if announce:
            announce_cost(announce, noise_runs, law_runs, kept_in, lambda: time_step(base, records, probe) / processes)
        if processes > 1:
            kept_in = kept_in or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            finish_in_processes([*noise_runs, *law_runs], kept_in, processes, progress)
        noise = finish_runs(noise_runs, kept_in, lambda done, _: progress(done, steps))
        measures = gather_rows(records, noise, agreement, probe, card.trained_from)
        draws = draw_updates(topics, params.update_shares, params.updates, np.random.default_rng(params.seed))
        updates = measure_updates(records, draws, compression, measures)
        points = finish_runs(law_runs, kept_in, lambda done, _: progress(noise_steps + done, steps))
    return Calibration(
        rows=len(records),
        noise_l=tuple(run.l for run in noise),
        updates=updates,
        points=tuple(points),
        base_identity=card.identity,
        curves=fit_law_curves(points, np.random.default_rng(params.seed)),
        params=params,
    )


def choose_rows(records: Sequence[HashedRecord], most: int, rng: np.random.Generator) -> Sequence[HashedRecord]:
    """The distinct rows in file order. Of more than ``most``, so many are drawn at random.

    A careless baseline may repeat itself. What is normal must be measured on its distinct rows: an update that puts a
    new row in the place of a copy is a repair, and would make every later copy look normal.
    """
    chosen = np.flatnonzero(hashes_of(records).flag_first())
    if len(chosen) > most:
        chosen = chosen[np.sort(rng.permutation(len(chosen))[:most])]
    return [records[i] for i in chosen.tolist()]


def announce_cost(
    announce: Announce,
    noise_runs: Sequence[Run[Any]],
    law_runs: Sequence[Run[Any]],
    kept_in: Path | None,
    time_a_step: Callable[[], float],
) -> None:
    """Tell ``announce`` how many runs are left and how long they take. It is told nothing where all are done.

    ``time_a_step``: measures the seconds of one training step. It is called only where runs are left.
    """
    noise_left, law_left = ([run for run in runs if find_run(run, kept_in) is None] for runs in (noise_runs, law_runs))
    if left := [*noise_left, *law_left]:
        seconds = time_a_step() * sum(run.steps for run in left)
        kept = len(noise_runs) + len(law_runs) - len(left)
        announce(CalibrationCost(len(noise_left), len(law_left), kept, seconds))
