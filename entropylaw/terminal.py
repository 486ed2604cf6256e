"""What every command says to a person: progress bars, JSON on request, errors in one line."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from corpus.artifacts import to_json

Progress = Callable[[int, int | None], None]
T = TypeVar("T")

# Rows between two reports of a stream, whose length is not known.
STREAM_STEP = 1000


def count_rows(rows: Iterable[T], progress: Progress) -> Iterator[T]:
    """The same rows, reported as they go by."""
    for done, row in enumerate(rows, start=1):
        yield row
        if done % STREAM_STEP == 0:
            progress(done, None)


@contextlib.contextmanager
def show_progress(title: str) -> Iterator[Progress]:
    """A function of (done, total) that draws a bar on stderr when that is a terminal, and nothing otherwise."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_result(result: Any, as_json: bool, lines: list[str]) -> None:
    """The result as JSON, or a few lines for a person, on stdout."""
    sys.stdout.write(to_json(result) if as_json else "".join(f"{line}\n" for line in lines))
