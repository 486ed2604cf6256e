"""Commands that run at the same time: what one writes, the other keeps."""

from __future__ import annotations

import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import RULES, Place, make_place

from corpus.artifacts import read_json
from corpus.errors import EntropylawError
from entropylaw.repository.locking import LOCK, one_at_a_time
from monitor.history import read_history
from monitor.waivers import read_waivers

pytestmark = pytest.mark.slow

WHO = ("--reason", "meant", "--owner", "ana", "--expires", "2999-12-31")
ROUNDS = [1, pytest.param(10, marks=pytest.mark.torture)]


def run_together(place: Place, *commands: tuple[str, ...]) -> list[int]:
    """The exit codes of commands that are started at once."""
    processes = [place.start(words) for words in commands]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert "Traceback" not in errors, errors
    return [process.returncode for process in processes]


@pytest.mark.parametrize("rounds", ROUNDS)
def test_no_waiver_is_lost(tmp_path: Path, rounds: int, tally) -> None:
    for number in range(rounds):
        place = make_place(tmp_path / str(number))
        assert run_together(place, *(("waive", rule, *WHO) for rule in RULES)) == [0, 0, 0]
        assert {waiver.rule for waiver in read_waivers(place.folder / "waivers.yaml", RULES)} == set(RULES)
        assert not place.temporary_files()
    tally("commands side by side", 3 * rounds)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_no_score_is_lost(tmp_path: Path, rounds: int, tally) -> None:
    for number in range(rounds):
        place = make_place(tmp_path / str(number))
        last = read_history(place.folder / "history")[-1]
        # Of an accepted version in its entry, of the version under test in a file of its own.
        accepted = [("score", last.name, "--benchmark", name, "--value", "0.5") for name in "ab"]
        tested = [("score", "--benchmark", name, "--value", "0.5") for name in "cd"]
        assert run_together(place, *accepted, *tested) == [0, 0, 0, 0]
        assert read_history(place.folder / "history")[-1].scores.keys() >= {"a", "b"}
        assert read_json(place.folder / "results" / "scores.json")["z"].keys() == {"c", "d"}
    tally("commands side by side", 4 * rounds)


def test_a_lock_that_a_killed_process_left_is_no_obstacle(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    (place.folder / LOCK).write_text("process 1")
    assert place.run("waive", RULES[0], *WHO).returncode == 0


def test_who_waits_says_for_whom_and_can_be_stopped(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    with one_at_a_time(place.folder / LOCK):
        process = place.start(("waive", RULES[0], *WHO))
        assert process.stderr is not None
        assert process.stderr.readline() == f"entropylaw: waiting for process {os.getpid()}, which writes here too\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 143
        process.communicate()
    assert not (place.folder / "waivers.yaml").exists()


def _add_one(number: int, folder: str) -> None:
    os.chdir(folder)
    for _ in range(number):
        with one_at_a_time():
            count = int(Path("count").read_text())
            time.sleep(0)
            Path("count").write_text(str(count + 1))


@pytest.mark.parametrize("times", [50, pytest.param(2_000, marks=pytest.mark.torture)])
def test_only_one_is_in_the_block_while_the_file_of_the_lock_comes_and_goes(tmp_path: Path, times: int) -> None:
    (tmp_path / "count").write_text("0")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_add_one, args=(times, str(tmp_path))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    assert (tmp_path / "count").read_text() == str(4 * times)


def test_where_nothing_can_be_locked_a_command_says_so(
    in_tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(38, os.strerror(38))

    monkeypatch.setattr("fcntl.flock", refuse)
    with one_at_a_time():
        pass
    assert "cannot be locked (Function not implemented)" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "pipe"])
def test_what_is_committed_in_the_locks_place_is_refused_and_left_as_it_is(in_tmp_path: Path, kind: str) -> None:
    victim = Path("victim")
    if kind == "link":
        victim.write_text("kept")
    if "link" in kind:
        LOCK.symlink_to(victim)
    elif kind == "folder":
        LOCK.mkdir()
    else:
        os.mkfifo(LOCK)
    with pytest.raises(EntropylawError, match=r"^\.entropylaw-lock\.tmp: is no file .* delete it$"), one_at_a_time():
        pytest.fail("ran without a lock")
    assert os.path.lexists(LOCK)
    assert victim.read_text() == "kept" if kind == "link" else not victim.exists()


def test_a_stage_ends_when_dvc_is_killed(tmp_path: Path) -> None:
    """Also where a shell stands between the two; else the stage would write beside the one of the next run."""
    place = make_place(tmp_path)
    words = shlex.join([sys.executable, "-m", "entropylaw", "waive", RULES[0], *WHO])
    line = f"DVC_STAGE=prepare {words}; true"
    with one_at_a_time(place.folder / LOCK):
        dvc = subprocess.Popen(
            [sys.executable, "-c", f"import subprocess; subprocess.run(['sh', '-c', {line!r}])"],
            cwd=place.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        with dvc:
            assert dvc.stdout is not None
            assert "waiting for" in dvc.stdout.readline()
            dvc.kill()
            assert dvc.stdout.read() == "entropylaw: stopped\n"  # to its end: nobody is left that could write to it
