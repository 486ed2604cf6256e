"""Two branches that each accepted a version, merged by Git: what conflicts, what is said, and the way out of it."""

import contextlib
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from sample_verdicts import data_hash, history, of_conversations, sample_verdict, waiver
from test_history_guard import git, no_ci
from typer.testing import CliRunner

from corpus.artifacts import write_json
from entropylaw.cli import app
from entropylaw.init.attributes import plan_attributes
from entropylaw.repository.lockfile import hash_as_dvc, parse_lock
from monitor.history import list_ends, read_history, write_entry
from monitor.verdict import Version
from monitor.waivers import add_waiver, read_waivers

RULES = ("redundancy", "loss")
PIPELINE = "stages: {assess: {cmd: entropylaw assess, outs: [results/verdict.json: {cache: false}]}}\n"
LOCK = """\
schema: '2.0'
stages:
  assess:
    cmd: entropylaw assess
    outs:
    - path: results/verdict.json
      md5: {}
"""

__all__ = ["no_ci"]


def commit(message: str) -> None:
    git("add", "--all")
    git("-c", "user.name=Test", "-c", "user.email=test@localhost", "commit", "-q", "-m", message)


def merge(branch: str) -> list[str]:
    """Merge a branch without a commit; the files in conflict."""
    words = ["git", "-c", "user.name=Test", "-c", "user.email=test@localhost", "merge", "--no-commit", branch]
    subprocess.run(words, check=False, capture_output=True)
    return git("diff", "--name-only", "--diff-filter=U").split()


def accept(number: int, **changes: object) -> None:
    """What `dvc repro` and `accept` leave behind of version x<number>, and a waiver for it."""
    verdict = of_conversations(sample_verdict("pass"))
    parent = history()[min(number, 5) - 2]
    compared = {
        "summary": f"x{number} against {parent.name}.",
        "version": replace(verdict.version, data_hash=data_hash(number)),
        "parent": Version(parent.name, parent.data_hash, parent.rows),
        "parent_measurements": parent.measurements,
    }
    write_json("results/verdict.json", {**vars(verdict), **compared, **changes})
    Path("dvc.yaml").write_text(PIPELINE)
    Path("params.yaml").write_text("datasets: {sft: data/sft.jsonl}\n")
    Path("dvc.lock").write_text(LOCK.format(hash_as_dvc(Path("results/verdict.json"))))
    accepted = history()[3]
    write_entry("history", type(accepted)(**{**vars(accepted), "name": f"x{number}", "data_hash": data_hash(number)}))
    add_waiver("waivers.yaml", waiver("loss", number), RULES)


def mark() -> list[Path]:
    """Write the .gitattributes that `init` writes; the file if it was changed."""
    changes = plan_attributes(Path())
    for change in changes:
        change.path.write_bytes(change.content)
    return [change.path for change in changes]


def build(folder: Path, attributes: bool) -> None:
    """A repository in the branch `ours`, where x5 was accepted; in the branch `theirs` it was x6."""
    folder.mkdir()
    with contextlib.chdir(folder):
        git("init", "--quiet", "--initial-branch=main")
        if attributes:
            assert mark() == [Path(".gitattributes")] and mark() == []
        for entry in history(3):
            write_entry("history", entry)
        accept(4)
        commit("x4")
        for branch, number in (("theirs", 6), ("ours", 5)):
            git("checkout", "--quiet", "-b", branch, "main")
            accept(number)
            commit(f"x{number}")


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_ci: None):
    build(tmp_path / "plain", attributes=False)
    monkeypatch.chdir(tmp_path / "plain")

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, words)
        return done.exit_code, done.stdout + done.stderr

    return run


def follow(message: str, until: str) -> None:
    """Type the commands that a message names in backquotes, up to one of them."""
    for command in re.findall(r"`([^`]+)`", message):
        if command.startswith(until):
            return
        if command.startswith("git ") and "HEAD^" not in command:
            subprocess.run(shlex.split(command), check=True, capture_output=True)


