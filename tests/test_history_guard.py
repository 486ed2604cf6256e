"""A history that Git knows and that is not here is no first version: with real repositories."""

import contextlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sample_verdicts import data_hash, history, sample_verdict
from typer.testing import CliRunner

from corpus.artifacts import read_json, write_json
from entropylaw.cli import app
from entropylaw.repository.history_guard import TARGET_VARIABLES
from monitor.history import read_history, record_score, replace_entry, write_entry


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.strip()


def commit(message: str) -> str:
    git("add", "--all")
    git("-c", "user.name=Test", "-c", "user.email=test@localhost", "commit", "-q", "--allow-empty", "-m", message)
    return git("rev-parse", "HEAD")


def check(*options: str, command: str = "check") -> tuple[int, str]:
    done = CliRunner().invoke(app, [command, *options])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, " ".join((done.stdout + done.stderr).split())


def entry_file(name: str) -> Path:
    (path,) = Path("history").glob(f"{name}-*.json")
    return path


@pytest.fixture
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*TARGET_VARIABLES, "GITHUB_REF", "CI_MERGE_REQUEST_DIFF_BASE_SHA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def remote_and_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A remote whose main branch has accepted x1 to x4, and a clone of it in a branch of its own."""
    folder = tmp_path_factory.mktemp("team")
    with contextlib.chdir(folder):
        git("init", "--quiet", "--initial-branch=main", "remote")
        for entry in history():
            write_entry("remote/history", entry)
        write_json("remote/results/verdict.json", sample_verdict("pass"))
        with contextlib.chdir("remote"):
            commit("Accept x1 to x4")
        git("clone", "--quiet", "remote", "clone")
        git("-C", "clone", "checkout", "--quiet", "-b", "update")
    return folder


@pytest.fixture
def team(remote_and_clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_ci: None) -> Path:
    shutil.copytree(remote_and_clone, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "clone")
    git("remote", "set-url", "origin", str(tmp_path / "remote"))
    return tmp_path / "clone"


def make_baseline() -> None:
    """What `assess` writes where no history is."""
    write_json("results/verdict.json", sample_verdict("baseline"))
    write_json("results/approval.json", {})


def delete_all() -> None:
    git("rm", "--quiet", "--force", "-r", "history")


def delete_one() -> None:
    git("rm", "--quiet", entry_file("x3").as_posix())


def hide_one() -> None:
    path = entry_file("x4")
    path.rename(path.with_suffix(".txt"))


def move_into_a_subfolder() -> None:
    Path("history/old").mkdir()
    path = entry_file("x4")
    path.rename(path.parent / "old" / path.name)


def edit(name: str, **changes: Any) -> Callable[[], None]:
    def change() -> None:
        path = entry_file(name)
        write_json(path, {**read_json(path), **changes})

    return change


def edit_measures() -> None:
    path = entry_file("x4")
    document = read_json(path)
    document["measurements"]["sft"]["l"] = 9.0
    write_json(path, document)


LOSSES = {
    "all": (delete_all, "4 accepted versions of origin/"),
    "one": (delete_one, "1 accepted version of origin/"),
    "another suffix": (hide_one, "1 accepted version of origin/"),
    "a subfolder": (move_into_a_subfolder, "1 accepted version of origin/"),
    "the version's own hash": (edit("x4", data_hash=data_hash(6)), "1 accepted version of origin/"),
    "another configuration": (edit("x4", config_fingerprint="0" * 16), "1 accepted version of origin/"),
    "other measures": (edit_measures, "x4-"),
}


@pytest.mark.parametrize(("lose", "named"), LOSSES.values(), ids=LOSSES)
def test_a_history_that_was_there_at_the_merge_base_and_is_not_now_is_not_assessed(team, lose, named) -> None:
    assert check()[0] == 0
    base = git("rev-parse", "HEAD")
    lose()
    make_baseline()
    code, said = check()
    assert code == 3 and "of HEAD" in said, said  # not committed yet
    commit("Begin anew")
    for command in ("check", "gate"):
        code, said = check(command=command)
        assert code == 3 and named in said, said
        assert f"`git checkout {base[:7]} -- history`" in said
    assert not Path("results/approval.json").exists()
    for path in Path("history").rglob("*.json"):
        path.unlink()
    git("checkout", base[:7], "--", "history")
    assert check()[0] == 0


