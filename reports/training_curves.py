"""The loss curves that DVCLive wrote while models were trained on a version."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import EntropylawError

# The files in a DVCLive folder, which `dvc plots show` draws too.
TRAINED_ON = Path("plots/metrics/train/loss.tsv")
HELD_OUT = Path("plots/metrics/eval/loss.tsv")
# Enough to show the course of a run; the files have every step.
MAX_STEPS = 100


@dataclass(frozen=True)
class TrainingCurve:
    """The losses of one run, as (optimiser step, loss): of the rows trained on, and of the held-out ones.

    Of each at most 100 steps, evenly chosen. ``steps``: how many steps with a training loss were logged.
    """

    dataset: str
    method: str
    steps: int
    train: tuple[tuple[int, float], ...]
    held_out: tuple[tuple[int, float], ...]


def read_training_curve(dataset: str, method: str, folder: str | Path) -> TrainingCurve | None:
    """Read the curve in a DVCLive folder; None where no step was logged.

    Raises EntropylawError naming the file when one cannot be read.
    """
    train, held_out = (_read_losses(Path(folder) / file) for file in (TRAINED_ON, HELD_OUT))
    if not train:
        return None
    return TrainingCurve(dataset, method, len(train), thin_steps(train), thin_steps(held_out))


def thin_steps(steps: list[tuple[int, float]], most: int = MAX_STEPS) -> tuple[tuple[int, float], ...]:
    """At most ``most`` of the steps, evenly chosen, with the first and the last.

    >>> thin_steps([(1, 4.0), (2, 3.5), (3, 3.2), (4, 3.1), (5, 3.0)], 3)
    ((1, 4.0), (3, 3.2), (5, 3.0))
    """
    if len(steps) <= most:
        return tuple(steps)
    return tuple(steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most))


def _read_losses(path: Path) -> list[tuple[int, float]]:
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file, delimiter="\t")]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        raise EntropylawError(f"{path}: not a readable curve of losses; run `dvc repro` again") from None
    return [(step, loss) for step, loss in rows if math.isfinite(loss)]
