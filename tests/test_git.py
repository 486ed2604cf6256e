"""What is asked of Git, and what is said where there is no Git to ask."""

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from corpus.errors import EntropylawError
from entropylaw.cli import app
from entropylaw.repository import git


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One commit with two files, and a third file that is not committed."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/a b.jsonl").write_text("a\n")
    Path("c.txt").write_text("c\n")
    for words in (
        ("init", "--quiet"),
        ("add", "--all"),
        ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "commit", "--quiet", "-m", "one"),
    ):
        subprocess.run(["git", *words], check=True)
    Path("new.txt").write_text("new\n")
    return tmp_path


def test_a_command_that_git_refuses_has_an_empty_answer(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git.run_git("rev-parse", "HEAD", folder=tmp_path) == ""
    assert git.run_git("no-such-command", folder=tmp_path) == ""
    assert git.run_git("status", folder=tmp_path / "missing") == ""


def test_without_git_every_question_is_answered_by_one_line(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("chats.jsonl").write_text("{}\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EntropylawError, match=r"^git: no such command on the PATH; install Git"):
        git.resolve_commit("HEAD")
    for command in (["compare", "HEAD~1", "HEAD"], ["init", "--dataset", "sft=chats.jsonl"], ["backfill"]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 2
        assert result.stderr.startswith("entropylaw: git: no such command") and result.stderr.count("\n") == 1


def test_what_is_committed_is_told_from_what_is_not(repository) -> None:
    (commit,) = git.list_main_line()
    assert git.resolve_commit("HEAD") == commit and git.resolve_commit("--help") is None
    committed = git.list_committed(commit, ["data", "c.txt", "new.txt"])
    assert committed == git.hash_as_git(["data/a b.jsonl", "c.txt"])
    assert git.hash_as_git(["c.txt", "gone.txt"]) == {}


def test_a_folder_is_named_as_seen_from_the_root(repository) -> None:
    assert git.find_subfolder() == "" and git.find_subfolder(Path("data")) == "data"
    assert Path(git.find_root()).resolve() == repository.resolve()
