"""Progress of work that takes long: the kinds of functions it is reported to, and ones that ignore it."""

from __future__ import annotations

from collections.abc import Callable

# Called with how much is done, and with the total, None where that is not known.
Progress = Callable[[int, int | None], None]
# The same, with the name of the current stage of the work first.
StageProgress = Callable[[str, int, int | None], None]
# Called with how much more has been done since the last call.
Advance = Callable[[int], None]
# Called with how much is done, by work that does not know its total.
Done = Callable[[int], None]


def ignore_progress(done: int, total: int | None) -> None:
    """The Progress that shows nothing."""


def ignore_stages(stage: str, done: int, total: int | None) -> None:
    """The StageProgress that shows nothing."""


def ignore_advance(more: int) -> None:
    """The Advance that shows nothing."""


def ignore_done(done: int) -> None:
    """The Done that shows nothing."""


def part_of(progress: Progress, part: int, parts: int) -> Progress:
    """A Progress for one of several parts of equal length, which reports the whole to ``progress``; ``part`` from 0.

    >>> part_of(print, 1, 2)(3, 10)
    13 20
    """

    def report(done: int, total: int | None) -> None:
        progress(done if total is None else part * total + done, None if total is None else parts * total)

    return report
