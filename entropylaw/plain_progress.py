"""Progress as plain lines, for a log: now and then one that says how far the work is, and none of what is soon done."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Mapping

from corpus.progress import StageProgress
from entropylaw.printing import note

# A CI system ends a job that says nothing for ten minutes, and a person wonders long before.
SECONDS_BETWEEN_LINES = 30.0


@contextlib.contextmanager
def write_lines(labels: Mapping[str, str], seconds: float | None = None) -> Iterator[StageProgress]:
    """A function of (stage, done, total) as of `show_stages`, of which stderr is told every ``seconds``, by default 30.

    A line comes also while one step takes long: a thread writes it, not who reports.
    """
    every = SECONDS_BETWEEN_LINES if seconds is None else seconds
    started = time.monotonic()
    # The stage and where it is, and when it began; none before the first report.
    state: list[tuple[str, int, int | None, float]] = []
    ended = threading.Event()

    def report(stage: str, done: int, total: int | None) -> None:
        began = state[0][3] if state and state[0][0] == stage else time.monotonic()
        state[:] = [(stage, done, total, began)]

    def write() -> None:
        while not ended.wait(every):
            now = time.monotonic()
            if state:
                stage, done, total, began = state[0]
                line = describe_progress(labels[stage], done, total, now - began)
            else:
                line = describe_progress(next(iter(labels.values())), 0, None, now - started)
            note(line)
            sys.stderr.flush()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield report
    finally:
        ended.set()
        writer.join()


def describe_progress(label: str, done: int, total: int | None, seconds: float) -> str:
    """
    >>> describe_progress("calibration: steps", 1500, 36000, 42.0)
    'calibration: steps 1,500 of 36,000, 42 s, about 16 min left'
    >>> describe_progress("read", 2000, None, 200.0), describe_progress("base model", 0, None, 30.0)
    ('read 2,000, 3 min', 'base model, 30 s')
    """
    count = "" if not done and total is None else f" {done:,}" if total is None else f" {done:,} of {total:,}"
    left = ""
    if total is not None and 0 < done < total:
        left = f", about {_describe_seconds(seconds * (total - done) / done)} left"
    return f"{label}{count}, {_describe_seconds(seconds)}{left}"


def _describe_seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
