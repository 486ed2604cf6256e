"""Which pipeline a command is about, by the folder it is started in."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from sample_verdicts import long_history
from typer.testing import CliRunner

from corpus.errors import EntropylawError
from entropylaw.cli import app
from entropylaw.init.pipeline import render_pipeline
from entropylaw.repository.pipeline_folder import find_pipeline, is_pipeline
from monitor.history import write_entry

Run = Callable[..., Result]

OURS = render_pipeline({"sft": "data/sft.jsonl"})["dvc.yaml"]
OTHERS = """\
stages:
  train:
    # reads what `entropylaw assess` wrote
    desc: runs after entropylaw assess
    cmd: python train.py
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A Git repository whose own dvc.yaml is another team's."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return write_pipeline(tmp_path, OTHERS)


def write_pipeline(folder: Path, text: str = OURS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dvc.yaml").write_text(text)
    return folder


def track(root: Path) -> None:
    subprocess.run(["git", "-C", str(root), "add", "--all"], check=True)


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        (OURS, True),
        ("stages:\n  assess:\n    cmd: uv run entropylaw assess --json\n", True),
        ("stages:\n  all:\n    cmd:\n      - entropylaw  assess\n", True),
        (OTHERS, False),
        ("stages: {}\n", False),
    ],
)
def test_our_pipeline_is_known_by_the_stage_that_assesses(tmp_path: Path, text: str, ours: bool) -> None:
    assert is_pipeline(write_pipeline(tmp_path, text)) is ours


def test_a_pipeline_at_the_root_is_found_from_every_folder_below(root: Path) -> None:
    write_pipeline(root)
    deep = root / "data" / "raw"
    deep.mkdir(parents=True)
    assert [find_pipeline(folder) for folder in (root, deep)] == [root, root]


@pytest.mark.parametrize("tracked", [False, True])
def test_a_pipeline_in_a_folder_of_its_own_is_found_from_the_root_and_from_beside_it(root: Path, tracked: bool) -> None:
    folder = write_pipeline(root / "data-risk")
    (root / "src").mkdir()
    if tracked:
        track(root)
    assert [find_pipeline(start) for start in (root, root / "src", folder)] == [folder] * 3


def test_a_tracked_pipeline_is_found_however_deep_it_lies(root: Path) -> None:
    folder = write_pipeline(root / "teams" / "chat" / "data" / "risk")
    track(root)
    assert find_pipeline(root) == folder


def test_of_several_pipelines_the_nearest_counts_and_from_the_root_each_is_named(root: Path) -> None:
    chat, code = (write_pipeline(root / "teams" / name) for name in ("chat", "code"))
    (code / "data").mkdir()
    assert find_pipeline(chat) == chat and find_pipeline(code / "data") == code
    with pytest.raises(EntropylawError, match="several pipelines: teams/chat, teams/code; go into"):
        find_pipeline(root)


def test_a_repository_inside_the_repository_and_a_hidden_folder_do_not_count(root: Path) -> None:
    demo = write_pipeline(root / "demo")
    subprocess.run(["git", "init", "--quiet", str(demo)], check=True)
    write_pipeline(root / ".venv" / "share")
    assert find_pipeline(root) is None and find_pipeline(demo) == demo


def test_outside_a_git_repository_only_the_folder_itself_counts(tmp_path: Path) -> None:
    write_pipeline(tmp_path)
    (tmp_path / "data").mkdir()
    assert find_pipeline(tmp_path) == tmp_path and find_pipeline(tmp_path / "data") is None


DATA = {"prompt": "What floats?", "completion": "A cork does."}


