"""What a calibration costs, said before it starts: how many runs there are, and how long they take on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from corpus.records import HashedRecord

if TYPE_CHECKING:
    from training.probe_run import ProbeParams
    from training.probed_model import ProbedModel

# The first step is left out, because it also loads and reserves memory. The mean of three more is good to a quarter.
TIMED_STEPS = 4


@dataclass(frozen=True)
class CalibrationCost:
    """The runs of a calibration.

    ``noise_runs`` of the probe and ``law_runs`` of the law are still to do; ``kept_runs`` were done before an
    interruption. ``seconds``: estimated for the runs to do.
    """

    noise_runs: int
    law_runs: int
    kept_runs: int
    seconds: float


def time_step(base: ProbedModel, records: Sequence[HashedRecord], probe: ProbeParams) -> float:
    """Seconds of one step of the probe on this machine. The base model is left as it is.

    Raises NotAssessedError when fewer rows than one batch can be probed.
    """
    from training.probe import probe_loss
    from training.probed_model import copy_probed_model

    short = replace(probe, steps=TIMED_STEPS, skipped_steps=0, rows=1)
    times = [time.perf_counter()]
    trained = copy_probed_model(base.model)
    probe_loss(
        trained, base.tokenizer, records, short, base.card.trained_from, lambda *_: times.append(time.perf_counter())
    )
    # The steps are the last that is reported. Where there is one only, it is timed with what came just before it.
    counted = times[-TIMED_STEPS:]
    return (counted[-1] - counted[0]) / (len(counted) - 1)


def describe_cost(cost: CalibrationCost) -> str:
    """The cost in one line, for whoever waits.

    >>> describe_cost(CalibrationCost(5, 12, 0, 184.0))
    '17 runs to go (5 of the probe, 12 of the law), about 3 minutes on this machine'
    >>> describe_cost(CalibrationCost(0, 4, 13, 30.0))
    '4 of 17 runs to go (4 of the law), under a minute on this machine'
    """
    left = cost.noise_runs + cost.law_runs
    runs = f"{left} of {left + cost.kept_runs} runs" if cost.kept_runs else f"{left} runs"
    parts = [f"{count} of the {kind}" for count, kind in ((cost.noise_runs, "probe"), (cost.law_runs, "law")) if count]
    return f"{runs} to go ({', '.join(parts)}), {describe_duration(cost.seconds)} on this machine"


def describe_duration(seconds: float) -> str:
    """A time as people say it.

    >>> [describe_duration(seconds) for seconds in (50, 60, 100, 5390, 5400, 86400)]
    ['under a minute', 'about a minute', 'about 2 minutes', 'about 90 minutes', 'about 1.5 hours', 'about 24 hours']
    """
    if seconds < 55:
        return "under a minute"
    if seconds < 90:
        return "about a minute"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} minutes"
    return f"about {seconds / 3600:.2g} hours"
