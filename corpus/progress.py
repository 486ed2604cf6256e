"""How long work says how far it is: functions that are told, and those that do nothing with it."""

from __future__ import annotations

from collections.abc import Callable

# Told how much is done, and of how much where that is known.
Progress = Callable[[int, int | None], None]
# The same, with the name of the stage that the work is in.
StageProgress = Callable[[str, int, int | None], None]
# Told how much more is done since the last call.
Advance = Callable[[int], None]


def ignore_progress(done: int, total: int | None) -> None:
    """The Progress that shows nothing."""


def ignore_stages(stage: str, done: int, total: int | None) -> None:
    """The StageProgress that shows nothing."""


def ignore_advance(more: int) -> None:
    """The Advance that shows nothing."""


def part_of(progress: Progress, part: int, parts: int) -> Progress:
    """Progress of one of several parts of equal length, told as progress of the whole; ``part`` from 0.

    >>> part_of(print, 1, 2)(3, 10)
    13 20
    """

    def report(done: int, total: int | None) -> None:
        progress(done if total is None else part * total + done, None if total is None else parts * total)

    return report
