"""Commands are timed by what they compute, and their memory is theirs: neither that of who started them, nor a part."""

import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.timed_commands import TooMuchMemory, time_command
from corpus.errors import EntropylawError

pytestmark = pytest.mark.slow

PYTHON = f"{sys.executable} -S -c"
# Pages count once they are written to.
HOLD = "import time; held = bytearray(b'x') * ({} * 10**6); time.sleep({})"


def test_a_command_is_timed_by_the_seconds_that_it_computes(tmp_path: Path) -> None:
    busy = time_command("busy", f'{PYTHON} "sum(range(10**7))"', tmp_path)
    idle = time_command("idle", "sleep 0.3; exit 3", tmp_path, codes=(0, 3))
    assert busy.cpu_seconds > 0.1 > idle.cpu_seconds
    assert idle.seconds >= 0.3 and busy.peak_mb > 1


def test_its_last_words_are_told_when_it_fails(tmp_path: Path) -> None:
    with pytest.raises(EntropylawError, match="no luck"):
        time_command("fails", "echo no luck; exit 2", tmp_path)


def test_its_variables_are_beside_those_of_this_process(tmp_path: Path) -> None:
    time_command("told", 'test "$PLACE" = here && test -n "$PATH"', tmp_path, environment={"PLACE": "here"})


def test_the_memory_is_the_commands_own(tmp_path: Path) -> None:
    ballast = bytearray(b"x") * (200 * 10**6)
    small = time_command("small", f'{PYTHON} "{HOLD.format(1, 0)}"', tmp_path)
    large = time_command("large", f'{PYTHON} "{HOLD.format(150, 0)}"', tmp_path)
    assert small.peak_mb < 40 < len(ballast) / 1e6
    assert large.peak_mb - small.peak_mb == pytest.approx(149, rel=0.02)


def test_the_memory_of_workers_is_added_up(tmp_path: Path) -> None:
    hold = f'{PYTHON} "{HOLD.format(80, 1.5)}"'
    together = time_command("two", f"{hold} & {hold} & wait", tmp_path)
    assert 160 < together.peak_mb < 230


def test_a_command_that_holds_too_much_is_stopped_with_its_workers(tmp_path: Path) -> None:
    script = tmp_path / "grow.py"
    script.write_text(f"import os, pathlib\npathlib.Path('pid').write_text(str(os.getpid()))\n{HOLD.format(150, 60)}\n")
    began = time.monotonic()
    with pytest.raises(TooMuchMemory) as stopped:
        time_command("grows", f"{PYTHON} 'pass'; {sys.executable} -S grow.py", tmp_path, stop_above_mb=100)
    assert 100 < stopped.value.peak_mb < 200 and time.monotonic() - began < 30
    worker = int((tmp_path / "pid").read_text())
    while is_running(worker):
        assert time.monotonic() - began < 30
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
