"""What ends a command from outside, Ctrl-C or a signal, also where several processes work for one command."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

# What may stand between DVC and a command of ours: what people set SHELL to.
SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "fish", "busybox")
# Shorter than DVC takes to start, so that an orphan is gone before the next run can meet it.
SECONDS_BETWEEN_LOOKS = 0.5
# An interruption that got lost is raised again after so long: behind the code that lost it, and before anyone waits.
SECONDS_UNTIL_AGAIN = 0.1

_received: int | None = None
_has_arrived = False


class Stopped(KeyboardInterrupt):
    """A signal told this program to end. For a KeyboardInterrupt itself Python may end by SIGINT, whatever we do.

    Python drops what is raised while it tidies up an object, and some libraries drop whatever they can catch. So one
    that vanishes before it arrived where it ends the command is raised again.
    """

    def __del__(self) -> None:
        if not _has_arrived:
            signal.setitimer(signal.ITIMER_REAL, SECONDS_UNTIL_AGAIN)


def end_like_ctrl_c() -> None:
    """Have SIGTERM and SIGHUP, which end a job and a terminal, raise KeyboardInterrupt as Ctrl-C does.

    So the same code tidies up after all three. A signal that this process was told to ignore, as by `nohup`, stays
    ignored.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt_again)
    sys.unraisablehook = _tell_of_dropped


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _received
    _received = number
    if number != signal.SIGINT:
        # A second one must not cut short the tidying up; a person who presses Ctrl-C twice means it.
        signal.signal(number, signal.SIG_IGN)
    raise Stopped


def _interrupt_again(number: int, frame: FrameType | None) -> None:
    if not _has_arrived:
        raise Stopped


def _tell_of_dropped(dropped: sys.UnraisableHookArgs) -> None:
    if not isinstance(dropped.exc_value, Stopped):  # that one is not dropped for good
        sys.__unraisablehook__(dropped)


def stop_interrupting() -> None:
    """Let a signal that comes from now on end the process at once: its work is done, and nothing is left to tidy up."""
    global _has_arrived
    _has_arrived = True
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def interrupt_code() -> int:
    """The exit code after a KeyboardInterrupt, as shells have it: 128 plus the signal's number.

    For the place where it ends the command: from here on it has arrived, and is not raised again.

    >>> interrupt_code()
    130
    """
    global _has_arrived
    _has_arrived = True
    return 128 + (_received or signal.SIGINT)


def was_signalled() -> bool:
    """Whether it was a signal to this process alone. Ctrl-C reaches the processes that it started as well."""
    return _received not in (None, signal.SIGINT)


@contextlib.contextmanager
def hold_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends, also from a process that is started in it.

    Otherwise a process that is still importing what it is to run would answer Ctrl-C with a traceback.
    """
    from multiprocessing import resource_tracker

    # Starting it later, inside the block, would let interrupts through again.
    resource_tracker.ensure_running()
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def leave_interrupts_to_parent() -> None:
    """Have the current process, a worker, ignore Ctrl-C: the process that started it ends it.

    Where that one is killed and can end nobody, the worker ends by itself: it would wait for work for ever.
    """
    import multiprocessing
    from multiprocessing.connection import wait

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def end_with_parent() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_starter() -> None:
    """Have this process be sent SIGTERM, within seconds, when the one that started it is killed.

    Otherwise it would go on, and write what the next run is writing too. Shells between the two count as well: DVC
    starts a command by way of one.
    """
    starters = _list_starters()

    def watch() -> None:
        while _list_starters() == starters:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _list_starters() -> list[int]:
    """The ids of the processes that started this one, up to the first that is not a shell."""
    import psutil

    found = [os.getppid()]
    with contextlib.suppress(psutil.Error):
        while (above := psutil.Process(found[-1])).name() in SHELLS:
            found.append(above.ppid())
    return found
