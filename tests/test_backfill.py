"""`entropylaw backfill`: the versions of a real Git + DVC repository before the present one, into its history."""

import json
import os
import shutil
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from dvc.repo import Repo
from ruamel.yaml import YAML
from typer.testing import CliRunner

from corpus.errors import EntropylawError
from corpus.files import write_rows
from corpus.params import PARAMS_FILE
from corpus.records import HashedRecord, Record, data_hash
from entropylaw.backfill.past_versions import list_past_versions, number_main_line
from entropylaw.backfill.plan import count_rows
from entropylaw.cli import app
from entropylaw.init.pipeline import render_pipeline
from monitor.history import parent_of, read_history, write_entry
from training.base_model import is_trained_row

Rows = list[HashedRecord]

TINY = {
    "probe": {"steps": 12, "max_length": 48, "skipped_steps": 2},
    "calibration": {"seeds": 2, "updates": 2, "update_shares": [0.1, 0.2], "topics": 10, "law_runs": False},
}


def to_row(record: Record) -> dict[str, Any]:
    return {"messages": [{"role": m.role, "content": m.content} for _, m in record.turns()]}


def write_version(path: Path, rows: Rows) -> Path:
    write_rows(path, (to_row(record) for record, _ in rows))
    return path


def git(folder: Path, *words: object) -> str:
    settings = ("-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *settings, *map(str, words)], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Team:
    """A repository whose data is in DVC, or in Git alone."""

    def __init__(self, folder: Path, dvc: bool = True, new: bool = True) -> None:
        self.folder = folder
        if not new:
            return
        folder.mkdir(parents=True, exist_ok=True)
        git(folder, "init", "--quiet", "--initial-branch", "main")
        if dvc:
            # DVC's own libraries warn; the tests of this repository take every warning for an error.
            with warnings.catch_warnings(action="ignore"):
                Repo.init(str(folder)).close()

    def commit(self, message: str, *tags: str) -> None:
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--allow-empty", "-m", message)
        for tag in tags:
            git(self.folder, "tag", "--annotate", "-m", tag, tag)

    def add(self, name: str = "data/sft.jsonl") -> None:
        with warnings.catch_warnings(action="ignore"), Repo(str(self.folder)) as repo:
            repo.add(str(self.folder / name))

    def commit_data(self, rows: Rows, *tags: str) -> None:
        write_version(self.folder / "data" / "sft.jsonl", rows)
        self.add()
        self.commit(f"{len(rows)} rows", *tags)


def set_params(folder: Path, changes: dict[str, dict[str, Any]]) -> None:
    yaml = YAML()
    params = yaml.load((folder / PARAMS_FILE).read_text())
    for section, values in changes.items():
        params[section].update(values)
    with (folder / PARAMS_FILE).open("w") as handle:
        yaml.dump(params, handle)


def call(folder: Path, *words: object) -> Result:
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(app, [str(word) for word in words])
    finally:
        os.chdir(before)


def read_result(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


@pytest.fixture(scope="module")
def story(chats: Rows, base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A year of data, and then the pipeline: an honest update, a re-export, an accident, a broken file, a repair, a
    revert, and the present.
    """
    folder = tmp_path_factory.mktemp("year") / "team"
    team = Team(folder)
    team.commit_data(chats[:240], "v1.0")
    (folder / "notes.txt").write_text("no data")
    team.commit("Nothing about data", "notes")
    team.commit_data(chats[30:270], "v2.10", "v2.9")
    write_rows(folder / "data" / "sft.jsonl", [{"id": i, **to_row(row)} for i, (row, _) in enumerate(chats[30:270])])
    team.add()
    team.commit("The same rows with ids", "re-export")
    team.commit_data([*chats[30:270], *chats[30:110]], "accident")
    (folder / "data" / "sft.jsonl").write_text('{"messages": [\n')
    team.add()
    team.commit("Cut off", "broken")
    team.commit_data(chats[60:300])
    team.commit_data(chats[:240], "reverted")
    team.commit_data(chats[90:330], "present")
    for name, text in render_pipeline({"sft": "data/sft.jsonl"}).items():
        (folder / name).write_text(text)
    set_params(folder, TINY)
    write_version(folder / "data" / "heldout.jsonl", [*chats[35:40], *chats[1000:1010]])
    write_version(folder / "data" / "baseline.jsonl", chats[90:330])
    shutil.copytree(base_folder, folder / "models" / "base")
    done = call(folder, "calibrate", "data/baseline.jsonl", "--out", "results/calibration.json")
    assert done.exit_code == 0, done.stderr
    team.commit("Add the pipeline")
    return folder


PAST = ("v1.0", "v2.9", "re-export", "accident", "broken", "repair")


@pytest.fixture(scope="module")
def backfilled(story: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """The story after `entropylaw backfill`: the folder, what was printed as JSON by version, and stderr."""
    folder = Path(shutil.copytree(story, tmp_path_factory.mktemp("after") / "team"))
    result = call(folder, "backfill", "--json")
    return folder, by_name(result), result.stderr


@pytest.fixture
def before(story: Path, tmp_path: Path) -> Path:
    """A copy of the story that a test may change."""
    return Path(shutil.copytree(story, tmp_path / "team"))


@pytest.fixture
def after(backfilled: tuple[Path, dict[str, Any], str], tmp_path: Path) -> Path:
    """A copy of the story with its history."""
    return Path(shutil.copytree(backfilled[0], tmp_path / "team"))


def by_name(result: Result) -> dict[str, Any]:
    """The versions of a result under the names of the story; the repair has no tag."""
    versions = read_result(result)["versions"]
    return {name if (name := version["name"]) in (*PAST, "reverted") else "repair": version for version in versions}


def repair(folder: Path) -> str:
    return git(folder, "rev-parse", "--short", "reverted~1")


def entry_file(folder: Path, name: str) -> Path:
    (path,) = (folder / "history").glob(f"{name}-*.json")
    return path


def outcomes(versions: dict[str, Any]) -> dict[str, str]:
    return {name: version["outcome"] for name, version in versions.items()}


def saved(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "history").glob("*.json")}


def test_past_versions_enter_in_their_order_under_their_tags_or_commits(backfilled, chats) -> None:
    folder, versions, _ = backfilled
    # A tag on a commit that changed no data names nothing, and data that came back counts once.
    assert tuple(versions) == PAST
    history = read_history(folder / "history")
    assert [(entry.number, entry.name, entry.status) for entry in history] == [
        (1, "v1.0", "baseline"), (2, "v2.9", "pass"), (3, repair(folder), "pass"),
    ]  # fmt: skip
    held_out = {row_hash for _, row_hash in [*chats[35:40], *chats[1000:1010]]}
    for entry, start, tag in zip(history, (0, 30, 60), ("v1.0", "v2.9", "reverted~1"), strict=True):
        kept = [row_hash for _, row_hash in chats[start : start + 240] if row_hash not in held_out]
        assert (entry.data_hash, entry.rows) == (data_hash(kept), len(kept))
        assert entry.commit == git(folder, "rev-parse", f"{tag}^{{commit}}")
    assert [versions[name]["data_hash"] for name in ("v1.0", "v2.9", "repair")] == [e.data_hash for e in history]


def test_what_is_risky_is_shown_and_is_no_reference(backfilled) -> None:
    folder, versions, _ = backfilled
    accident = versions["accident"]
    assert (accident["outcome"], accident["status"]) == ("left out", "risky")
    assert accident["reason"].startswith("risky against v2.9: ")
    # Of 80 rows 5 are held out; the sketch of the parent's rows is right to a hundredth.
    assert abs(accident["measurements"]["sft"]["added"] - 75) <= 2
    # Against the accident the repair would have removed 110 rows.
    assert versions["repair"]["measurements"]["sft"]["removed"] < 40
    assert "accident" not in {entry.name for entry in read_history(folder / "history")}


def test_what_is_no_version_of_its_own_or_cannot_be_read_is_left_out_in_one_line(backfilled) -> None:
    _, versions, _ = backfilled
    assert versions["re-export"]["reason"] == "its rows are those of v2.9"
    assert "data/sft.jsonl, line 1: " in versions["broken"]["reason"]
    assert {outcomes(versions)[name] for name in ("re-export", "broken")} == {"left out"}


def test_the_cost_is_said_before_the_first_version_and_the_time_after_it(backfilled) -> None:
    first, second = backfilled[2].splitlines()
    assert first.startswith("backfill: 6 versions of ") and "a probe of 12 steps" in first
    assert second.startswith("backfill: 5 more, ")


def test_a_past_version_has_the_numbers_that_the_stages_measure(backfilled, chats, tmp_path) -> None:
    folder, versions, _ = backfilled
    write_version(tmp_path / "v1.jsonl", chats[:240])
    out = tmp_path / "prepared.jsonl"
    heldout = folder / "data" / "heldout.jsonl"
    prepared = read_result(
        call(folder, "prepare", tmp_path / "v1.jsonl", "--out", out, "--held-out", heldout, "--json")
    )
    stages = {name: read_result(call(folder, name, out, "--json")) for name in ("compress", "consistency", "probe")}
    measured = versions["v1.0"]["measurements"]["sft"]
    assert versions["v1.0"]["data_hash"] == prepared["data_hash"]
    assert (measured["rows"], measured["r"], measured["r_long"]) == (
        prepared["rows_kept"], stages["compress"]["r"], stages["compress"]["r_long"]
    )  # fmt: skip
    assert measured["l"] == pytest.approx(stages["probe"]["l"], abs=1e-6)
    assert measured["c"] == pytest.approx(stages["consistency"]["agreement"], abs=1e-6)


def test_no_probed_row_of_the_past_was_trained_on(backfilled, chats) -> None:
    trained = {row_hash for record, row_hash in chats if is_trained_row(record)}
    for entry in read_history(backfilled[0] / "history"):
        hashes = entry.datasets["sft"].probe_hashes
        assert len(hashes) >= 96 and not trained & set(hashes)


def test_the_present_version_is_then_held_against_the_last_one_before_it(backfilled) -> None:
    folder, _, _ = backfilled
    history = read_history(folder / "history")
    parent = parent_of(history, history[0].config_fingerprint, "the present data")
    assert parent is not None and parent.name == repair(folder)


def test_the_table_has_a_line_for_each_version(after: Path) -> None:
    result = call(after, "backfill")
    assert result.exit_code == 0 and result.stderr == ""
    lines = [line.split() for line in result.stdout.splitlines()]
    (entry, *_) = read_history(after / "history")
    measured = entry.measurements["sft"]
    numbers = [f"{value:.3f}" for value in (measured.r, measured.r_long, measured.l, measured.c)]
    assert lines[0] == ["version", "date", "dataset", "rows", "R", "long", "R", "L", "C", "verdict"]
    assert lines[1][0] == "v1.0" and lines[1][2:] == ["sft", "235", *numbers, "baseline,", "in", "history"]
    assert [line[0] for line in lines[1:7]] == [*PAST[:-1], repair(after)]
    assert "re-export, accident, broken: left out, a later version is in the history" in result.stdout


def test_a_second_run_changes_nothing(after: Path) -> None:
    before = saved(after)
    versions = by_name(call(after, "backfill", "--json"))
    assert saved(after) == before
    assert {name for name, outcome in outcomes(versions).items() if outcome == "in history"} == {
        "v1.0",
        "v2.9",
        "repair",
    }


def test_a_run_that_was_killed_goes_on_to_the_same_history(after: Path) -> None:
    complete = saved(after)
    entry_file(after, repair(after)).unlink()
    versions = by_name(call(after, "backfill", "--json"))
    assert outcomes(versions)["v2.9"] == "in history" and versions["accident"]["status"] == "risky"
    assert saved(after) == complete


def test_ctrl_c_says_how_to_go_on(before: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("entropylaw.backfill.run.locate_data", stop)
    result = call(before, "backfill")
    assert result.exit_code == 130 and result.stderr.endswith("`entropylaw backfill` goes on after it\n")
    assert not saved(before) and not result.stdout


def test_since_begins_anew_with_the_data_of_that_revision(after: Path) -> None:
    entry_file(after, repair(after)).unlink()
    before = saved(after)
    # Between the accident and the broken file.
    versions = by_name(call(after, "backfill", "--since", "broken~1", "--json"))
    assert tuple(versions) == ("accident", "broken", "repair", "reverted")
    assert versions["reverted"]["reason"] == "its rows are those of v1.0"
    assert (versions["accident"]["outcome"], versions["accident"]["status"]) == ("recorded", "baseline")
    # Beside the accident the repair is a file whose end is missing: somebody has to say that it is meant.
    assert (versions["repair"]["outcome"], versions["repair"]["status"]) == ("left out", "risky")
    assert saved(after).items() > before.items()
    assert [entry.name for entry in read_history(after / "history")][2:] == ["accident"]


def test_a_version_that_had_needed_a_waiver_keeps_name_and_waiver_under_another_configuration(
    after: Path, backfilled: tuple[Path, dict[str, Any], str]
) -> None:
    repaired = entry_file(after, repair(after))
    first, *_ = read_history(after / "history")
    repaired.unlink()
    waiver = {"rule": "redundancy", "reason": "wanted", "owner": "ana", "expires": "2020-01-31"}
    data = backfilled[1]["accident"]["data_hash"]
    released = replace(first, name="x5", data_hash=data, config_fingerprint="0" * 16, status="risky", waived=True,
                       waivers=(waiver,), commit=None)  # fmt: skip
    write_entry(after / "history", released)
    versions = read_result(call(after, "backfill", "--json"))["versions"]
    assert [(v["name"], v["status"]) for v in versions if v["outcome"] == "recorded"] == [
        ("x5", "risky"), (repair(after), "pass"),
    ]  # fmt: skip
    x5 = next(entry for entry in read_history(after / "history") if entry.name == "x5" and entry.commit)
    assert x5.waived and x5.waivers == (waiver,)
    assert versions[-1]["measurements"]["sft"]["removed"] < 40


def test_a_dry_run_counts_rows_and_writes_nothing(before: Path) -> None:
    files = {path: path.stat().st_mtime_ns for path in before.rglob("*") if ".git" not in path.parts}
    result = call(before, "backfill", "--dry-run", "--json")
    versions = by_name(result)
    assert set(outcomes(versions).values()) == {"to measure"}
    assert [version["rows"] for version in versions.values()] == [240, 240, 240, 320, 1, 240]
    assert result.stderr.startswith("backfill: 6 versions of ")
    changed = {path for path in before.rglob("*") if ".git" not in path.parts} ^ files.keys()
    assert not [path for path in changed if ".dvc" not in path.parts] and not (before / "history").exists()


@pytest.mark.parametrize(("name", "rows"), [("a.jsonl", 3), ("a.parquet", 3), ("a.json", None), ("a.jsonl.gz", None)])
def test_rows_are_counted_where_nothing_has_to_be_parsed(tmp_path: Path, name: str, rows: int | None) -> None:
    write_rows(tmp_path / name, [{"prompt": "Hi", "completion": f"Hello {i}\n\n!"} for i in range(3)])
    if name == "a.jsonl":
        (tmp_path / name).write_text((tmp_path / name).read_text().replace("\n", "\n \n"))
    with (tmp_path / name).open("rb") as handle:
        assert count_rows(handle, Path(name)) == rows


def test_last_takes_the_latest_versions(before: Path) -> None:
    versions = by_name(call(before, "backfill", "--dry-run", "--last", 2, "--json"))
    assert tuple(versions) == ("broken", "repair")
    assert call(before, "backfill", "--last", 0).exit_code == 2


def test_data_that_is_not_in_the_cache_comes_from_the_remote_or_is_left_out(before: Path, tmp_path: Path) -> None:
    cache = before / ".dvc" / "cache" / "files"
    shutil.move(cache, tmp_path / "remote" / "files")
    versions = by_name(call(before, "backfill", "--dry-run", "--json"))
    assert set(outcomes(versions).values()) == {"left out"}
    line = "data/sft.jsonl: its data is neither in the DVC cache nor on the remote; run `dvc fetch --all-commits"
    assert all(line in version["reason"] for version in versions.values())
    # A run says the same, and goes on.
    assert by_name(call(before, "backfill", "--last", 1, "--json"))["repair"]["reason"] == versions["repair"]["reason"]
    remote = f"[core]\n    remote = far\n['remote \"far\"']\n    url = {tmp_path / 'remote'}\n"
    (before / ".dvc" / "config.local").write_text(remote)
    result = call(before, "backfill", "--dry-run")
    assert "to fetch and measure" in result.stdout and "left out" not in result.stdout
    assert "6 of them from the remote" in result.stderr


def require_one_line(result: Result, code: int, *parts: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("entropylaw: ") and result.stderr.count("\n") == 1, result.stderr
    assert not result.stdout
    for part in parts:
        assert part in result.stderr


def test_outside_a_repository_of_git_and_dvc_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    require_one_line(call(tmp_path, "backfill"), 2, "not inside a Git repository; run `git init`")
    git(tmp_path, "init", "--quiet")
    require_one_line(call(tmp_path, "backfill"), 2, "not inside a DVC repository; run `dvc init`")


@pytest.mark.parametrize(
    ("gone", "code", "parts"),
    [
        ("params.yaml", 2, ("params.yaml: no such file; run `entropylaw init`",)),
        ("models/base/entropylaw.json", 2, ("models/base: not a base model; run `dvc repro base_model`",)),
        ("results/calibration.json", 3, ("results/calibration.json: no such file; run `dvc repro calibration`",)),
        ("data/heldout.jsonl", 2, ("data/heldout.jsonl: no such file",)),
        ("data/sft.jsonl", 2, ("data/sft.jsonl: no such file; DVC tracks it: run `dvc pull data/sft.jsonl`",)),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_makes_it(
    before: Path, gone: str, code: int, parts: tuple[str, ...]
) -> None:
    (before / gone).unlink()
    require_one_line(call(before, "backfill", "--dry-run"), code, *parts)


def test_versions_of_a_renamed_file_are_found_under_its_former_name(before: Path) -> None:
    with warnings.catch_warnings(action="ignore"), Repo(str(before)) as repo:
        repo.move(str(before / "data" / "sft.jsonl"), str(before / "data" / "chats.jsonl"))
    params = before / PARAMS_FILE
    params.write_text(params.read_text().replace("path: data/sft.jsonl", "path: data/chats.jsonl"))
    Team(before, new=False).commit("Rename")
    document = read_result(call(before, "backfill", "--dry-run", "--json"))
    assert {version["outcome"] for version in document["versions"]} == {"to measure"} and len(document["versions"]) == 6
    head = git(before, "rev-parse", "HEAD")[:7]
    assert document["renames"] == {"sft": [{"old": "data/sft.jsonl", "new": "data/chats.jsonl", "commit": head}]}
    shown = call(before, "backfill", "--dry-run").stdout
    assert f"sft: renamed from data/sft.jsonl to data/chats.jsonl ({head})" in shown


def test_a_calibration_of_another_base_model_is_not_used(before: Path) -> None:
    card = before / "models" / "base" / "entropylaw.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "identity": "another"}))
    require_one_line(call(before, "backfill"), 3, "made with another base model", "`dvc repro calibration`")


def test_an_unknown_revision_is_named(before: Path) -> None:
    require_one_line(call(before, "backfill", "--since", "nowhere"), 2, "--since nowhere: no such commit")


@pytest.mark.parametrize(
    ("commit", "parts"),
    [
        (None, ("x1 was accepted with this configuration", "remove its file")),
        ("f" * 40, ("x1 was found at commit fffffff", "not on the main line")),
    ],
)
def test_nothing_is_put_after_a_version_that_may_have_come_later(
    after: Path, commit: str | None, parts: tuple[str, ...]
) -> None:
    first, *_ = read_history(after / "history")
    for path in (after / "history").glob("*.json"):
        path.unlink()
    write_entry(after / "history", replace(first, name="x1", data_hash="0" * 32, commit=commit))
    require_one_line(call(after, "backfill"), 2, "history: ", *parts)
    # Measured otherwise, it is in nobody's way.
    entry_file(after, "x1").unlink()
    write_entry(after / "history", replace(first, name="x1", config_fingerprint="0" * 16, commit=commit))
    assert call(after, "backfill", "--dry-run").exit_code == 0


def test_versions_of_two_datasets_are_measured_together(before: Path, chats: Rows) -> None:
    team = Team(before, new=False)
    pairs = [
        {"prompt": row.messages[0].content, "chosen": row.messages[1].content, "rejected": f"I like {i} trains."}
        for i, (row, _) in enumerate(chats[400:460])
        if len(row.messages) > 1
    ]
    for rows in (pairs, pairs[5:]):
        write_rows(before / "data" / "preferences.jsonl", rows)
        team.add("data/preferences.jsonl")
        team.commit("Pairs", f"{len(rows)}-pairs")
    params = YAML().load((before / PARAMS_FILE).read_text())
    set_params(before, {"datasets": {"preferences": "data/preferences.jsonl"}})
    assert "preferences" not in params["datasets"]
    *old, new = read_result(call(before, "backfill", "--json"))["versions"]
    assert {version["reason"] for version in old} == {"without data/preferences.jsonl"}
    assert (new["name"], new["status"], new["outcome"]) == (f"{len(pairs)}-pairs", "baseline", "recorded")
    assert {name: measured["rows"] for name, measured in new["measurements"].items()} == {
        "sft": 240, "preferences": len(pairs),
    }  # fmt: skip
    assert 0 < new["measurements"]["preferences"]["l"] < 1
    (entry,) = read_history(before / "history")
    assert set(entry.datasets) == {"sft", "preferences"}


# --- the walk through Git ---


def names(folder: Path, monkeypatch: pytest.MonkeyPatch, file: str = "data/sft.jsonl", **options: Any) -> list[str]:
    monkeypatch.chdir(folder)
    return [v.name for v in list_past_versions({"sft": Path(file)}, number_main_line(), **options)]


def test_a_branch_counts_from_where_it_was_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    team = Team(tmp_path, dvc=False)
    (tmp_path / "sft.jsonl").write_text("1")
    team.commit("one", "one")
    git(tmp_path, "checkout", "--quiet", "-b", "side")
    for text in "23":
        (tmp_path / "sft.jsonl").write_text(text)
        team.commit("side", f"side-{text}")
    git(tmp_path, "checkout", "--quiet", "main")
    (tmp_path / "other").write_text("")
    team.commit("other", "other")
    git(tmp_path, "merge", "--quiet", "--no-ff", "-m", "merge", "side")
    git(tmp_path, "tag", "merged")
    assert names(tmp_path, monkeypatch, "sft.jsonl") == ["one", "merged"]
    # As seen from the side branch, what was on main when it left.
    assert names(tmp_path, monkeypatch, "sft.jsonl", since="side-2") == ["one", "merged"]
    assert names(tmp_path, monkeypatch, "sft.jsonl", since="HEAD") == ["merged"]


@pytest.mark.slow
def test_a_stages_output_and_a_tracked_folder_are_followed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    team = Team(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  make:\n    cmd: cp raw.jsonl made.jsonl\n    deps: [raw.jsonl]\n    outs: [made.jsonl]\n"
        "  count:\n    cmd: wc -l parts/one.jsonl > lines\n    deps: [parts/one.jsonl]\n    outs: [lines]\n"
    )
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "two.jsonl").write_text("two")
    for made, part in (("a", "a"), ("b", "a"), ("a", "b")):
        (tmp_path / "raw.jsonl").write_text(made)
        (tmp_path / "parts" / "one.jsonl").write_text(part)
        team.add("parts")
        with warnings.catch_warnings(action="ignore"), Repo(str(tmp_path)) as repo:
            repo.reproduce()
        team.commit("data", f"{made}{part}")
    assert names(tmp_path, monkeypatch, "made.jsonl") == ["aa", "ba"]
    assert names(tmp_path, monkeypatch, "parts/one.jsonl") == ["aa", "ab"]
    assert names(tmp_path, monkeypatch, "parts/two.jsonl") == ["aa"]
    # Without the lists of the folder's files its versions are told apart by the lists' names.
    shutil.rmtree(tmp_path / ".dvc" / "cache")
    assert names(tmp_path, monkeypatch, "parts/one.jsonl") == ["aa", "ab"]


def test_a_commit_that_dvc_cannot_read_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    team = Team(tmp_path)
    for text in "ab":
        (tmp_path / "sft.jsonl").write_text(text)
        (tmp_path / "sft.jsonl.dvc").unlink(missing_ok=True)
        team.add("sft.jsonl")
        team.commit("data", text)
        (tmp_path / "sft.jsonl.dvc").write_text("<<<<<<< HEAD\n")
        team.commit("conflict", f"conflict-{text}")
    monkeypatch.chdir(tmp_path)
    versions = list_past_versions({"sft": Path("sft.jsonl")}, number_main_line())
    assert [(version.name, version.problem is None) for version in versions] == [
        ("a", True), ("conflict-a", False), ("b", True), ("conflict-b", False),
    ]  # fmt: skip
    assert versions[1].problem is not None and f"{versions[1].short}:sft.jsonl: cannot be read" in versions[1].problem


def test_a_shallow_clone_says_that_older_versions_are_not_in_it(before: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth", 1, f"file://{before}", clone)
    shutil.copytree(before / ".dvc" / "cache", clone / ".dvc" / "cache")
    shutil.copy(before / "data" / "sft.jsonl", clone / "data" / "sft.jsonl")
    result = call(clone, "backfill")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0] == "No data version before the present one was found in Git."
    assert "git fetch --unshallow" in result.stdout


def test_a_repository_without_a_commit_has_no_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Team(tmp_path, dvc=False)
    with pytest.raises(EntropylawError, match="no commit yet"):
        names(tmp_path, monkeypatch)


def test_the_help_has_an_example() -> None:
    result = CliRunner().invoke(app, ["backfill", "--help"])
    assert result.exit_code == 0 and "Example: entropylaw backfill --dry-run" in result.stdout


def test_a_past_version_that_holds_a_benchmark_of_today_is_no_reference(before: Path, chats: Rows) -> None:
    said_again = [to_row(record) for record, _ in chats[240:270]]
    for row in said_again:
        for message in row["messages"]:
            message["content"] = message["content"].upper()
    write_rows(before / "data" / "benchmark.jsonl", said_again)
    set_params(before, {"contamination": {"sets": ["data/benchmark.jsonl"]}})
    versions = by_name(call(before, "backfill", "--json"))
    assert versions["v1.0"]["outcome"] == "recorded" and versions["v2.9"]["outcome"] == "left out"
    assert "rows of data/benchmark.jsonl" in versions["v2.9"]["reason"]


def test_a_benchmark_that_cannot_be_read_is_said_before_the_first_version(before: Path) -> None:
    set_params(before, {"contamination": {"sets": ["data/none.jsonl"]}})
    done = call(before, "backfill")
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (2, "entropylaw: data/none.jsonl: no such file")
    assert not list((before / "history").glob("*.json"))
