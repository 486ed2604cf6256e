"""`entropylaw blame`: where flagged rows come from, in a repository with a branch and several authors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from sample_verdicts import sample_verdict
from typer.testing import CliRunner

from corpus.artifacts import write_json
from corpus.files import write_rows
from corpus.params import PARAMS_FILE
from corpus.records import HashedRecord
from entropylaw.blame.origins import bisect_rows
from entropylaw.cli import app
from entropylaw.repository.layout import VERDICT
from entropylaw.repository.shipped_files import shipped_text
from monitor.blame import blame_rows, find_narrowest, find_stretches
from monitor.verdict import FlaggedRow, Verdict
from reports.blame import write_blame_line

Rows = list[HashedRecord]
Blame = Callable[..., Result]


def flag(rows: Rows, places: range, rule: str = "damage") -> list[FlaggedRow]:
    return [
        FlaggedRow(i + 1, rows[i].hash, rows[i].record.source, "sft", rule, 1.0, "share of the rows") for i in places
    ]


def verdict_with(rows: list[FlaggedRow]) -> Verdict:
    return replace(sample_verdict("risky"), rows=tuple(rows))


def git(folder: Path, *words: str, author: str = "Ann") -> str:
    people = {f"GIT_{who}_{what}": author for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    words = ("git", "-c", "commit.gpgsign=false", *words)
    done = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True, env={**os.environ, **people})
    return done.stdout.strip()


@pytest.fixture(scope="module")
def team(chats: Rows, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A repository in Git and DVC: rows 1-60, then 40 by Ann, 5 by Ben, 5 by Cat on a branch that Ann merges.

    Commits between change nothing but notes. Beside it the id of each commit.
    """
    from dvc.repo import Repo

    folder = tmp_path_factory.mktemp("team") / "data repository"
    (folder / "data").mkdir(parents=True)
    git(folder, "init", "--quiet", "-b", "main")
    ids: dict[str, str] = {}
    with warnings.catch_warnings(action="ignore"):
        Repo.init(str(folder))
        (folder / PARAMS_FILE).write_text(shipped_text(PARAMS_FILE), encoding="utf-8")

        def commit(name: str, rows: Rows, author: str) -> None:
            data = folder / "data" / "sft.jsonl"
            write_rows(data, ({"messages": to_messages(row), "source": "chats"} for row in rows))
            with Repo(str(folder)) as repo:
                repo.add(str(data))
            git(folder, "add", "--all")
            git(folder, "commit", "--quiet", "-m", name, author=author)
            ids[name] = git(folder, "rev-parse", "HEAD")

        commit("first", chats[:60], "Ann")
        commit("forty", chats[:100], "Ann")
        (folder / "README.md").write_text("Notes.")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "-m", "notes")
        commit("five", chats[:105], "Ben")
        git(folder, "checkout", "--quiet", "-b", "cats")
        commit("branch", chats[:110], "Cat")
        (folder / "README.md").write_text("More notes.")
        git(folder, "commit", "--quiet", "--all", "-m", "more notes", author="Cat")
        git(folder, "checkout", "--quiet", "main")
        git(folder, "merge", "--quiet", "--no-ff", "-m", "Merge", "cats")
        with Repo(str(folder)) as repo:
            repo.checkout()
    return folder, ids


def to_messages(row: HashedRecord) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for _, message in row.record.turns()]