def test_a_file_that_is_no_entry_any_more_is_no_pass(team) -> None:
    write_json(entry_file("x4"), [])
    code, said = check()
    assert code == 3 and "restore it from Git" in said
    code, said = check(command="gate")
    assert code == 3 and "x4-" in said


def test_what_the_daily_loop_does_to_the_history_is_no_loss(team) -> None:
    record_score("history", "x2", "mt_bench", 6.5)
    replace_entry("history", replace(read_history("history")[2], anchor=True))
    write_entry("history", replace(history()[3], number=0, name="x5", data_hash=data_hash(5)))
    entry_file("x1").rename("history/first.json")
    commit("Accept x5")
    assert check()[0] == 0


def test_a_waiver_does_not_vanish_by_itself(team) -> None:
    write_entry("history", replace(history()[3], name="x7", data_hash=data_hash(7), status="risky", waived=True))
    commit("Accept x7 under a waiver")
    git("push", "--quiet", "origin", "HEAD:later")
    edit("x7", waived=False, status="pass")()
    commit("Tidy up")
    assert check()[0] == 0  # main does not have it
    code, said = check("--base", "origin/later")
    assert code == 3 and "x7-" in said
    edit("x7", waived=False, anchor=True)()
    commit("Confirm x7")
    assert check("--base", "origin/later")[0] == 0


def test_versions_that_the_target_branch_accepted_since_are_not_asked_for(team) -> None:
    git("checkout", "--quiet", "main")
    write_entry("history", replace(history()[3], number=0, name="theirs", data_hash="9" * 32))
    commit("Accept theirs")
    git("push", "--quiet", "origin", "main:later")
    git("checkout", "--quiet", "update")
    assert check("--base", "origin/later")[0] == 0


def test_a_branch_without_history_where_the_target_branch_has_one_by_now(team) -> None:
    git("checkout", "--quiet", "--orphan", "before")
    delete_all()
    make_baseline()
    commit("Before there was a history")
    code, said = check()
    assert code == 3 and "4 accepted versions of origin/" in said
    git("checkout", "--quiet", "-b", "grown", "before")
    for entry in history():
        write_entry("history", entry)
    commit("Accept x1 to x4")
    git("checkout", "--quiet", "before")
    code, said = check("--base", "grown")
    assert code == 3 and "grown has 4; merge it with `git merge grown`" in said


def test_the_first_pull_request_is_a_baseline_and_says_that_nothing_was_compared(team) -> None:
    git("checkout", "--quiet", "--orphan", "first")
    delete_all()
    make_baseline()
    git("update-ref", "refs/remotes/origin/main", commit("Begin"))
    git("remote", "set-head", "origin", "main")
    commit("More")
    code, said = check()
    assert code == 0 and "Nothing was compared" in said


@pytest.mark.parametrize("variable", TARGET_VARIABLES)
def test_the_ci_system_names_the_target_branch(team, monkeypatch, variable) -> None:
    delete_all()
    commit("Begin anew")
    git("remote", "set-head", "origin", "--delete")
    git("update-ref", "refs/remotes/origin/develop", "refs/remotes/origin/main")
    git("update-ref", "-d", "refs/remotes/origin/main")
    # Of no target branch known, only the commit before is asked, which had the versions until now.
    assert "of HEAD^1" in check()[1]
    commit("More")
    assert check()[0] == 0
    monkeypatch.setenv(variable, "refs/heads/develop")
    code, said = check()
    assert code == 3 and "of origin/develop" in said


def test_in_the_merge_that_github_checks_out_the_first_parent_is_the_target(team, monkeypatch, tmp_path) -> None:
    delete_all()
    make_baseline()
    commit("Begin anew")
    git("checkout", "--quiet", "--detach", "origin/main")
    git("-c", "user.name=Test", "-c", "user.email=test@localhost", "merge", "-q", "--no-ff", "-m", "Merge", "update")
    git("push", "--quiet", "origin", "HEAD:refs/pull/7/merge")
    monkeypatch.setenv("GITHUB_REF", "refs/pull/7/merge")
    monkeypatch.setenv("GITHUB_BASE_REF", "main")
    for depth, told in ((2, "4 accepted versions of main"), (1, "this clone is shallow: ")):
        runner = tmp_path / f"runner-{depth}"
        git("init", "--quiet", str(runner))
        monkeypatch.chdir(runner)
        git("fetch", "--quiet", f"--depth={depth}", (tmp_path / "remote").as_uri(), "refs/pull/7/merge")
        git("checkout", "--quiet", "FETCH_HEAD")
        code, said = check()
        assert code == 3 and told in said, said


