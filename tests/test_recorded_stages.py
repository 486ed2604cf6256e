"""`dvc status` after an entry was added to the history: clean where it was clean, and nothing else is covered up."""

import subprocess
import sys
from pathlib import Path

import pytest

from entropylaw.repository.dvc_locks import KEPT_LOCK, kept_lock, restore_torn_lock
from entropylaw.repository.lockfile import LOCK_FILE
from entropylaw.repository.recorded_stages import list_fresh_stages, record_stages

pytestmark = pytest.mark.slow

# In a folder below the root of the DVC repository, as in a monorepo.
PIPELINE = """\
stages:
  assess:
    cmd: mkdir -p results && cp data.txt results/verdict.json
    deps: [data.txt, history]
    outs:
      - results/verdict.json: {cache: false}
  report:
    cmd: echo made > results/report.html && echo made > results/report.md
    deps: [results/verdict.json, history]
    outs:
      - results/report.html
      - results/report.md: {cache: false}
  train:
    cmd: echo trained > model.txt
    deps: [data.txt]
    outs: [model.txt]
"""
RUN = "from dvc.cli import main; assert main(['repro', '--quiet']) == 0"


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = True\n    analytics = False\n")
    folder = tmp_path / "data-risk"
    (folder / "history").mkdir(parents=True)
    (folder / "history" / "x1.json").write_text("{}")
    (folder / "data.txt").write_text("rows")
    (folder / "dvc.yaml").write_text(PIPELINE)
    subprocess.run([sys.executable, "-c", RUN], cwd=folder, check=True, capture_output=True)
    monkeypatch.chdir(folder)
    return folder


def test_what_was_up_to_date_stays_so_with_the_new_entry_and_the_new_reports(pipeline: Path) -> None:
    fresh = list_fresh_stages()
    assert fresh == ("assess", "report")
    Path("history/x2.json").write_text("{}")
    Path("results/report.html").write_text("x2")
    Path("results/report.md").write_text("x2")
    assert list_fresh_stages() == ()
    record_stages(fresh)
    assert list_fresh_stages() == fresh
    # What DVC has in its cache is the report that is here, so a checkout does not bring back the old one.
    cached = [path.read_text() for path in (pipeline.parent / ".dvc" / "cache" / "files").rglob("*") if path.is_file()]
    assert "x2" in cached


def test_what_was_stale_before_stays_stale(pipeline: Path) -> None:
    Path("data.txt").write_text("other rows")
    fresh = list_fresh_stages()
    assert fresh == ("report",)
    Path("history/x2.json").write_text("{}")
    record_stages(fresh)
    assert list_fresh_stages() == ("report",)
    assert "other rows" not in Path("results/verdict.json").read_text()


def test_where_dvc_keeps_no_record_there_is_nothing_to_keep_true(pipeline: Path) -> None:
    Path("dvc.lock").write_text("<<<<<<< HEAD\nstages: {}\n=======\n")
    assert list_fresh_stages() == ()
    Path("dvc.lock").unlink()
    assert list_fresh_stages() == ()
    record_stages(())


@pytest.mark.parametrize("left", ["", "schema: '2.0'\nstages:\n  assess:\n    cmd: entr", "- a list"])
def test_a_lock_that_a_kill_cut_off_is_put_back(pipeline: Path, left: str) -> None:
    whole = LOCK_FILE.read_text()
    with pytest.raises(KeyboardInterrupt), kept_lock():
        LOCK_FILE.write_text(left)
        raise KeyboardInterrupt
    assert LOCK_FILE.read_text() == whole and not KEPT_LOCK.exists()
    # Killed, nobody tidies up: the next command does.
    KEPT_LOCK.write_text(whole)
    LOCK_FILE.write_text(left)
    restore_torn_lock()
    assert LOCK_FILE.read_text() == whole and not KEPT_LOCK.exists()


def test_a_lock_that_was_written_since_stays(pipeline: Path) -> None:
    KEPT_LOCK.parent.mkdir(exist_ok=True)
    KEPT_LOCK.write_text("an old one")
    whole = LOCK_FILE.read_text()
    restore_torn_lock()
    assert LOCK_FILE.read_text() == whole and not KEPT_LOCK.exists()
