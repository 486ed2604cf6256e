"""Commands that are stopped by Ctrl-C or a signal: nothing half is left, nothing goes on, and the exit code says it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from commands import Place, make_place, write_rows_to

from corpus.artifacts import TEMPORARY_PREFIX, sweep_temporary_files, write_text

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
STOPS = [
    (signal.SIGTERM, 143),
    pytest.param(signal.SIGINT, 130, marks=pytest.mark.torture),
    pytest.param(signal.SIGHUP, 129, marks=pytest.mark.torture),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = make_place(tmp_path_factory.mktemp("place"), "pass")
    write_rows_to(made.folder / "many.jsonl", 200_000)
    return made


def start_writing(place: Place) -> subprocess.Popen[str]:
    """A command in the middle of its work: its temporary file is there."""
    process = place.start(("prepare", "many.jsonl", "--out", "out.jsonl"))
    deadline = time.monotonic() + 300
    while not place.temporary_files():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    return process


@pytest.mark.parametrize(("number", "code"), STOPS)
def test_a_stopped_command_tidies_up_and_says_so(place: Place, number: int, code: int) -> None:
    process = start_writing(place)
    process.send_signal(number)
    told, errors = process.communicate(timeout=300)
    assert (process.returncode, told, errors) == (code, "", "entropylaw: stopped\n")
    assert not place.temporary_files() and not (place.folder / "out.jsonl").exists()


def test_what_a_killed_command_left_is_swept_by_the_next_and_only_that(place: Place) -> None:
    process = start_writing(place)
    (living,) = place.temporary_files()
    write_text(place.folder / "other.json", "{}")
    assert place.temporary_files() == [living]  # its writer lives
    process.kill()
    process.communicate()
    stranger = place.folder / ".somebody-elses.tmp"
    stranger.write_text("kept")
    assert place.temporary_files() != [stranger]
    write_text(place.folder / "other.json", "{}")
    assert place.temporary_files() == [stranger]
    stranger.unlink()


def test_a_signal_that_is_ignored_stays_ignored(place: Place) -> None:
    """As under `nohup`, which has a job outlive its terminal."""
    process = place.start(("history",), before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    time.sleep(0.3)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=300)
    assert process.returncode == 0


def list_children(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children(recursive=True) if child.is_running()]


TWO_PROCESSES = ("--workers", "2", "--engine", "processes")


@pytest.fixture(
    params=["select zip many.jsonl --out chosen.jsonl --rows 30000", "consistency many.jsonl"],
    ids=["select", "consistency"],
)
def sharing_out(place: Place, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A command with two workers, which are there."""
    process = place.start((*request.param.split(), *TWO_PROCESSES))
    deadline = time.monotonic() + 300
    while sum("spawn_main" in " ".join(child.cmdline()) for child in list_children(psutil.Process(process.pid))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.torture)]
)
def test_no_worker_outlives_its_command(sharing_out: subprocess.Popen[str], number: int, code: int) -> None:
    children = list_children(psutil.Process(sharing_out.pid))
    sharing_out.send_signal(number)
    _, errors = sharing_out.communicate(timeout=300)
    assert sharing_out.returncode == code and "Traceback" not in errors
    _, alive = psutil.wait_procs(children, timeout=120)
    assert not alive


def test_no_worker_of_calibrate_outlives_it(tmp_path: Path) -> None:
    """Its workers wait for work on a pipe that they hold open themselves: only a watch on the parent ends them."""
    (tmp_path / "pool.py").write_text(
        "import multiprocessing, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from corpus.interrupts import leave_interrupts_to_parent\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    pool = ProcessPoolExecutor(2, context, leave_interrupts_to_parent)\n"
        "    list(pool.map(time.sleep, [0.1, 0.1]))\n"
        "    print('began', flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "pool.py"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None and process.stdout.readline() == "began\n"
        children = list_children(psutil.Process(process.pid))
        assert len(children) >= 2
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=120)
    assert not alive


def test_a_folder_is_swept_of_nothing_but_temporary_files(tmp_path: Path) -> None:
    names = [f"{TEMPORARY_PREFIX}a.tmp", ".a.json.x.tmp", f"{TEMPORARY_PREFIX}a.json", "a.tmp"]
    for name in names:
        (tmp_path / name).write_text("x")
    sweep_temporary_files(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])


@pytest.mark.parametrize("kind", ["link", "pipe", "link to a pipe"])
def test_what_only_has_the_name_of_a_temporary_file_is_not_followed_or_waited_for(tmp_path: Path, kind: str) -> None:
    kept, name = tmp_path / "kept", tmp_path / f"{TEMPORARY_PREFIX}a.tmp"
    if "pipe" in kind:
        os.mkfifo(kept if "link" in kind else name)
    if "link" in kind:
        name.symlink_to(kept)
        kept.exists() or kept.write_text("kept")
    sweep = threading.Thread(target=sweep_temporary_files, args=(tmp_path,), daemon=True)
    sweep.start()
    sweep.join(10)
    assert not sweep.is_alive()
    assert name.is_symlink() == ("link" in kind)


LOST = {
    "an object that is tidied up": "Finalized()",
    "the collection of garbage": "gc.callbacks.append(lambda phase, info: hit()); gc.collect(); gc.callbacks.clear()",
    "code that drops all it can catch": "try:\n        hit()\n    except BaseException:\n        pass",
}


@pytest.mark.parametrize("where", LOST)
def test_a_signal_that_got_lost_ends_the_command_once(where: str, tmp_path: Path) -> None:
    """It comes again, but not while the command tidies up."""
    (tmp_path / "lose.py").write_text(
        "import gc, os, signal, sys, time\n"
        "from corpus.interrupts import end_like_ctrl_c, interrupt_code\n"
        "def hit(*arguments):\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(0)\n"
        "class Finalized:\n    __del__ = hit\n"
        "end_like_ctrl_c()\n"
        f"try:\n    {LOST[where]}\n    print('lost', flush=True)\n    time.sleep(20)\n"
        "except KeyboardInterrupt:\n    time.sleep(0.3)\n    print('tidied up')\n    sys.exit(interrupt_code())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "lose.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "lost\ntidied up\n", "")
