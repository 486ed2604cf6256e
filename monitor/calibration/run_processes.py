"""Training runs of a small model in several processes at once: so all cores work, each on a run of its own.

Two threads that share one run of such a small model save little time: they mostly wait for each other.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.errors import NotAssessedError
from corpus.interrupts import hold_interrupts, leave_interrupts_to_parent
from corpus.progress import Progress, ignore_progress
from monitor.calibration.kept_runs import Run, find_run, keep_run

if TYPE_CHECKING:
    from training.probed_model import ProbedModel

# Each process needs half a gigabyte for torch, and six seconds to load it.
MAX_PROCESSES = 4
# Runs of fewer tokens than this, half a minute, are done here: a second process would save less than it takes to start.
MIN_TOKENS = 400_000


def count_processes(base: ProbedModel, tokens: int) -> int:
    """How many processes the runs from a base model are worth, of at most so many ``tokens`` together.

    One for a pretrained model, because each process holds a copy, and for a model on a GPU.
    """
    from training.threads import count_threads

    if not is_small(base) or tokens < MIN_TOKENS:
        return 1
    return min(count_threads(), MAX_PROCESSES)


def is_small(base: ProbedModel) -> bool:
    """Whether the base model is the small one that is made from scratch, on a CPU."""
    return base.card.pretrained is None and base.model.device.type == "cpu"


def finish_in_processes(
    runs: Sequence[Run[Any]], folder: Path, processes: int, progress: Progress = ignore_progress
) -> None:
    """Do the runs that have no kept result in ``folder``, several at once, and keep their results there.

    ``progress`` is told the steps done so far and their number, over all the runs, whenever a run has ended. Raises
    what a run raises, and NotAssessedError where a process was ended from outside. The others are then ended.
    """
    waiting = [run for run in runs if find_run(run, folder) is None]
    total = sum(run.steps for run in runs)
    done = total - sum(run.steps for run in waiting)
    with contextlib.closing(_measure_all(waiting, processes)) as results:
        for run, result in results:
            keep_run(run, result, folder)
            done += run.steps
            progress(done, total)


def _measure_all(runs: Sequence[Run[Any]], processes: int) -> Generator[tuple[Run[Any], Any]]:
    """Each run with its result when it has ended, whichever ends first."""
    if not runs:
        return
    # Not fork: the parent has computed with threads, which a forked child inherits half-alive.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(processes, len(runs)), context, _start_process)
    try:
        with hold_interrupts():
            waiting = {pool.submit(_measure, run): run for run in runs}
        for future in as_completed(waiting):
            yield waiting[future], future.result()
        pool.shutdown()
    except BrokenProcessPool:
        raise NotAssessedError(
            "calibration: a process was stopped from outside, most often because memory ran out; set OMP_NUM_THREADS=1 "
            "to do with one process"
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        # A process holds nothing but memory, so it can be ended at any point.
        for process in multiprocessing.active_children():
            process.terminate()


def _start_process() -> None:
    from training.fine_tuning import quiet_libraries
    from training.threads import set_threads

    leave_interrupts_to_parent()
    quiet_libraries()
    set_threads(1)


def _measure(run: Run[Any]) -> Any:
    return run.measure(ignore_progress)
