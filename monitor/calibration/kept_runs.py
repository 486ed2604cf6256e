"""Training runs that are not done twice: each finished one is kept in a file until the calibration is complete."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from corpus.artifacts import fingerprint, parse_result, read_result, write_text
from corpus.errors import NotAssessedError
from corpus.progress import Progress, ignore_progress

Result = TypeVar("Result")


@dataclass(frozen=True)
class Run(Generic[Result]):
    """A run that may have been done before.

    - ``depends_on``: all that its result depends on, in a form that JSON can hold.
    - ``steps``: about how many training steps it takes, for progress and cost.
    - ``measure``: does the run. ``shape``: the dataclass that it returns.
    """

    depends_on: Any
    steps: int
    shape: type[Result]
    measure: Callable[[Progress], Result]

    @property
    def key(self) -> str:
        return fingerprint(self.depends_on)


@dataclass(frozen=True)
class KeptRun:
    """A finished run as a file holds it. ``key``: of the run. ``checksum``: of the result."""

    key: str
    checksum: str
    result: dict[str, Any]


@contextlib.contextmanager
def keep_until_done(folder: Path) -> Iterator[Path]:
    """A folder for finished runs. It stays when the block is interrupted, and is deleted when the block ends well."""
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def finish_runs(runs: Sequence[Run[Result]], folder: Path | None, progress: Progress = ignore_progress) -> list[Result]:
    """The result of every run, in order. A run without a kept result in ``folder`` is done now, and its result kept.

    ``progress`` is told the steps done so far and their number, over all these runs.
    """
    results, before = [], 0
    total = sum(run.steps for run in runs)
    for run in runs:
        result = find_run(run, folder)
        if result is None:
            result = run.measure(_follow(progress, before, run.steps, total))
            if folder is not None:
                keep_run(run, result, folder)
        results.append(result)
        before += run.steps
        progress(before, total)
    return results


def _follow(progress: Progress, before: int, steps: int, total: int) -> Progress:
    return lambda done, _: progress(before + min(done, steps), total)


def keep_run(run: Run[Result], result: Result, folder: Path) -> None:
    """Write a finished run's result with all its digits, so that a continued calibration gives the same bytes."""
    document = asdict(result)  # type: ignore[call-overload]
    text = json.dumps(asdict(KeptRun(run.key, _checksum(document), document)))
    write_text(_file(run, folder), text + "\n")


def find_run(run: Run[Result], folder: Path | None) -> Result | None:
    """The kept result of a run; None where there is none, or where it is damaged or written by another version."""
    if folder is None:
        return None
    try:
        kept = read_result(_file(run, folder), KeptRun)
        if kept.key != run.key or kept.checksum != _checksum(kept.result):
            return None
        return parse_result(kept.result, run.shape, _file(run, folder), complete=True)
    except NotAssessedError:
        return None


def _file(run: Run[Any], folder: Path) -> Path:
    return folder / f"{run.key}.json"


def _checksum(document: Any) -> str:
    return hashlib.blake2b(json.dumps(document).encode(), digest_size=16).hexdigest()
