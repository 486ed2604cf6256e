"""What one conversation may cost a chat template. It is a program of whoever made the model, and may never end."""

from __future__ import annotations

import contextlib
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from corpus.errors import EntropylawError

# Processor time, so that other programs on the machine do not count. Ordinary templates need a thousandth.
MAX_SECONDS = 10.0
# Address space beside what this process has already: a text that grows takes a few times its size.
MAX_MEMORY_BYTES = 2**30
# A template writes what it is given, at most escaped as \u00e9 is, and some words of its own; tools are the longest.
FREE_CHARACTERS = 1_000_000
MAX_GROWTH = 20
_MEMORY_IN_USE = Path("/proc/self/statm")


class TemplateLimitError(EntropylawError):
    """A chat template that goes on without end, or writes without end."""


def _explain(what: str) -> TemplateLimitError:
    return TemplateLimitError(
        f"the chat template {what} for one conversation, as an endless loop does; name another one in "
        "base_model.chat_template, or another model"
    )


def _stop(number: int, frame: FrameType | None) -> None:
    raise _explain(f"took more than {MAX_SECONDS:g} s of processor time")


@contextlib.contextmanager
def limited_template() -> Iterator[None]:
    """End a template in this block that takes too long or too much memory, by a TemplateLimitError.

    Both limits hold in the main thread only, where commands render: the clock is a signal's, and the limit of memory is
    the whole process's, so two threads would undo each other's. The limit of memory needs Linux.
    """
    try:
        with contextlib.ExitStack() as limits:
            if threading.current_thread() is threading.main_thread():
                limits.enter_context(_limited_seconds())
                limits.enter_context(_limited_memory())
            yield
    except MemoryError:
        raise _explain(f"took more than {MAX_MEMORY_BYTES // 2**20} MiB of memory") from None
    except RecursionError:
        raise _explain("called itself without end") from None


@contextlib.contextmanager
def _limited_seconds() -> Iterator[None]:
    before = signal.signal(signal.SIGVTALRM, _stop)
    # Again and again: Python drops an exception that comes while it tidies up an object.
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_SECONDS, MAX_SECONDS / 10)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    try:
        in_use = int(_MEMORY_IN_USE.read_text().split()[0]) * resource.getpagesize()
    except OSError:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = in_use + MAX_MEMORY_BYTES
    if soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def require_fitting_length(written: int, given: int) -> None:
    """Raise TemplateLimitError where a template wrote far more characters than it was given.

    >>> require_fitting_length(written=5_000, given=4_800)
    """
    if written > FREE_CHARACTERS + MAX_GROWTH * given:
        raise _explain(f"wrote {written:,} characters out of {given:,}")
