"""Ctrl-C where several processes work for one command: it reaches all of them, and one is to decide what it means."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker


@contextlib.contextmanager
def hold_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends, also from a process that is started in it.

    Otherwise a process that is still importing what it is to run would answer Ctrl-C with a traceback.
    """
    # Starting it later, inside the block, would let interrupts through again.
    resource_tracker.ensure_running()
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def leave_interrupts_to_parent() -> None:
    """Have the current process ignore Ctrl-C; the process that started it ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
