"""What continuous integration downloads before it measures, in a repository that DVC itself has run and uploaded."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from corpus.errors import NotAssessedError
from entropylaw.ci.fetch import fetch_inputs, main

# DVC calls what pygtrie will take away.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning")]

PIPELINE = """\
stages:
  base_model:
    cmd: mkdir -p models/base && cp data/baseline.jsonl models/base/weights
    deps: [data/baseline.jsonl]
    outs: [models/base]
  probe:
    cmd: mkdir -p results && cat data/chats.jsonl models/base/weights > results/probe.json
    deps: [data/chats.jsonl, models/base]
    params: [probe]
    outs:
      - results/probe.json: {cache: false}
  report:
    cmd: cp results/probe.json results/report.html
    deps: [results/probe.json]
    outs: [results/report.html]
"""
# In one process, because DVC takes its time to start. The second version is added and uploaded, and not measured.
RUN = """\
from dvc.cli import main
def dvc(*words):
    assert main([*words, "--quiet"]) == 0
dvc("add", "data/baseline.jsonl", "data/chats.jsonl")
dvc("repro", "report")
dvc("push")
import shutil; shutil.copy("data/chats.jsonl.dvc", "first.txt")
open("data/chats.jsonl", "a").write("more\\n")
dvc("add", "data/chats.jsonl")
dvc("push")
"""


@pytest.fixture(scope="module")
def uploaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Git would have of it: the notes of DVC, and results that are kept in Git."""
    folder = tmp_path_factory.mktemp("uploaded")
    for name in (".dvc", "data"):
        (folder / name).mkdir()
    store = folder.parent / f"{folder.name}-store"
    core = "[core]\n    no_scm = True\n    analytics = False\n    remote = store\n"
    (folder / ".dvc" / "config").write_text(f"{core}['remote \"store\"']\n    url = {store}\n")
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "params.yaml").write_text("probe: {steps: 16}\n")
    (folder / "data" / "baseline.jsonl").write_text("base\n")
    (folder / "data" / "chats.jsonl").write_text("chats\n")
    subprocess.run([sys.executable, "-c", RUN], cwd=folder, check=True, capture_output=True)
    for path in (".dvc/cache", ".dvc/tmp", "models", "results/report.html", "data/baseline.jsonl", "data/chats.jsonl"):
        target = folder / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    return folder


@pytest.fixture
def clone(uploaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = shutil.copytree(uploaded, tmp_path / "clone")
    monkeypatch.chdir(folder)
    return folder


def test_it_fetches_what_the_changed_stages_read_and_nothing_else(clone: Path) -> None:
    assert set(fetch_inputs()) == {"data/chats.jsonl", "models/base"}
    assert Path("data/chats.jsonl").read_text() == "chats\nmore\n"
    assert Path("models/base/weights").read_text() == "base\n"
    assert not Path("data/baseline.jsonl").exists() and not Path("results/report.html").exists()


def test_a_version_that_was_measured_needs_nothing(clone: Path) -> None:
    shutil.copy("first.txt", "data/chats.jsonl.dvc")
    assert fetch_inputs() == []
    # A changed parameter makes the stage run again, on the same data.
    Path("params.yaml").write_text("probe: {steps: 24}\n")
    assert set(fetch_inputs()) == {"data/chats.jsonl", "models/base"}


def test_data_that_was_never_uploaded_is_not_assessed(clone: Path) -> None:
    note = Path("data/chats.jsonl.dvc")
    md5 = next(line.split()[-1] for line in note.read_text().splitlines() if "md5:" in line)
    note.write_text(note.read_text().replace(md5, "0" * 32))
    with pytest.raises(NotAssessedError, match="`dvc push`") as error:
        fetch_inputs()
    assert "\n" not in str(error.value) and error.value.exit_code == 3


def test_a_dataset_whose_name_a_shell_would_run_stops_it_before_any_stage(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("params.yaml").write_text('datasets: {"x; touch pwned;": {path: data/chats.jsonl}}\n')
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "params.yaml: datasets: expected" in said
    assert not Path("data/chats.jsonl").exists()
