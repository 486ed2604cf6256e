"""Every command of docs/adopt.md, as teams type them: from their repository to a pull request that fails.

The part "Everything" is typed in tests/test_pipeline.py, which has the same repository.
"""

from __future__ import annotations

import json
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from adopt_page import PAGE, read_step
from ruamel.yaml import YAML
from stranger import Stranger, garble
from workflow_runner import WorkflowRunner

from corpus.files import write_rows
from entropylaw.demo.chitchat import ChatLog, to_conversation

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
ROWS, NEW, SHARDS = 320, 80, 4
TRAIN = """\
from pathlib import Path

Path("models/chat").mkdir(parents=True)
Path("models/chat/weights").write_text("trained")
"""
OWN_PIPELINE = """\
stages:
  # what we train
  train:
    cmd: python train.py
    deps: [train.py, data/chats]
    outs: [models/chat]
"""

Rows = list[dict[str, Any]]


def check_pull_request(team: Stranger, branch: str) -> tuple[int, str]:
    """The exit code and the comment of the check that `init` wrote, run as the CI system does, in a new clone."""
    clone = team.place / "clone"
    team.run(f"git clone --quiet {team.place / 'origin.git'} {clone}")
    team.run(f"git -C {clone} merge --quiet --no-ff --no-edit origin/{branch}")
    workflow = YAML(typ="safe").load((clone / ".github/workflows/data-risk.yml").read_text())
    # The environment that the workflow would install is the one that runs this.
    (team.home / "data-risk-env").symlink_to(Path(sys.executable).parent.parent)
    job = workflow["jobs"]["measure"]
    job["steps"] = [step for step in job["steps"] if step.get("name") != "Install"]
    variables = {
        "GITHUB_EVENT_NAME": "pull_request", "GITHUB_REPOSITORY": "team/data", "GITHUB_RUN_ID": "42",
        "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REF": "refs/pull/7/merge", "GITHUB_BASE_REF": "main",
    }  # fmt: skip
    context = {
        "github.event_name": "pull_request",
        "github.repository": "team/data",
        "github.event.pull_request.head.repo.full_name": "team/data",
    }
    temp = team.place / "runner"
    temp.mkdir()
    run = WorkflowRunner(workflow, clone, temp, team.environment | variables, context).run_job("measure")
    assert run.result == "failure", run.log
    return run.code, run.outputs["comment"]


@pytest.fixture(scope="module")
def rows(chat_logs: list[ChatLog]) -> Rows:
    logs = [log for log in chat_logs if 200 < sum(map(len, log.turns)) < 2000]
    return [to_conversation(log) for log in logs[: ROWS + NEW]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC cache of both teams: base model and calibration of the same rows are made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.long
def test_monitor_only(tmp_path: Path, cache: Path, rows: Rows) -> None:
    team = Stranger(tmp_path)
    team.run(f"dvc cache dir --local {cache}")
    size = ROWS // SHARDS
    for i in range(SHARDS):
        write_rows(team.folder / f"data/chats/part-{i}.parquet", rows[i * size : (i + 1) * size])
    write_rows(team.home / "incoming/part-new.parquet", [garble(row) for row in rows[ROWS:]])
    (team.folder / "dvc.yaml").write_text(OWN_PIPELINE)
    (team.folder / "train.py").write_text(TRAIN)
    team.begin("data/chats")
    team.run("entropylaw doctor", code=2)
    *_, unmeasured, _, stopped = team.follow("Monitor only")
    assert "run `dvc repro" in unmeasured and "RISKY" in stopped
    assert not (team.folder / "models/chat").exists()
    pipeline = (team.folder / "dvc.yaml").read_text()
    assert pipeline.replace("data-risk/results/approval.json, ", "") == OWN_PIPELINE
    code, comment = check_pull_request(team, "new-chats")
    assert code == 1 and "### ✗ Risky" in comment
    team.follow("When a version is stopped")


@pytest.mark.long
def test_own_trainer(tmp_path: Path, cache: Path, rows: Rows) -> None:
    team = Stranger(tmp_path)
    team.run(f"dvc cache dir --local {cache}")
    write_rows(team.folder / "data/chats.jsonl", rows[:ROWS])
    write_rows(team.home / "incoming/chats.jsonl", [*rows[:ROWS], *map(garble, rows[ROWS:])])
    (team.folder / "train.py").write_text(TRAIN)
    team.begin("data/chats.jsonl")
    team.follow("Your own trainer", before="git switch --create new-chats")
    weights = team.folder / "models/chat/weights"
    assert weights.read_text() == "trained" and (team.folder / "data/export/axolotl/sft.yaml").is_file()
    (entry,) = team.folder.glob("history/*.json")
    assert json.loads(entry.read_text())["scores"]["mt_bench"] == 6.9
    trained = weights.stat().st_mtime_ns
    *_, stopped = team.follow("Your own trainer", after="git push")
    assert "RISKY" in stopped and weights.stat().st_mtime_ns == trained


def test_the_line_that_installs_names_what_is_there() -> None:
    (line,) = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("pipx install")]
    words = shlex.split(read_step(line).command)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert words[:4] == ["pipx", "install", ".[train]", "--pip-args"] and "train" in project["optional-dependencies"]
    assert shlex.split(words[4])[0] == "-c" and (ROOT / shlex.split(words[4])[1]).is_file()
    assert read_step(line).command in (ROOT / "README.md").read_text("utf-8")