@pytest.fixture
def blame(team: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Blame:
    monkeypatch.chdir(team[0])
    return lambda *words: CliRunner().invoke(app, ["blame", *words])


def who(result: Result) -> dict[int, str | None]:
    assert result.exit_code == 0, result.stderr
    [found] = json.loads(result.stdout)["datasets"]
    return {row["row"]: row["origin"] and row["origin"]["commit"] for row in found["rows"]}


@pytest.mark.slow
def test_each_row_is_put_down_to_the_commit_that_brought_it(
    blame: Blame, team: tuple[Path, dict[str, str]], chats: Rows
) -> None:
    _, ids = team
    write_json(VERDICT, verdict_with(flag(chats, range(95, 110))))
    expected = {
        row: ids["forty"] if row <= 100 else ids["five"] if row <= 105 else ids["branch"] for row in range(96, 111)
    }
    assert who(blame("--json")) == expected
    shown = blame().stdout
    assert " ".join(shown.split()).startswith(
        f"Flagged rows: 5 of 15 came with commit {ids['forty'][:7]} by Ann, 5 with"
    )
    assert "Ben" in shown and "Cat" in shown and "rows 96 to 110" in shown
    marked = blame("--format", "markdown").stdout
    assert marked.startswith("Flagged rows: 5 of 15") and "| Commit | Rows | Share |" in marked


@pytest.mark.slow
def test_rows_that_are_not_committed_yet_are_put_down_to_nobody(
    blame: Blame, team: tuple[Path, dict[str, str]], chats: Rows
) -> None:
    data = team[0] / "data" / "sft.jsonl"
    before = data.read_bytes()
    # A link into DVC's cache must not be written through.
    data.unlink()
    try:
        write_rows(data, ({"messages": to_messages(row), "source": "chats"} for row in [*chats[:112], chats[3]]))
        # Row 113 says again what row 4 said from the first commit on: the copy is new.
        rows = [*flag(chats, range(104, 112)), replace(flag(chats, range(3, 4))[0], row=113)]
        write_json(VERDICT, verdict_with(rows))
        found = who(blame("--json"))
        assert [found[row] for row in (111, 112, 113)] == [None, None, None]
        assert all(found[row] for row in range(105, 111))
        assert "3 of the flagged contents are not committed yet" in blame().stdout
    finally:
        data.unlink()
        data.write_bytes(before)


@pytest.mark.slow
def test_a_shallow_clone_says_that_it_does_not_know(
    blame: Blame, team: tuple[Path, dict[str, str]], chats: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, ids = team
    git(tmp_path, "clone", "--quiet", "--depth", "3", folder.as_uri(), "clone")
    clone = tmp_path / "clone"
    shutil.copytree(folder / ".dvc" / "cache", clone / ".dvc" / "cache")
    shutil.copy(folder / "data" / "sft.jsonl", clone / "data" / "sft.jsonl")
    monkeypatch.chdir(clone)
    write_json(VERDICT, verdict_with(flag(chats, range(98, 110))))
    result = blame("--json")
    found = who(result)
    assert [found[row] for row in (99, 100)] == [None, None]
    assert {found[row] for row in range(101, 106)} == {ids["five"]}
    assert "git fetch --unshallow" in json.loads(result.stdout)["notes"][0]


@pytest.mark.slow
def test_data_that_is_gone_from_the_cache_leaves_the_other_findings(
    blame: Blame, team: tuple[Path, dict[str, str]], chats: Rows, tmp_path: Path
) -> None:
    write_json(VERDICT, verdict_with(flag(chats, range(95, 110))))
    cache = team[0] / ".dvc" / "cache" / "files"
    shutil.move(cache, tmp_path / "away")
    try:
        result = blame()
    finally:
        shutil.move(tmp_path / "away", cache)
    assert result.exit_code == 0 and "Flagged rows: 15 in sft; all" in result.stdout
    assert "the commits could not be told" in result.stdout


def test_without_a_repository_all_but_the_commits_is_told(
    chats: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    missing = CliRunner().invoke(app, ["blame"])
    assert missing.exit_code == 3 and len(missing.stderr.splitlines()) == 1
    write_json(VERDICT, verdict_with(flag(chats, range(20, 30))))
    result = CliRunner().invoke(app, ["blame"])
    assert result.exit_code == 0 and "Not in a Git repository" in result.stdout
    write_json(VERDICT, verdict_with([]))
    assert CliRunner().invoke(app, ["blame", "--no-commits"]).stdout == "No rows are flagged.\n"


@given(st.lists(st.frozensets(st.integers(0, 4)), min_size=1, max_size=9), st.frozensets(st.integers(0, 4)))
def test_the_commit_found_has_the_row_and_the_one_before_has_not(
    versions: list[frozenset[int]], rows: frozenset[int]
) -> None:
    wanted = frozenset(map(str, rows))
    states = [frozenset(map(str, version)) for version in versions]
    states[-1] |= wanted
    names = [f"no commit {i}" for i in range(len(states))]
    found = bisect_rows(names, wanted, lambda commit: states[names.index(commit)])
    assert found.keys() == wanted
    for row, commit in found.items():
        place = names.index(commit)
        assert row in states[place] and (place == 0 or row not in states[place - 1])


@given(st.sets(st.integers(1, 60), min_size=1))
def test_no_narrower_stretch_holds_nine_rows_in_ten(rows: set[int]) -> None:
    most = find_narrowest(sorted(rows))
    held = [row for row in rows if most.first <= row <= most.last]
    assert len(held) == most.rows >= 0.9 * len(rows)
    for first in range(1, 61):
        last = first + most.last - most.first - 1
        assert sum(first <= row <= last for row in rows) < 0.9 * len(rows)


@given(st.sets(st.integers(1, 60)), st.integers(1, 8))
def test_stretches_hold_every_row_and_lie_further_apart_than_the_gap(rows: set[int], gap: int) -> None:
    found = find_stretches(sorted(rows), gap)
    assert sum(part.rows for part in found) == len(rows)
    assert all(sum(part.first <= row <= part.last for row in rows) == part.rows for part in found)
    assert all(b.first - a.last > gap for a, b in pairwise(found))


def test_a_row_that_two_rules_flag_counts_once(chats: Rows) -> None:
    [found] = blame_rows(verdict_with([*flag(chats, range(5)), *flag(chats, range(3, 8), "style")]))
    assert [row.rules for row in found.rows] == [("damage",)] * 3 + [("damage", "style")] * 2 + [("style",)] * 3
    assert found.rules == {"damage": 5, "style": 5} and len(found.rows) == 8


def test_rows_all_over_the_file_are_said_to_stand_nowhere(chats: Rows) -> None:
    rows = flag(chats, range(0, 1200, 100))
    [found] = blame_rows(verdict_with([replace(row, source=f"s{i}") for i, row in enumerate(rows)]))
    assert write_blame_line(found) == "Flagged rows: 12 in sft."
    [found] = blame_rows(verdict_with([replace(row, file="part-2.jsonl", file_row=1) for row in rows]))
    assert "all are in part-2.jsonl" in write_blame_line(found)


def test_the_help_has_an_example() -> None:
    result: Any = CliRunner().invoke(app, ["blame", "--help"])
    assert result.exit_code == 0 and "Example: entropylaw blame" in result.stdout
