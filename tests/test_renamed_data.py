"""Data that was renamed, or read otherwise, at earlier commits: under DVC in all its ways, and in Git."""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from dvc.repo import Repo
from typer.testing import CliRunner

from corpus.errors import EntropylawError
from corpus.files import read_rows
from entropylaw.backfill.past_versions import PastVersion, list_past_versions, number_main_line
from entropylaw.cli import app
from entropylaw.init.pipeline import render_pipeline
from entropylaw.repository.revisions import locate_data

pytestmark = pytest.mark.slow


def git(*words: str) -> str:
    settings = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    return subprocess.run(["git", *settings, *words], check=True, capture_output=True, text=True).stdout.strip()


class Team:
    """A repository that keeps its data in Git, or in DVC."""

    def __init__(self, root: Path, dvc_folder: str = ".") -> None:
        git("init", "--quiet", str(root))
        self.dvc_folder = root / dvc_folder
        self.dvc_folder.mkdir(exist_ok=True)
        self.call(lambda: Repo.init(str(self.dvc_folder), subdir=dvc_folder != ".").close())

    def call(self, action: Callable[[], Any]) -> None:
        with warnings.catch_warnings(action="ignore"):
            action()

    def dvc(self, action: Callable[[Repo], Any]) -> None:
        def run() -> None:
            with Repo(str(self.dvc_folder)) as repo:
                action(repo)

        self.call(run)

    def write(self, path: str, *numbers: int, keys: tuple[str, str] = ("prompt", "completion")) -> str:
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = [{keys[0]: f"q{n}", keys[1]: f"a{n}"} for n in numbers]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def add(self, *paths: str) -> None:
        self.dvc(lambda repo: [repo.add(path) for path in paths])

    def commit(self) -> str:
        git("add", "--all")
        git("commit", "--quiet", "--allow-empty", "-m", "data")
        return git("rev-parse", "--short", "HEAD")


