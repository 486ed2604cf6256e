"""What a command takes: seconds on the clock, seconds of CPU, and the most memory that it and its workers held."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from corpus.errors import EntropylawError

# Linux counts what a process held before it became the command as the command's, so a process as small as this one
# starts it, and not the benchmark with all its rows. Its own last line says what the command took; the seconds and the
# memory are those of the command and of all processes that it waited for.
_LAUNCHER = """
import json, os, sys, time
began = time.perf_counter()
child = os.posix_spawn("/bin/sh", ["/bin/sh", "-c", sys.argv[1]], os.environ)
_, status, used = os.wait4(child, 0)
took = time.perf_counter() - began
code = os.waitstatus_to_exitcode(status)
print()
print(json.dumps([code, took, used.ru_utime + used.ru_stime, used.ru_maxrss]), flush=True)
"""
# How often the memory of a command with workers is added up. It costs some milliseconds each time.
SECONDS_BETWEEN_LOOKS = 0.25


@dataclass(frozen=True)
class Timing:
    """What one command took: seconds of CPU and on the clock, and the most memory it held, in MB of 10^6 bytes."""

    name: str
    cpu_seconds: float
    seconds: float
    peak_mb: float


class TooMuchMemory(EntropylawError):
    """A command was stopped because it held more than it was allowed. ``peak_mb``: how much that was when it was
    noticed.
    """

    def __init__(self, command: str, peak_mb: float) -> None:
        super().__init__(f"{command}: stopped when it held {peak_mb:,.0f} MB")
        self.peak_mb = peak_mb


def time_command(
    name: str,
    command: str,
    folder: Path,
    codes: Sequence[int] = (0,),
    environment: Mapping[str, str] | None = None,
    stop_above_mb: float = float("inf"),
) -> Timing:
    """Run a command of the shell in a folder, and time it.

    ``environment``: variables beside those of this process. Raises EntropylawError with the command's last words when
    it ends with none of the ``codes``, and TooMuchMemory, having stopped it, when it holds more than ``stop_above_mb``.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAUNCHER, command],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            held = _watch(process, command, stop_above_mb)
        except BaseException:
            # The command and its workers are in a session of their own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        output.seek(0)
        said, _, result = output.read().decode(errors="replace").rstrip().rpartition("\n")
    code, seconds, cpu_seconds, largest_kib = json.loads(result)
    if code not in codes:
        raise EntropylawError(f"{command}: {said.strip()[-500:]}")
    return Timing(name, cpu_seconds, seconds, max(held, largest_kib * 1024) / 1e6)


def _watch(process: subprocess.Popen[bytes], command: str, stop_above_mb: float) -> int:
    """Wait for the end; returns the most bytes that were seen in the command and its workers together."""
    held = 0
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_BETWEEN_LOOKS)
            return held
        held = max(held, _count_bytes(process.pid))
        if held > stop_above_mb * 1e6:
            raise TooMuchMemory(command, held / 1e6)


def _count_bytes(launcher: int) -> int:
    """The memory of the processes below the launcher; pages that several of them share are counted once."""
    total = 0
    with contextlib.suppress(psutil.Error):
        below = psutil.Process(launcher).children(recursive=True)
        for process in below:
            with contextlib.suppress(psutil.Error):
                alone = len(below) == 1
                total += process.memory_info().rss if alone else process.memory_full_info().pss
    return total
