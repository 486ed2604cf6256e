"""How commands show things to a person: progress bars, a result as JSON or as a few lines."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from corpus.progress import Progress, StageProgress
from entropylaw.plain_progress import write_lines
from entropylaw.printing import print_json, say, unguarded
from reports.escaping import escape_log

if TYPE_CHECKING:
    from rich.progress import TaskID

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
def show_stages(labels: Mapping[str, str]) -> Iterator[StageProgress]:
    """A function of (stage, done, total) that draws the stage's bar on stderr when that is a terminal.

    The bar shows the stage's label, what is done, how much of it a second, and the time left; the next stage's bar
    takes its place. Where stderr is no terminal, a line every 30 seconds says the same.
    """
    if not sys.stderr.isatty():
        with write_lines(labels) as report_line:
            yield report_line
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(format_rate(task.finished_speed or task.speed))

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=unguarded(sys.stderr)), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                for task in tasks.values():
                    bar.update(task, visible=False)
                tasks[stage] = bar.add_task(escape_log(labels[stage]), total=None)
            bar.update(tasks[stage], completed=done, total=total)

        yield report


@contextlib.contextmanager
def show_progress(title: str) -> Iterator[Progress]:
    """A function of (done, total) that draws one bar as `show_stages` does."""
    with show_stages({title: title}) as report:
        yield lambda done, total: report(title, done, total)


def last_line(text: str) -> str:
    """The last line of what another program wrote that is not blank: there it says why it failed.

    >>> last_line("ERROR: no such file\\n\\n  \\n")
    'ERROR: no such file'
    """
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")


def format_rate(per_second: float | None) -> str:
    """
    >>> format_rate(1234.5), format_rate(0.052), format_rate(None)
    ('1,234/s', '0.052/s', '')
    """
    if per_second is None:
        return ""
    return f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second:.2g}/s"


def print_result(result: Any, as_json: bool, lines: list[str]) -> None:
    """The result as JSON, or a few lines for a person, on stdout."""
    if as_json:
        print_json(result)
    else:
        say(*lines)
