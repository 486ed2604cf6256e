"""`entropylaw init` given a folder, a pattern, a shard or a dataset on the Hub; and data that DVC keeps already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from ruamel.yaml import YAML
from typer.testing import CliRunner

from corpus.params import read_params
from corpus.prepare import read_prepared
from entropylaw.cli import app
from entropylaw.repository.lockfile import hash_as_dvc

pytestmark = pytest.mark.slow


def write_rows(path: Path, start: int, count: int = 60) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"prompt": f"question {i}", "completion": f"answer {i}"} for i in range(start, start + count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def dvc(*words: str) -> str:
    # Stages call `entropylaw` by its name, as in an active environment.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "dvc", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def init(*words: str) -> Result:
    return CliRunner().invoke(app, ["init", *words])


def require_done(result: Result) -> None:
    assert result.exit_code == 0, result.stderr


def sft_path() -> str:
    named = read_params()["datasets"]["sft"]
    return named if isinstance(named, str) else named["path"]


def prepare_stage() -> dict[str, Any]:
    stage: dict[str, Any] = YAML(typ="safe").load(Path("dvc.yaml"))["stages"]["prepare"]["do"]
    return stage


def require_refused(result: Result, *parts: str) -> None:
    assert result.exit_code == 2 and result.stderr.count("\n") == 1, result.stderr
    assert all(part in result.stderr for part in parts), result.stderr
    assert not Path("dvc.yaml").exists() and not Path("data/baseline.jsonl").exists()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    dvc("init", "--quiet")
    for part in range(3):
        write_rows(Path(f"data/sft/train-{part:05}-of-00003.jsonl"), part * 100)
    return tmp_path


def test_a_folder_is_tracked_as_a_whole_and_runs_through_the_pipeline(repository: Path) -> None:
    require_done(init("--dataset", "sft=data/sft"))
    assert sft_path() == "data/sft"
    assert Path("data/sft.dvc").exists() and not list(Path("data/sft").glob("*.dvc"))
    dvc("repro", "prepare")
    report = json.loads(Path("results/sft/prepare.json").read_text())
    assert [file["first_row"] for file in report["files"]] == [1, 61, 121]
    rows = [record.row for record, _ in read_prepared("data/prepared/sft.jsonl")]
    assert rows == sorted(set(rows)) and rows[-1] == 180
    # One file more makes another version, and DVC sees it.
    write_rows(Path("data/sft/more.jsonl"), 900)
    assert "data/sft" in dvc("status")


def test_a_folder_of_files_that_dvc_has_one_by_one_stays_so(repository: Path) -> None:
    dvc("add", "--quiet", *map(str, sorted(Path("data/sft").glob("*.jsonl"))))
    require_done(init("--dataset", "sft=data/sft"))
    assert not Path("data/sft.dvc").exists()
    dvc("repro", "prepare")
    assert dvc("status", "prepare@sft").strip() == "Data and pipelines are up to date."
    # `check --verify` knows the folder again, also where the data is not here.
    lock = YAML(typ="safe").load(Path("dvc.lock"))["stages"]["prepare@sft"]["deps"]
    recorded = next(dep["md5"] for dep in lock if dep["path"] == "data/sft")
    assert hash_as_dvc(Path("data/sft")) == recorded
    for file in Path("data/sft").glob("*.jsonl"):
        file.unlink()
    assert hash_as_dvc(Path("data/sft")) == recorded


def test_one_shard_stands_for_all_and_a_pattern_depends_on_its_folder(repository: Path) -> None:
    write_rows(Path("data/sft/notes.jsonl"), 500)
    result = init("--dataset", "sft=data/sft/train-00001-of-00003.jsonl")
    require_done(result)
    assert "one shard of several; the dataset is all of them: data/sft/train-*-of-00003.jsonl" in result.stdout
    assert sft_path() == "data/sft/train-*-of-00003.jsonl"
    assert prepare_stage()["deps"] == ["data/sft", "data/heldout.jsonl"]
    dvc("repro", "prepare")
    assert len(json.loads(Path("results/sft/prepare.json").read_text())["files"]) == 3


def test_a_dataset_on_the_hub_is_known_by_its_name(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A local folder of that name stands for the Hub, as in `datasets`.
    monkeypatch.setenv("HF_HOME", str(repository / ".hf"))
    Path("owner/name").mkdir(parents=True)
    write_rows(Path("owner/name/train.jsonl"), 0, 200)
    require_done(init("--dataset", "sft=hf://owner/name@0123abc"))
    assert sft_path() == "hf://owner/name@0123abc"
    assert prepare_stage()["deps"] == ["data/heldout.jsonl"] and "datasets.${key}" in prepare_stage()["params"]
    dvc("repro", "prepare")
    # Another revision is other data.
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("0123abc", "4567def"))
    assert "datasets.sft" in dvc("status", "prepare@sft")


def test_data_that_dvc_links_to_its_cache_is_where_it_stands(repository: Path, tmp_path_factory) -> None:
    dvc("config", "cache.type", "symlink")
    dvc("cache", "dir", str(tmp_path_factory.mktemp("shared")))
    write_rows(Path("data/chats.jsonl"), 0, 200)
    dvc("add", "--quiet", "data/chats.jsonl")
    assert Path("data/chats.jsonl").is_symlink()
    require_done(init("--dataset", "sft=data/chats.jsonl"))
    assert sft_path() == "data/chats.jsonl"


def test_where_dvc_has_the_folder_of_the_pipeline_it_gets_another(repository: Path) -> None:
    dvc("add", "--quiet", "data")
    require_refused(
        init("--dataset", "sft=data/sft", "--pipeline", "."), "data/ is tracked by DVC as a whole (data.dvc)"
    )
    result = init("--dataset", "sft=data/sft")
    require_done(result)
    assert "data/ is tracked by DVC as a whole (data.dvc): the pipeline gets a folder of its own" in result.stdout
    assert not list(Path("data").rglob("*.dvc")) and not Path("data/baseline.jsonl").exists()
    dvc("repro", "data-risk/dvc.yaml:prepare")
    assert dvc("status", "data.dvc").strip() == "Data and pipelines are up to date."


@pytest.mark.parametrize("given", ["data", "data/*.jsonl"])
def test_a_dataset_that_would_hold_the_files_of_the_pipeline_gets_it_beside_it(repository: Path, given: str) -> None:
    write_rows(Path("data/other.jsonl"), 900)
    require_refused(init("--dataset", f"sft={given}", "--pipeline", "."), "would keep files of its own in it")
    result = init("--dataset", f"sft={given}")
    require_done(result)
    assert "data/ as a whole is a dataset" in result.stdout
    assert YAML(typ="safe").load(Path("data-risk/params.yaml"))["datasets"]["sft"]["path"] == f"../{given}"
    dvc("repro", "data-risk/dvc.yaml:prepare")


def test_a_file_in_a_folder_that_dvc_has_is_tracked_already(repository: Path) -> None:
    write_rows(Path("corpus/chats.jsonl"), 0, 200)
    dvc("add", "--quiet", "corpus")
    require_done(init("--dataset", "sft=corpus/chats.jsonl"))
    assert not Path("corpus/chats.jsonl.dvc").exists()
    dvc("repro", "prepare")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["sft=data/sft/a.jsonl", "sft=data/sft/b.jsonl"], ("no such file",)),
        (["sft=data/sft", "sft=data/other.jsonl"], ("sft is given twice", "a folder of their own")),
        (["sft=gone.jsonl"], ("gone.jsonl: no such file; DVC tracks it: run `dvc pull gone.jsonl`",)),
        (["sft=data/none-*.jsonl"], ("no such file",)),
        (["sft=hf://owner/name"], ("names no revision",)),
    ],
)
def test_what_cannot_be_a_dataset_is_one_line_before_anything_is_written(
    repository: Path, options: list[str], parts: tuple[str, ...]
) -> None:
    Path("gone.jsonl.dvc").write_text("outs:\n- md5: 0123abcd0123abcd0123abcd0123abcd\n  path: gone.jsonl\n")
    write_rows(Path("data/other.jsonl"), 0)
    require_refused(init(*[word for option in options for word in ("--dataset", option)]), *parts)