def test_gitlab_names_the_commit_at_which_the_branch_left_its_target(team, monkeypatch) -> None:
    base = git("rev-parse", "HEAD")
    delete_all()
    commit("Begin anew")
    monkeypatch.setenv("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "elsewhere")
    code, said = check()
    assert code == 3 and "origin/elsewhere is not in this clone" in said and "git fetch origin" in said
    monkeypatch.setenv("CI_MERGE_REQUEST_DIFF_BASE_SHA", base)
    code, said = check()
    assert code == 3 and f"4 accepted versions of {base[:7]}" in said


def test_a_base_that_is_no_commit_is_never_a_pass(team) -> None:
    code, said = check("--base", "nowhere")
    assert code == 3 and "--base nowhere: no such commit here" in said


def test_a_pipeline_below_the_root_of_the_repository_has_its_own_history(team, monkeypatch) -> None:
    Path("teams").mkdir()
    git("mv", "history", "teams/history")
    git("mv", "results", "teams/results")
    git("push", "--quiet", "origin", f"{commit('Move')}:refs/heads/moved")
    monkeypatch.chdir("teams")
    assert check("--base", "origin/moved")[0] == 0
    delete_all()
    commit("Begin anew")
    code, said = check("--base", "origin/moved")
    assert code == 3 and "4 accepted versions of origin/moved" in said


def test_a_pipeline_that_was_moved_without_its_history_has_lost_it(team, monkeypatch) -> None:
    Path("other/history").mkdir(parents=True)
    write_json("other/history/notes.json", {"about": "something else"})
    git("push", "--quiet", "origin", f"{commit('Notes')}:refs/heads/later")
    Path("risk").mkdir()
    git("mv", "results", "risk/results")
    git("rm", "--quiet", "-r", "other")
    with contextlib.chdir("risk"):
        make_baseline()
    kept = commit("Move the pipeline")
    monkeypatch.chdir("risk")
    # The old folder is still there: it may be another team's.
    assert check("--base", "origin/later")[0] == 0
    git("rm", "--quiet", "-r", "../history")
    commit("And drop its history")
    code, said = check("--base", "origin/later")
    assert code == 3 and "those that origin/later" in said and "are gone" in said
    git("checkout", "--quiet", kept)
    git("mv", "../history", "history")
    commit("Move its history too")
    write_json("results/verdict.json", sample_verdict("pass"))
    assert check("--base", "origin/later")[0] == 0


def test_without_git_or_without_a_remote_there_is_nothing_to_miss(in_tmp_path: Path, no_ci: None) -> None:
    write_json("results/verdict.json", sample_verdict("baseline"))
    assert check()[0] == 0
    git("init", "--quiet")
    assert check()[0] == 0


def test_a_history_deleted_by_a_push_to_the_target_branch_itself_is_missed(team: Path) -> None:
    git("checkout", "--quiet", "main")
    delete_all()
    make_baseline()
    commit("Begin anew in silence")
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    code, said = check()
    assert code == 3 and "4 accepted versions of HEAD^1" in said
    git("checkout", "HEAD^1", "--", "history")
    assert check()[0] == 0


def test_a_clone_that_has_left_out_the_commit_before_tells_nothing(team, monkeypatch) -> None:
    git("checkout", "--quiet", "main")
    delete_all()
    make_baseline()
    commit("Begin anew in silence")
    origin = Path.cwd().as_uri()
    git("clone", "--quiet", "--depth=1", origin, "../runner")
    git("checkout", "--quiet", "--orphan", "first")
    commit("The only one")
    git("clone", "--quiet", "--depth=1", "--branch=first", origin, "../first")
    monkeypatch.chdir("../runner")
    for command in ("check", "gate"):
        code, said = check(command=command)
        assert code == 3 and "the commit before HEAD is not in this clone" in said and "--unshallow" in said, said
    monkeypatch.chdir("../first")
    code, said = check()
    assert code == 0, said
