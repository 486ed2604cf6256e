"""Trials in several processes at once, each with one thread and the base model in its memory."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from corpus.cores import count_cores
from corpus.errors import NotAssessedError
from corpus.interrupts import hold_interrupts, leave_interrupts_to_parent
from entropylaw.power.bench import BenchOptions, PowerBench
from entropylaw.repository import layout
from entropylaw.repository.setting import Setting
from monitor.power.outcomes import Outcome
from monitor.power.trials import Trial
from training.base_model import read_card


def choose_workers(wanted: int | None, trials: int) -> int:
    """How many processes: as many as cores, or as wanted, but no more than trials.

    One for a pretrained base model, because each process holds a copy of it.
    """
    if wanted is None:
        wanted = count_cores() if read_card(layout.BASE_MODEL).pretrained is None else 1
    return max(1, min(wanted, trials))


def run_trials(
    trials: Sequence[Trial], bench: PowerBench, setting: Setting, options: BenchOptions, workers: int
) -> Iterator[tuple[Trial, Outcome]]:
    """Each trial with what came of it, whichever is done first. With one worker they are run here, in order."""
    if workers == 1:
        for trial in trials:
            yield trial, bench.judge(trial)
        return
    # Not fork: the parent has computed with threads, which a forked child inherits half-alive.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start_worker, (setting, options))
    try:
        with hold_interrupts():
            waiting = {pool.submit(_judge, trial): trial for trial in trials}
        for future in as_completed(waiting):
            yield waiting[future], future.result()
        pool.shutdown()
    except BrokenProcessPool:
        raise NotAssessedError(
            "power: a process was stopped from outside, most often because memory ran out; what it had found is kept, "
            "so go on with --workers 1"
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        # A process holds nothing but memory, so it can be ended at any point.
        for process in multiprocessing.active_children():
            process.terminate()


_bench: PowerBench


def _start_worker(setting: Setting, options: BenchOptions) -> None:
    from training.fine_tuning import quiet_libraries
    from training.threads import set_threads

    global _bench
    leave_interrupts_to_parent()
    quiet_libraries()
    set_threads(1)
    _bench = PowerBench(setting, options)


def _judge(trial: Trial) -> Outcome:
    return _bench.judge(trial)