@pytest.fixture
def team(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    return Team(in_tmp_path)


def past(file: str) -> list[PastVersion]:
    return list_past_versions({"sft": Path(file)}, number_main_line())


def files_of(found: list[PastVersion]) -> list[str]:
    assert [version.problem for version in found] == [None] * len(found)
    return [version.data["sft"].file.as_posix() for version in found]


def prompts(argument: str, folder: Path) -> list[str]:
    return [row["prompt"] for _, row in read_rows(locate_data(argument, "sft", folder).path)]


def test_a_file_moved_and_later_edited_and_moved_at_once_keeps_its_versions(team: Team, tmp_path: Path) -> None:
    team.add(team.write("data/a.jsonl", 1))
    team.write("data/other.jsonl", 9)
    team.add("data/other.jsonl")
    team.commit()
    team.dvc(lambda repo: repo.move("data/a.jsonl", "data/b.jsonl"))
    moved = team.commit()
    team.dvc(lambda repo: repo.remove("data/b.jsonl.dvc"))
    Path("data/b.jsonl").unlink()
    team.add(team.write("raw/c.jsonl", 1, 2, 3))
    edited = team.commit()
    found = past("raw/c.jsonl")
    assert files_of(found) == ["data/a.jsonl", "raw/c.jsonl"]
    assert [str(rename) for rename in found[0].data["sft"].renames] == [
        f"renamed from data/a.jsonl to data/b.jsonl ({moved})", f"renamed from data/b.jsonl to raw/c.jsonl ({edited})",
    ]  # fmt: skip
    with pytest.raises(EntropylawError, match=r"tracks such a file at \w{7}; there it is HEAD~2:data/a.jsonl"):
        locate_data("HEAD~2:raw/c.jsonl", "sft", tmp_path / "copy")


def test_a_file_in_git_is_followed_through_a_move_of_its_folder(team: Team) -> None:
    for numbers in ((1, 2), (1, 2, 3)):
        team.write("old/part.jsonl", *numbers)
        team.commit()
    git("mv", "old", "new")
    team.write("new/part.jsonl", 1, 2, 3, 4)
    team.commit()
    assert files_of(past("new/part.jsonl")) == ["old/part.jsonl", "old/part.jsonl", "new/part.jsonl"]
    assert files_of(past("new")) == ["old", "old", "new"]


def test_a_file_renamed_inside_a_folder_of_dvc_is_followed(team: Team) -> None:
    team.write("data/val.jsonl", 7)
    team.add(team.write("data/a.jsonl", 1).rpartition("/")[0])
    team.commit()
    Path("data/a.jsonl").rename("data/b.jsonl")
    team.add("data")
    team.commit()
    team.write("data/b.jsonl", 1, 2)
    team.add("data")
    team.commit()
    assert files_of(past("data/b.jsonl")) == ["data/a.jsonl", "data/b.jsonl"]


def test_the_output_of_a_stage_that_replaced_a_file_is_the_same_dataset(team: Team) -> None:
    team.add(team.write("raw/a.jsonl", 1))
    team.commit()
    team.dvc(lambda repo: repo.remove("raw/a.jsonl.dvc"))
    Path("dvc.yaml").write_text(
        "stages: {clean: {cmd: mkdir -p out; cp raw/a.jsonl out/sft.jsonl, outs: [out/sft.jsonl]}}\n"
    )
    team.dvc(lambda repo: repo.reproduce())
    Path("raw/a.jsonl").unlink()
    team.commit()
    assert files_of(past("out/sft.jsonl")) == ["raw/a.jsonl"]


def test_a_dataset_that_was_not_there_before_is_nobodys_successor(team: Team) -> None:
    team.add(team.write("data/val.jsonl", 5))
    team.commit()
    team.add(team.write("data/a.jsonl", 1))
    team.commit()
    team.dvc(lambda repo: repo.remove("data/val.jsonl.dvc"))
    team.commit()
    found = past("data/a.jsonl")
    assert files_of(found) == ["data/a.jsonl"] and not found[0].data["sft"].renames


@pytest.mark.parametrize("below", [".", "teams/chat"])
def test_a_pipeline_below_the_root_finds_data_beside_it(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    (in_tmp_path / below).mkdir(parents=True, exist_ok=True)
    team = Team(in_tmp_path, below)
    folder = in_tmp_path / below / "data-risk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    team.add(str(Path(team.write("../data/a.jsonl", 1)).resolve()))
    team.commit()
    monkeypatch.chdir(team.dvc_folder)
    team.dvc(lambda repo: repo.move("data/a.jsonl", "data/b.jsonl"))
    monkeypatch.chdir(folder)
    Path("notes").write_text("x")
    team.add(str(Path(team.write("../data/b.jsonl", 1, 2)).resolve()))
    git("add", "--all", ":/")
    team.commit()
    assert files_of(past("../data/b.jsonl")) == ["../data/a.jsonl", "../data/b.jsonl"]


def write_params(path: str, **columns: str) -> None:
    texts = render_pipeline({"sft": path}, columns={"sft": columns} if columns else None)
    Path("params.yaml").write_text(texts["params.yaml"])


@pytest.fixture
def renamed(team: Team) -> Team:
    """Three versions: under a plain path, as params.yaml once had it; with columns of its own; in another file."""
    team.add(team.write("data/a.jsonl", 1))
    Path("params.yaml").write_text("datasets:\n  sft: data/a.jsonl\n")
    team.commit()
    team.add(team.write("data/a.jsonl", 1, 2, keys=("frage", "antwort")))
    write_params("data/a.jsonl", prompt="frage", completion="antwort")
    team.commit()
    # Both are here now, so that only params.yaml tells which one was meant.
    team.add(team.write("data/b.jsonl", 1, 2, 3, keys=("q", "a")))
    write_params("data/b.jsonl", prompt="q", completion="a")
    team.commit()
    return team


def test_each_version_lies_where_params_of_its_time_says_and_is_read_so(renamed: Team) -> None:
    found = past("data/b.jsonl")
    assert files_of(found) == ["data/a.jsonl", "data/a.jsonl", "data/b.jsonl"]
    # The first has none, though what is read of it is all that its params.yaml says.
    assert [version.data["sft"].reading.columns.get("prompt") for version in found] == [None, "frage", "q"]


def compare(*words: str) -> Result:
    return CliRunner().invoke(app, ["compare", "--no-probe", "--json", *words])


@pytest.mark.parametrize("a", ["HEAD~2", "HEAD~1", "HEAD~1:data/a.jsonl"])
def test_compare_reads_a_revision_as_it_was_read_then(renamed: Team, a: str) -> None:
    result = compare(a, "HEAD")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["a"]["name"] == f"{a[:6]}:data/a.jsonl"
    assert (document["rows"]["kept"], document["rows"]["added"]) == ((1, 2) if a == "HEAD~2" else (2, 1))


def compress(path: str) -> str:
    result = CliRunner().invoke(app, ["compress", path])
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    return result.stderr.removeprefix("entropylaw: ").strip()


def test_data_that_is_not_here_is_said_to_be_in_dvc_wherever_that_is_noted(team: Team) -> None:
    team.add(team.write("data/a.jsonl", 1))
    Path("notes").mkdir()
    Path("notes/a.dvc").write_text("wdir: ../data\n" + Path("data/a.jsonl.dvc").read_text())
    Path("data/a.jsonl.dvc").unlink()
    Path("data/a.jsonl").unlink()
    team.commit()
    assert compress("data/a.jsonl") == "data/a.jsonl: no such file; DVC tracks it: run `dvc pull data/a.jsonl`"
    assert compress("data/none.jsonl") == "data/none.jsonl: no such file"


@pytest.mark.parametrize("kept_by", ["git", "dvc"])
@pytest.mark.parametrize("committed", [False, True])
def test_data_that_was_renamed_is_said_to_be(team: Team, kept_by: str, committed: bool) -> None:
    team.write("data/a.jsonl", 1)
    if kept_by == "dvc":
        team.add("data/a.jsonl")
    team.commit()
    if kept_by == "dvc":
        team.dvc(lambda repo: repo.move("data/a.jsonl", "data/b.jsonl"))
    else:
        git("mv", "data/a.jsonl", "data/b.jsonl")
    if committed:
        team.commit()
    told = "data/a.jsonl: no such file; renamed to data/b.jsonl; name that, also in params.yaml"
    assert compress("data/a.jsonl") == told
