"""Datasets of several files at past commits: in Git, tracked by DVC file by file, or as a folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from corpus.errors import DataError, EntropylawError
from corpus.files import read_rows
from corpus.formats import Reading
from entropylaw.backfill.past_versions import list_past_versions, number_main_line
from entropylaw.compare import read_version
from entropylaw.repository.committed_data import copy_data, describe_data, hash_present
from entropylaw.repository.git import resolve_commit
from entropylaw.repository.revisions import locate_data

pytestmark = pytest.mark.slow

KEPT_BY = ("git", "dvc files", "dvc folder")


def run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def dvc(*words: str) -> None:
    run(sys.executable, "-m", "dvc", *words)


def write_part(folder: Path, name: str, *numbers: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"prompt": f"q{n}", "completion": f"a{n}"} for n in numbers]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def commit(folder: Path, kept_by: str) -> None:
    if kept_by == "dvc files":
        dvc("add", "--quiet", *(str(file) for file in sorted(folder.glob("*.jsonl"))))
    elif kept_by == "dvc folder":
        dvc("add", "--quiet", str(folder))
    run("git", "add", "--all")
    run(
        "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "--allow-empty", "-m", "data"
    )


@pytest.fixture(scope="module", params=KEPT_BY)
def history(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of a folder: two files; another row in one; a third file. The last commit is about others."""
    root = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("DVC_NO_ANALYTICS", "1")
        run("git", "init", "--quiet")
        dvc("init", "--quiet")
        folder = Path("data/sft")
        write_part(folder, "part-2.jsonl", 1, 2)
        write_part(folder, "part-10.jsonl", 3)
        (folder / "README.md").write_text("About the data.\n")
        commit(folder, request.param)
        write_part(folder, "part-10.jsonl", 3, 4)
        commit(folder, request.param)
        write_part(folder, "other.jsonl", 5)
        commit(folder, request.param)
        Path("notes.txt").write_text("nothing new")
        commit(folder, request.param)
    return root


def numbers(path: object) -> list[str]:
    return [row["prompt"] for _, row in read_rows(path)]


def test_each_version_of_a_folder_is_found_once(history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(history)
    versions = list_past_versions({"sft": Path("data/sft")}, number_main_line())
    assert [version.index for version in versions] == [0, 1, 2]
    assert all(version.here and version.problem is None for version in versions)
    assert versions[-1].stored["sft"].content == hash_present("data/sft")
    assert len({version.stored["sft"].content for version in versions}) == 3


def test_a_pattern_has_only_the_versions_of_its_files(history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(history)
    pattern = "data/sft/part-*.jsonl"
    versions = list_past_versions({"sft": Path(pattern)}, number_main_line())
    assert [version.index for version in versions] == [0, 1]
    assert versions[-1].stored["sft"].content == hash_present(pattern)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("HEAD~3:data/sft", ["q1", "q2", "q3"]),
        ("HEAD~2:data/sft/part-*.jsonl", ["q1", "q2", "q3", "q4"]),
        ("HEAD:data/sft", ["q5", "q1", "q2", "q3", "q4"]),
        ("data/sft", ["q5", "q1", "q2", "q3", "q4"]),
        ("data/sft/part-*.jsonl", ["q1", "q2", "q3", "q4"]),
    ],
)
def test_the_rows_of_a_revision_are_read_in_the_same_order(
    history: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, argument: str, expected: list[str]
) -> None:
    monkeypatch.chdir(history)
    file = locate_data(argument, "sft", tmp_path / "copy")
    assert file.name == argument and numbers(file.path) == expected
    assert len(read_version(file, None, lambda done, total: None, Reading()).rows) == len(expected)


def test_an_error_in_a_copy_names_the_file_of_the_revision(
    history: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(history)
    file = locate_data("HEAD:data/sft", "sft", tmp_path / "copy")
    (file.path / "part-2.jsonl").write_text("nonsense\n")
    with pytest.raises(DataError, match=r"^HEAD:data/sft/part-2.jsonl, line 1: not JSON"):
        read_version(file, None, lambda done, total: None, Reading())


def test_data_that_is_neither_here_nor_on_a_remote_says_so(
    history: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(history, clone, symlinks=True)
    monkeypatch.chdir(clone)
    cache = clone / ".dvc" / "cache"
    if not cache.exists():
        return  # all of it is in Git
    shutil.rmtree(cache)
    shutil.rmtree(clone / ".dvc" / "tmp", ignore_errors=True)
    commit_id = str(resolve_commit("HEAD"))
    stored = describe_data("HEAD:data/sft", "data/sft", commit_id)
    assert stored is not None and not stored.here
    with pytest.raises(EntropylawError, match="dvc fetch --all-commits"):
        copy_data("HEAD:data/sft", "data/sft", commit_id, tmp_path / "copy", lambda done, total: None)


def test_a_folder_that_no_commit_has_is_none(history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(history)
    assert describe_data("HEAD:data/none", "data/none", str(resolve_commit("HEAD"))) is None
    assert list_past_versions({"sft": Path("data/none")}, number_main_line()) == []


def test_a_dvc_file_may_lie_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    run("git", "init", "--quiet")
    dvc("init", "--quiet")
    write_part(Path("data"), "chats.jsonl", 1)
    dvc("add", "--quiet", "data/chats.jsonl")
    Path("notes").mkdir()
    note = Path("notes/chats.dvc")
    note.write_text("wdir: ../data\n" + Path("data/chats.jsonl.dvc").read_text())
    Path("data/chats.jsonl.dvc").unlink()
    commit(Path("data"), "git")
    write_part(Path("data"), "chats.jsonl", 1, 2)
    dvc("commit", "--force", "--quiet", str(note))
    commit(Path("data"), "git")
    versions = list_past_versions({"sft": Path("data/chats.jsonl")}, number_main_line())
    assert [version.problem for version in versions] == [None, None]


def test_a_shallow_clone_says_how_to_get_older_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "whole").mkdir()
    monkeypatch.chdir(tmp_path / "whole")
    run("git", "init", "--quiet")
    for number in (1, 2):
        write_part(Path("data"), "chats.jsonl", number)
        commit(Path("data"), "git")
    run("git", "clone", "--quiet", "--depth", "1", f"file://{tmp_path}/whole", str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    for argument in ("HEAD~1", "HEAD~1:data/chats.jsonl"):
        with pytest.raises(EntropylawError, match="this clone is shallow: `git fetch --unshallow`"):
            locate_data(argument, "sft", tmp_path / "copy")