@pytest.fixture
def team(root: Path) -> Path:
    """A repository whose pipeline lies in `data-risk/` and whose data, in columns of its own names, beside it."""
    texts = render_pipeline({"sft": "../data/qa.jsonl"}, columns={"sft": {"prompt": "frage", "completion": "antwort"}})
    folder = root / "data-risk"
    write_pipeline(folder)
    (folder / "params.yaml").write_text(texts["params.yaml"])
    (root / "data" / "new").mkdir(parents=True)
    for name in ("qa.jsonl", "new/more.jsonl"):
        rows = [{"frage": f"What floats, {i * 7919}?", "antwort": f"Number {i} does."} for i in range(30)]
        (root / "data" / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(folder: Path, *words: object) -> Result:
        monkeypatch.chdir(folder)
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert Path.cwd() == folder
        return result

    return call


@pytest.mark.parametrize("place", [".", "data", "data/new"])
def test_a_command_shows_the_pipelines_results_from_every_folder(team: Path, run: Run, place: str) -> None:
    accepted = long_history(2)
    for entry in accepted:
        write_entry(team / "data-risk" / "history", entry)
    here, there = run(team / "data-risk", "history"), run(team / place, "history")
    assert here.exit_code == there.exit_code == 0 and there.stdout == here.stdout
    assert all(entry.name in there.stdout for entry in accepted)
    folder = os.path.relpath(team / "data-risk", team / place)
    assert there.stderr == f"entropylaw: working in {folder}, the pipeline's folder; run there what is named below\n"
    assert not here.stderr
    # Without a verdict none of them passes.
    assert [run(team / folder, "check").exit_code for folder in ("data-risk", place)] == [3, 3]


def test_files_are_named_as_the_user_sees_them(team: Path, run: Run) -> None:
    result = run(team / "data", "compress", "qa.jsonl", "--out", "new/r.json")
    assert result.exit_code == 0, result.stderr
    assert json.loads((team / "data" / "new" / "r.json").read_text())["rows"] == 30
    # Read as params.yaml says, which it does of this file and not of the copy.
    assert run(team / "data" / "new", "compress", "more.jsonl").exit_code == 2
    assert run(team / "data" / "new", "compress", team / "data" / "qa.jsonl").exit_code == 0


def test_the_output_of_select_lies_where_the_user_stands(team: Path, run: Run) -> None:
    result = run(team / "data", "select", "random", "qa.jsonl", "--rows", 3, "--out", "three.jsonl")
    assert result.exit_code == 0, result.stderr
    assert len((team / "data" / "three.jsonl").read_text().splitlines()) == 3


def test_lint_reads_as_params_says_and_names_files_as_the_user_did(team: Path, run: Run) -> None:
    result = run(team, "lint", "data/qa.jsonl", "--json")
    assert result.exit_code == 0 and "entropylaw:" not in result.stderr
    assert [file["path"] for file in json.loads(result.stdout)["files"]] == ["data/qa.jsonl"]
    assert run(team, "lint", "data/new/more.jsonl").exit_code == 3


@pytest.mark.parametrize("argument", ["qa.jsonl", "plain-*.jsonl", "HEAD:qa.jsonl"])
def test_compare_takes_files_patterns_and_revisions_from_where_the_user_stands(
    team: Path, run: Run, argument: str
) -> None:
    (team / "data" / "plain-1.jsonl").write_text(json.dumps(DATA) + "\n")
    track(team)
    git = ("git", "-C", str(team), "-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run([*git, "commit", "--quiet", "-m", "data"], check=True)
    result = run(team / "data", "compare", "--no-probe", "--json", argument, "qa.jsonl")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["b"]["name"] == "../data/qa.jsonl"
    assert document["rows"]["kept"] == (0 if argument.startswith("plain") else 30)


def test_with_several_pipelines_a_file_is_read_and_a_verdict_is_not_guessed(team: Path, run: Run) -> None:
    write_pipeline(team / "other")
    (team / "plain.jsonl").write_text("".join(json.dumps(DATA) + "\n" for _ in range(30)))
    assert run(team, "compress", "plain.jsonl").exit_code == 0
    result = run(team, "check")
    assert result.exit_code == 2 and "several pipelines: data-risk, other;" in result.stderr


def test_workers_get_the_files_that_the_user_named(team: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # A worker runs the same command line, but in the folder of the process that starts it.
    monkeypatch.setenv("ENTROPYLAW_STARTED_IN", str(team / "data"))
    result = run(team / "data-risk", "compress", "qa.jsonl")
    assert result.exit_code == 0 and not result.stderr
    assert "ENTROPYLAW_STARTED_IN" not in os.environ
