"""Progress where stderr is no terminal: plain lines of what takes long."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from corpus.errors import EntropylawError
from entropylaw import plain_progress
from entropylaw.demo.repository import DemoRepository
from entropylaw.terminal import show_progress, show_stages


def test_what_takes_long_says_how_far_it_is_also_within_one_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_progress, "SECONDS_BETWEEN_LINES", 0.05)
    with show_stages({"fetch": "fetch MiB", "probe": "x1 (1 of 2): probe"}) as report:
        report("fetch", 3, None)
        time.sleep(0.12)
        report("probe", 5, 36)
        time.sleep(0.12)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "fetch MiB 3, 0 s"
    # How many seconds are told is the machine's doing.
    assert re.fullmatch(r"x1 \(1 of 2\): probe 5 of 36, \d+ s, about \d+ s left", lines[-1])
    time.sleep(0.1)
    assert not capsys.readouterr().err


def test_what_has_not_reported_yet_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_progress, "SECONDS_BETWEEN_LINES", 0.05)
    with show_progress("base model"):
        time.sleep(0.08)
    assert capsys.readouterr().err.startswith("base model, 0 s\n")


def test_what_is_soon_done_says_nothing_and_waits_for_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    with show_progress("prepare") as progress:
        progress(1, 2)
    assert not capsys.readouterr().err and time.monotonic() - started < 5


def test_an_error_ends_the_lines_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_progress, "SECONDS_BETWEEN_LINES", 0.01)
    with pytest.raises(EntropylawError), show_progress("prepare"):
        raise EntropylawError("no")


def test_the_demo_passes_on_the_last_words_of_a_long_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("entropylaw.demo.repository.SECONDS_BETWEEN_LINES", 0.2)
    repository = DemoRepository(tmp_path, time.monotonic())
    words = "import sys, time; print('calibration: steps 5 of 36\\n\\n', flush=True); time.sleep(1)"
    assert repository.run(sys.executable, "-c", words) == 0
    assert "… calibration: steps 5 of 36\n" in capsys.readouterr().out
    with pytest.raises(EntropylawError, match=r"ended with exit code 1: ValueError: bad rows; see"):
        repository.run(sys.executable, "-c", "raise ValueError('bad rows')")


def test_a_command_that_is_stopped_stops_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = DemoRepository(tmp_path, time.monotonic())
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(repository, "say", stop)
    monkeypatch.setattr("entropylaw.demo.repository.SECONDS_BETWEEN_LINES", 0.01)
    (repository.log.parent).mkdir(parents=True, exist_ok=True)
    repository.log.touch()
    with pytest.raises(KeyboardInterrupt):
        repository.wait_for(process)
    assert process.returncode is not None and process.returncode < 0