def test_no_file_of_the_history_conflicts_and_both_versions_are_there(said) -> None:
    conflicts = merge("theirs")
    assert conflicts and not [path for path in conflicts if path.startswith("history/")]
    entries = read_history("history")
    assert [entry.name for entry in entries] == ["x1", "x2", "x3", "x4", "x5", "x6"]
    assert [entry.name for entry in list_ends(entries)] == ["x5", "x6"]
    code, shown = said("history")
    assert code == 0 and "x5, x6 are the last of each" in shown and "after x4" in shown


def test_results_with_both_sides_in_them_are_a_merge_conflict_with_a_way_out(said) -> None:
    assert {"dvc.lock", "results/verdict.json"} <= set(merge("theirs"))
    assert "<<<<<<< " in Path("dvc.lock").read_text()
    code, shown = said("check")
    assert code == 3 and shown.count("\n") == 1
    assert re.match(r"entropylaw: results/verdict\.json, line \d+: a merge conflict; ", shown), shown
    assert "run `dvc repro`" in shown
    git("checkout", "--ours", "--", "waivers.yaml")
    follow(shown, until="dvc repro")
    assert said("check")[0] == 0
    (stage,) = parse_lock(Path("dvc.lock").read_text(), "dvc.lock", "")
    assert "x6 against" in Path("results/verdict.json").read_text()
    assert stage.outs == {"results/verdict.json": hash_as_dvc(Path("results/verdict.json"))}


def test_what_was_committed_with_both_sides_is_taken_from_the_commit_before(said) -> None:
    merge("theirs")
    git("checkout", "--ours", "--", "waivers.yaml")
    commit("Merge, unseen")
    code, shown = said("check")
    assert code == 3 and "a merge conflict" in shown
    (command,) = re.findall(r"`(git checkout HEAD\^ [^`]+)`", shown)
    subprocess.run(shlex.split(command), check=True, capture_output=True)
    assert said("check")[0] == 0


def test_waivers_of_both_branches_are_a_merge_conflict_and_none_of_them_counts_until_it_is_solved(said) -> None:
    assert "waivers.yaml" in merge("theirs")
    git("checkout", "--theirs", "--", "dvc.lock", "results")
    code, shown = said("check")
    assert code == 2 and re.match(r"entropylaw: waivers\.yaml, line \d+: a merge conflict; ", shown), shown
    follow(shown, until="entropylaw waive")
    assert [waiver.data_hash for waiver in read_waivers("waivers.yaml", RULES)] == [data_hash(4), data_hash(5)]
    assert data_hash(6) in git("show", "MERGE_HEAD:./waivers.yaml")
    assert said("check")[0] == 0


def test_with_the_lines_that_init_writes_no_result_ever_holds_both_sides(tmp_path, monkeypatch, no_ci) -> None:
    build(tmp_path / "marked", attributes=True)
    monkeypatch.chdir(tmp_path / "marked")
    conflicts = merge("theirs")
    assert {"dvc.lock", "results/verdict.json"} <= set(conflicts)
    for path in ("dvc.lock", "results/verdict.json"):
        assert "<<<<<<< " not in Path(path).read_text()
    (stage,) = parse_lock(Path("dvc.lock").read_text(), "dvc.lock", "")
    assert "x5 against" in Path("results/verdict.json").read_text()
    assert stage.outs == {"results/verdict.json": hash_as_dvc(Path("results/verdict.json"))}


def test_what_a_team_says_of_these_files_in_gitattributes_stays(in_tmp_path: Path) -> None:
    Path(".gitattributes").write_text("*.jsonl diff\ndvc.lock merge=union")
    mark()
    lines = Path(".gitattributes").read_text().splitlines()
    assert lines[:2] == ["*.jsonl diff", "dvc.lock merge=union"]
    assert [line for line in lines[2:] if not line.startswith("#")] == ["results/** -merge"]
