"""What continuous integration keeps from run to run: DVC itself decides whether it still fits."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from entropylaw.ci import kept

PIPELINE = """\
stages:
  base_model:
    cmd: echo made >> made.txt && mkdir -p models/base && cp data/baseline.jsonl models/base/weights
    deps: [data/baseline.jsonl]
    params: [base_model]
    outs: [models/base]
  calibration:
    cmd: echo made >> made.txt && cp models/base/weights results/calibration.json
    deps: [models/base]
    outs:
      - results/calibration.json: {cache: false}
  report:
    cmd: cp results/calibration.json results/report.html
    deps: [results/calibration.json]
    outs: [results/report.html]
"""
REPRODUCE = "import sys; from dvc.cli import main; sys.exit(main(['repro', '--quiet', '--allow-missing', 'report']))"


def reproduce() -> int:
    """Run the pipeline as the workflow does; how often base model and calibration were made so far."""
    subprocess.run([sys.executable, "-c", REPRODUCE], check=True, capture_output=True)
    return Path("made.txt").read_text().count("made")


@pytest.fixture
def clone(in_tmp_path: Path) -> Path:
    for name in (".dvc", "data", "results"):
        Path(name).mkdir()
    Path(".dvc/config").write_text("[core]\n    no_scm = True\n    analytics = False\n")
    Path("dvc.yaml").write_text(PIPELINE)
    Path("params.yaml").write_text("base_model: {steps: 60}\n")
    Path("data/baseline.jsonl").write_text(json.dumps({"prompt": "a", "completion": "b"}))
    return in_tmp_path


@pytest.mark.slow
def test_a_later_run_makes_neither_again_until_its_parameters_change(clone: Path) -> None:
    store = clone / "store" / "kept"
    assert not kept.save(store) and not store.exists() and not kept.restore(store)
    assert reproduce() == 2
    assert kept.save(store)
    # The next run starts from a fresh clone, without a cache.
    for path in ("dvc.lock", "results/calibration.json", "results/report.html"):
        Path(path).unlink()
    shutil.rmtree("models")
    shutil.rmtree(".dvc/cache")
    assert kept.restore(store)
    assert reproduce() == 2 and Path("results/report.html").exists()
    assert kept.save(store)
    Path("params.yaml").write_text("base_model: {steps: 90}\n")
    Path("dvc.lock").unlink()
    shutil.rmtree("models")
    assert kept.restore(store)
    # Base model, and with the same content no calibration.
    assert reproduce() == 3


def test_what_was_committed_counts_before_what_was_kept(clone: Path) -> None:
    lock = "schema: '2.0'\nstages:\n  base_model:\n    cmd: own\n"
    Path("store").mkdir()
    Path("store/dvc.lock").write_text("schema: '2.0'\nstages:\n  base_model: {cmd: kept}\n  calibration: {cmd: kept}\n")
    Path("dvc.lock").write_text(lock)
    assert not kept.restore(Path("store"))
    assert Path("dvc.lock").read_text() == lock and not Path("models").exists()


def test_a_part_of_what_was_kept_counts_as_nothing(clone: Path) -> None:
    Path("store").mkdir()
    Path("store/dvc.lock").write_text("schema: '2.0'\nstages:\n  base_model: {cmd: kept}\n  calibration: {cmd: kept}\n")
    assert not kept.restore(Path("store"))
    assert not Path("dvc.lock").exists() and not Path("models").exists()


def test_a_lock_file_with_a_merge_conflict_is_one_line(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("dvc.lock").write_text("<<<<<<< HEAD\nstages: {}\n=======\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["kept", "restore", "store"])
        with pytest.raises(SystemExit) as ended:
            kept.main()
    said = capsys.readouterr().err
    assert ended.value.code == 3 and "merge conflict" in said and said.count("\n") == 1
