"""`entropylaw compare`: two data versions side by side, from files, Git and DVC, and where it must say no."""

import json
import math
import shutil
import subprocess
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from corpus.artifacts import write_json
from corpus.files import write_rows
from corpus.params import PARAMS_FILE
from corpus.records import Conversation, HashedRecord, Message, Record, canonical_text, content_hash
from entropylaw.cli import app
from entropylaw.init.recipes import apply_recipe
from entropylaw.repository.shipped_files import shipped_text
from monitor.calibration.benign_updates import BenignUpdate
from monitor.calibration.calibrate import Calibration
from monitor.calibration.params import CalibrationParams
from monitor.measures.compression import MAX_SOURCES, OTHER_SOURCES, CompressionParams, profile_compression
from monitor.measures.consistency import ConsistencyParams
from monitor.measures.measurement import measure_dataset
from monitor.measures.new_text import measure_new_text
from monitor.version_diff import (
    MeasuredFile,
    VersionComparison,
    compare_versions,
    match_rows,
    subtract_numbers,
)
from reports.comparison import render_comparison
from training.base_model import read_card

Rows = list[HashedRecord]
Compare = Callable[..., Result]

PARAMS = CompressionParams()


def to_row(record: Record) -> dict[str, Any]:
    messages = [{"role": message.role, "content": message.content} for _, message in record.turns()]
    return {"messages": messages, "source": record.source}


def write_version(path: Path, rows: Rows) -> Path:
    write_rows(path, (to_row(record) for record, _ in rows))
    return path


def compare_rows(a: Rows, b: Rows) -> VersionComparison:
    """Two versions held in memory."""
    sides = [
        MeasuredFile(name, None, {}, measure_dataset("sft", rows, PARAMS, ConsistencyParams()))
        for name, rows in (("a", a), ("b", b))
    ]
    return compare_versions(sides[0], sides[1], PARAMS)


@pytest.fixture
def compare(in_tmp_path: Path) -> Compare:
    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["compare", *map(str, arguments)])

    return call


def read_result(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def require_one_line(result: Result, *parts: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("entropylaw: ") and result.stderr.count("\n") == 1, result.stderr
    assert not result.stdout
    for part in parts:
        assert part in result.stderr


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abcd")))
def test_rows_are_matched_copy_by_copy(old: list[str], new: list[str]) -> None:
    flags = match_rows(old, new)
    common = Counter(old) & Counter(new)
    assert Counter(h for h, kept in zip(new, flags, strict=True) if kept) == common
    # Of equal rows it is the later copies that were added.
    for h in common:
        assert [kept for other, kept in zip(new, flags, strict=True) if other == h][: common[h]] == [True] * common[h]


@pytest.mark.slow
def test_swapping_a_and_b_swaps_what_was_added_with_what_was_removed(chats: Rows) -> None:
    there, back = compare_rows(chats[:80], chats[20:90]), compare_rows(chats[20:90], chats[:80])
    assert (there.rows.added, there.rows.removed, there.rows.kept) == (10, 20, 60)
    assert (back.rows.added, back.rows.removed, back.rows.kept) == (20, 10, 60)
    assert there.added == back.removed and there.removed == back.added
    zero = subtract_numbers(there.change, there.change)
    assert subtract_numbers(zero, there.change) == back.change
    assert {name: (s.rows.added, s.rows.removed) for name, s in there.sources.items()} == {
        name: (s.rows.removed, s.rows.added) for name, s in back.sources.items()
    }


def test_added_text_is_what_the_codec_needs_for_it_after_the_kept_rows(chats: Rows) -> None:
    kept, added = chats[:100], chats[100:150]
    evidence = measure_dataset("sft", [*added[:20], *kept, *added[20:]], PARAMS, ConsistencyParams())
    text = measure_new_text(evidence.records, [False] * 20 + [True] * 100 + [False] * 30, PARAMS)
    assert text is not None
    alone, both = (
        PARAMS.long_codec().sizes(canonical_text(record).encode() for record, _ in rows)
        for rows in (kept, [*kept, *added])
    )
    assert text.raw_bytes == both[0] - alone[0]
    assert text.new_bytes == pytest.approx(both[1] - alone[1], rel=0.02)
    assert text.r_long == text.raw_bytes / text.new_bytes


@pytest.mark.slow
def test_added_copies_bring_almost_nothing_new_and_fresh_rows_what_they_are(chats: Rows) -> None:
    copies = compare_rows(chats[:100], [*chats[:100], *chats[:30]]).added
    fresh = compare_rows(chats[:100], chats[:130]).added
    assert copies is not None and fresh is not None
    assert copies.new_bytes < 0.02 * copies.raw_bytes
    assert 0.2 * fresh.raw_bytes < fresh.new_bytes < 0.5 * fresh.raw_bytes


@pytest.mark.slow
def test_each_source_counts_its_own_rows() -> None:
    def row(source: str, i: int) -> HashedRecord:
        record = Conversation((Message("user", f"question {i}"), Message("assistant", f"answer {i}")), source)
        return record, content_hash(record)

    old = [row("web", i) for i in range(10)] + [row("forum", i) for i in range(10, 15)]
    # Two web rows go, one forum row comes, and one row changes its source: that is not a change of the data.
    new = [row("web", i) for i in range(2, 9)] + [row("forum", i) for i in range(9, 16)]
    result = compare_rows(old, new)
    assert {name: asdict(source.rows) for name, source in result.sources.items()} == {
        "forum": {"added": 1, "removed": 0, "kept": 6},
        "web": {"added": 0, "removed": 2, "kept": 7},
    }
    web = profile_compression([record for record, _ in new[:7]], PARAMS)
    forum = result.sources["forum"]
    assert result.sources["web"].b is not None and result.sources["web"].b.r == web.r
    assert forum.a is not None and forum.a.rows == 5 and forum.b is not None and forum.b.rows == 7
    # A version of one source is that source.
    alone = compare_rows(old[:10], old)
    assert alone.sources["web"].a is not None and alone.sources["web"].a.r == alone.a.numbers.r
    assert alone.sources["forum"].a is None
    assert compare_rows(old[:10], old[1:10]).sources == {}


@pytest.mark.slow
def test_many_sources_stay_few_lines_and_every_row_is_counted_once(chats: Rows) -> None:
    def label(rows: Rows, prefix: str) -> Rows:
        return [(replace(record, source=f"{prefix}{i % 20}"), row_hash) for i, (record, row_hash) in enumerate(rows)]

    result = compare_rows(label(chats[:60], "a"), label(chats[10:80], "b"))
    assert len(result.sources) == 2 * MAX_SOURCES + 1
    counts = [source.rows for source in result.sources.values()]
    assert sum(c.added for c in counts) == 20 and sum(c.removed for c in counts) == 10
    assert sum(c.kept for c in counts) == 50
    # What is left over is not the same in both versions, so its R is not set side by side.
    rest = result.sources[OTHER_SOURCES]
    assert rest.a is None and rest.b is None


@pytest.mark.slow
def test_the_same_rows_in_five_formats_do_not_differ(compare: Compare, tmp_path: Path) -> None:
    pairs = [(f"What is {i} times {i}?", f"It is {i * i}, of course.") for i in range(40)]
    shapes: dict[str, Callable[[str, str], dict[str, Any]]] = {
        "a.jsonl": lambda q, a: {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]},
        "b.json": lambda q, a: {"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]},
        "c.jsonl.gz": lambda q, a: {"instruction": q, "input": "", "output": a},
        "d.parquet": lambda q, a: {"prompt": q, "completion": a},
    }
    for name, shape in shapes.items():
        write_rows(tmp_path / name, [shape(q, a) for q, a in pairs])
    assert CliRunner().invoke(app, ["prepare", "a.jsonl", "--out", "prepared.jsonl"]).exit_code == 0
    for name in [*shapes, "prepared.jsonl"]:
        result = read_result(compare("a.jsonl", name, "--json"))
        assert {value for value in result["change"].values() if value is not None} == {0}
        assert result["rows"] == {"added": 0, "removed": 0, "kept": 40} and not result["reordered"]
        assert result["added"] is None and result["removed"] is None
        assert result["a"]["data_hash"] == result["b"]["data_hash"]


@pytest.mark.slow
def test_reordering_adds_nothing_and_is_said(compare: Compare, chats: Rows, tmp_path: Path) -> None:
    write_version(tmp_path / "a.jsonl", chats[:60])
    write_version(tmp_path / "b.jsonl", chats[59::-1])
    result = read_result(compare("a.jsonl", "b.jsonl", "--json"))
    assert result["reordered"] and result["rows"] == {"added": 0, "removed": 0, "kept": 60}
    assert result["change"]["rows"] == 0 and abs(result["change"]["c"]) < 1e-6
    assert result["change"]["r"] != 0
    shown = compare("a.jsonl", "b.jsonl")
    assert shown.exit_code == 0 and "The same 60 rows, in another order." in shown.stdout


@pytest.mark.slow
def test_the_table_shows_both_numbers_and_their_difference(compare: Compare, chats: Rows, tmp_path: Path) -> None:
    write_version(tmp_path / "a.jsonl", chats[:60])
    empty = {"messages": [{"role": "user", "content": "Well?"}, {"role": "assistant", "content": " "}]}
    write_rows(tmp_path / "b.jsonl", [*(to_row(record) for record, _ in chats[:80]), *[empty] * 3])
    result = compare("a.jsonl", "b.jsonl")
    lines = result.stdout.splitlines()
    table = {line[:44].strip(): line[44:].split() for line in lines if len(line) > 44}
    assert lines[:2] == ["A  a.jsonl", "B  b.jsonl; of 83 rows left out: 3 empty answer"]
    assert table["rows compared"] == ["60", "80", "+20"]
    before, after, change = table["R       compression ratio, 32 KiB window"]
    numbers = read_result(compare("a.jsonl", "b.jsonl", "--json"))
    assert [float(before), float(after)] == [round(numbers[side]["numbers"]["r"], 3) for side in "ab"]
    assert change == f"{numbers['change']['r']:+.3f}".replace("-", "−")
    assert numbers["b"]["left_out"] == {"empty answer": 3}
    assert "20 rows added, 0 removed, 60 kept." in lines
    assert f"Added: {numbers['added']['raw_bytes']:,} bytes" in result.stdout
    assert max(map(len, lines)) <= 80


@pytest.mark.slow
def test_without_a_base_model_l_is_left_out_and_said_in_one_line(compare: Compare, chats: Rows, tmp_path: Path) -> None:
    write_version(tmp_path / "a.jsonl", chats[:60])
    result = compare("a.jsonl", "a.jsonl")
    assert "L was not measured: there is no models/base" in result.stdout
    numbers = read_result(compare("a.jsonl", "a.jsonl", "--no-probe", "--json"))
    assert numbers["a"]["numbers"]["l"] is None and numbers["change"]["l"] is None
    assert numbers["notes"] == ["L was left out."] and numbers["rules"] is None


def small_probe(folder: Path) -> None:
    """A params.yaml whose probe is short."""
    text = apply_recipe(shipped_text(PARAMS_FILE), "probe:\n  steps: 24\n  max_length: 48\n", "the test")
    (folder / PARAMS_FILE).write_text(text, encoding="utf-8")


def made_up_calibration(base_identity: str) -> Calibration:
    updates = [
        BenignUpdate(share, "random", 0.01 * math.sqrt(share) * sign, 0.01 * math.sqrt(share) * sign)
        for share in (0.05, 0.1, 0.2)
        for sign in (1, -1)
    ]
    return Calibration(300, (5.0, 5.01), tuple(updates), (), base_identity, CalibrationParams())


def test_with_a_base_model_the_same_file_twice_has_the_same_l(
    compare: Compare, chats: Rows, base_folder: Path, tmp_path: Path
) -> None:
    small_probe(tmp_path)
    write_version(tmp_path / "a.jsonl", chats[:400])
    write_json(tmp_path / "results" / "calibration.json", made_up_calibration(read_card(base_folder).identity))
    result = read_result(compare("a.jsonl", "a.jsonl", "--base", base_folder, "--json"))
    assert 3 < result["a"]["numbers"]["l"] < 7
    assert {value for value in result["change"].values() if value is not None} == {0}
    assert result["change"]["l"] == 0.0
    assert result["rules"] == [] and result["notes"] == []


def test_copies_are_named_as_beyond_benign_by_the_calibration(
    compare: Compare, chats: Rows, base_folder: Path, tmp_path: Path
) -> None:
    small_probe(tmp_path)
    shutil.copytree(base_folder, tmp_path / "models" / "base")
    write_version(tmp_path / "a.jsonl", chats[:300])
    write_version(tmp_path / "b.jsonl", [*chats[:300], *chats[:60]])
    identity = read_card(base_folder).identity
    calibration = tmp_path / "results" / "calibration.json"
    write_json(calibration, made_up_calibration(identity))
    shown = compare("a.jsonl", "b.jsonl")
    assert shown.exit_code == 0, shown.stderr
    assert "Beyond what benign updates do:\n  Redundancy: " in shown.stdout
    # A calibration of another model says nothing here; one that cannot be read is an error.
    write_json(calibration, made_up_calibration("another"))
    other = read_result(compare("a.jsonl", "b.jsonl", "--json"))
    assert other["rules"] is None and "made with another base model" in other["notes"][0]
    assert other["change"]["l"] is not None
    calibration.write_text("{}")
    assert compare("a.jsonl", "b.jsonl").exit_code == 3


def test_too_few_rows_for_a_probe_leave_the_other_numbers(
    compare: Compare, chats: Rows, base_folder: Path, tmp_path: Path
) -> None:
    write_version(tmp_path / "a.jsonl", chats[:3])
    write_version(tmp_path / "b.jsonl", chats[:5])
    result = read_result(compare("a.jsonl", "b.jsonl", "--base", base_folder, "--json"))
    assert result["change"]["rows"] == 2 and result["change"]["l"] is None
    assert [note[:21] for note in result["notes"]] == ["L of A was not measur", "L of B was not measur"]


@pytest.mark.slow
def test_preferences_are_compared_with_preferences_only(compare: Compare, chats: Rows, tmp_path: Path) -> None:
    pairs = [
        {"prompt": f"Name number {i}.", "chosen": f"The number is {i}.", "rejected": "I like trains."}
        for i in range(20)
    ]
    write_rows(tmp_path / "old.jsonl", pairs)
    write_rows(tmp_path / "new.json", pairs[2:])
    result = read_result(compare("old.jsonl", "new.json", "--json"))
    assert result["a"]["kind"] == result["b"]["kind"] == "preferences"
    assert result["rows"] == {"added": 0, "removed": 2, "kept": 18}
    assert result["change"]["chosen_margin"] is not None
    assert "margin of chosen over rejected" in compare("old.jsonl", "new.json").stdout
    write_version(tmp_path / "chats.jsonl", chats[:20])
    require_one_line(compare("old.jsonl", "chats.jsonl"), "old.jsonl holds preferences", "chats.jsonl conversations")


def test_held_out_rows_are_left_out_on_both_sides(compare: Compare, chats: Rows, tmp_path: Path) -> None:
    write_version(tmp_path / "a.jsonl", chats[:40])
    write_version(tmp_path / "b.jsonl", chats[:50])
    write_version(tmp_path / "held.jsonl", chats[35:45])
    result = read_result(compare("a.jsonl", "b.jsonl", "--held-out", "held.jsonl", "--json"))
    assert (result["a"]["left_out"], result["b"]["left_out"]) == ({"held out": 5}, {"held out": 10})
    assert result["rows"] == {"added": 5, "removed": 0, "kept": 35}


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("good.jsonl", "typo.jsonl"), ("typo.jsonl: no such file",)),
        (("good.jsonl", "folder"), ("folder: is a folder that holds no data file",)),
        (("good.jsonl", "HEAD"), ("HEAD: neither a data file nor a Git revision",)),
        (("HEAD:good.jsonl", "good.jsonl"), ("HEAD:good.jsonl: no such file, and 'HEAD' is no commit",)),
        (("good.jsonl", "bad.jsonl"), ("bad.jsonl, line 2: not JSON",)),
        (("good.jsonl", "blank.jsonl"), ("blank.jsonl: no usable row (1 empty answer)",)),
        (("good.jsonl", "notes.txt"), ("notes.txt: unknown file type",)),
    ],
)
def test_a_wrong_file_is_one_line(
    compare: Compare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, str], parts: tuple[str]
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    write_rows(tmp_path / "good.jsonl", [{"prompt": "Hi", "completion": "Hello!"}])
    write_rows(tmp_path / "blank.jsonl", [{"prompt": "Hi", "completion": ""}])
    (tmp_path / "bad.jsonl").write_text('{"prompt": "Hi", "completion": "Hello!"}\nnonsense\n')
    (tmp_path / "notes.txt").write_text("Hello!")
    (tmp_path / "folder").mkdir()
    require_one_line(compare(*arguments), *parts)


def git(folder: Path, *words: object) -> None:
    settings = ("-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *settings, *map(str, words)], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def history(chats: Rows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of three commits: two versions of data/sft.jsonl in DVC, then damage; notes.jsonl in Git."""
    from dvc.repo import Repo

    folder = tmp_path_factory.mktemp("team") / "data repository"
    folder.mkdir()

    # DVC's own libraries warn; the tests of this repository take every warning for an error.
    warned = warnings.catch_warnings(action="ignore")
    git(folder, "init", "--quiet")
    Repo.init(str(folder))
    (folder / "data").mkdir()
    (folder / PARAMS_FILE).write_text(shipped_text(PARAMS_FILE), encoding="utf-8")
    data = folder / "data" / "sft.jsonl"
    with warned, Repo(str(folder)) as repo:
        for version in (chats[:60], chats[10:80]):
            write_version(data, version)
            write_version(folder / "notes.jsonl", version[:20])
            repo.add(str(data))
            git(folder, "add", "--all")
            git(folder, "commit", "--quiet", "-m", f"{len(version)} rows")
        data.write_text(data.read_text(encoding="utf-8").replace('{"messages"', '{"massages"'), encoding="utf-8")
        repo.add(str(data))
        git(folder, "commit", "--quiet", "--all", "-m", "Damaged")
    return folder


@pytest.fixture
def compare_there(history: Path, monkeypatch: pytest.MonkeyPatch) -> Compare:
    monkeypatch.chdir(history)
    return lambda *words: CliRunner().invoke(app, ["compare", *map(str, words), "--no-probe"])


@pytest.mark.slow
def test_revisions_are_compared_like_the_files_they_stand_for(
    compare_there: Compare, chats: Rows, tmp_path: Path
) -> None:
    old, new = write_version(tmp_path / "old.jsonl", chats[:60]), write_version(tmp_path / "new.parquet", chats[10:80])
    expected = read_result(compare_there(old, new, "--json"))
    for words in (("HEAD~2", "HEAD~1"), ("HEAD~2:data/sft.jsonl", "HEAD~1"), (old, "HEAD~1", "--dataset", "sft")):
        result = read_result(compare_there(*words, "--json"))
        assert {k: v for k, v in result.items() if k not in "ab"} == {
            k: v for k, v in expected.items() if k not in "ab"
        }
        assert result["b"] == {**expected["b"], "name": "HEAD~1:data/sft.jsonl", "commit": result["b"]["commit"]}
    sha = subprocess.run(["git", "rev-parse", "HEAD~1"], capture_output=True, text=True, check=True).stdout.strip()
    assert result["b"]["commit"] == sha and expected["b"]["commit"] is None
    assert f"B  HEAD~1:data/sft.jsonl ({sha[:7]})" in compare_there("HEAD~2", "HEAD~1").stdout


@pytest.mark.slow
def test_a_file_that_git_tracks_needs_no_dvc(compare_there: Compare) -> None:
    result = read_result(compare_there("HEAD~2:notes.jsonl", "notes.jsonl", "--json"))
    assert result["rows"] == {"added": 10, "removed": 10, "kept": 10}


@pytest.mark.slow
def test_files_of_revisions_are_named_from_the_current_folder(
    compare_there: Compare, history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read_result(compare_there("HEAD~2", "HEAD~1", "--json"))["rows"]
    monkeypatch.chdir(history / "data")
    assert read_result(compare_there("HEAD~2:sft.jsonl", "HEAD~1:../data/sft.jsonl", "--json"))["rows"] == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("HEAD~2", "nowhere"), ("nowhere: neither a data file nor a Git revision",)),
        (("HEAD~2", "HEAD~1:data/other.jsonl"), ("HEAD~1:data/other.jsonl: neither Git nor DVC tracks",)),
        (("HEAD~2", "HEAD~1:../sft.jsonl"), ("HEAD~1:../sft.jsonl: lies outside the working tree",)),
        (("HEAD~2", "HEAD~1:params.yaml"), ("HEAD~1:params.yaml: unknown file type",)),
        (("HEAD~2", "HEAD~1", "--dataset", "chats"), ("params.yaml: no dataset 'chats'", "sft, preferences")),
        (("HEAD~2", "HEAD"), ("HEAD:data/sft.jsonl, line 1: ", "massages")),
    ],
)
def test_a_wrong_revision_is_one_line_that_names_it(
    compare_there: Compare, arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    require_one_line(compare_there(*arguments), *parts)


@pytest.mark.slow
def test_without_params_a_revision_needs_a_file(
    compare_there: Compare, history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(history / "data")
    require_one_line(compare_there("HEAD~2", "HEAD~1"), "HEAD~2: there is no params.yaml", "HEAD~2:FILE")


@pytest.mark.slow
def test_data_that_is_neither_cached_nor_on_a_remote_says_what_to_fetch(
    compare_there: Compare, history: Path, tmp_path: Path
) -> None:
    cache = history / ".dvc" / "cache" / "files"
    shutil.move(cache, tmp_path / "away")
    try:
        require_one_line(
            compare_there("HEAD~2", "HEAD~1"),
            "HEAD~2:data/sft.jsonl: its data is neither in the DVC cache nor on the remote",
            "`dvc fetch --all-commits data/sft.jsonl`",
        )
        # Where a remote has it, it is read from there, and only read: the cache stays as it is.
        remote = f"[core]\n    remote = far\n['remote \"far\"']\n    url = {tmp_path / 'remote'}\n"
        shutil.copytree(tmp_path / "away", tmp_path / "remote" / "files")
        (history / ".dvc" / "config.local").write_text(remote, encoding="utf-8")
        assert compare_there("HEAD~2", "HEAD~1").exit_code == 0
        assert not any(path.is_file() for path in cache.rglob("*"))
    finally:
        (history / ".dvc" / "config.local").unlink(missing_ok=True)
        shutil.rmtree(cache, ignore_errors=True)
        shutil.move(tmp_path / "away", cache)


@pytest.mark.slow
def test_git_alone_will_do_and_so_will_dvc_in_a_folder_of_the_repository(
    compare: Compare, chats: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dvc.repo import Repo

    write_version(tmp_path / "sft.jsonl", chats[:20])
    write_version(tmp_path / "ml" / "parts" / "one.jsonl", chats[5:20])
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "sft.jsonl")
    git(tmp_path, "commit", "--quiet", "-m", "Git alone")
    result = read_result(compare("HEAD:sft.jsonl", "ml/parts/one.jsonl", "--json"))
    assert result["rows"] == {"added": 0, "removed": 5, "kept": 15}

    monkeypatch.chdir(tmp_path / "ml")
    with warnings.catch_warnings(action="ignore"):
        Repo.init(".", subdir=True)
        with Repo(".") as repo:
            repo.add("parts")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "-m", "DVC below")
    assert read_result(compare("HEAD~1:../sft.jsonl", "HEAD:parts/one.jsonl", "--json"))["rows"] == result["rows"]
    # A clone has no data, and of a folder not even the list of its files.
    git(tmp_path, "clone", "--quiet", tmp_path, "clone")
    monkeypatch.chdir(tmp_path / "clone" / "ml")
    require_one_line(compare("HEAD:parts/one.jsonl", "HEAD"), "neither Git nor DVC tracks", "`dvc fetch --all-commits`")


def test_names_and_sources_cannot_command_the_terminal(chats: Rows) -> None:
    rows = [(replace(record, source=f"\x1b[31m{i % 2}"), row_hash) for i, (record, row_hash) in enumerate(chats[:20])]
    result = compare_rows(rows, rows[:10])
    shown = "\n".join(render_comparison(replace(result, a=replace(result.a, name="a\x1b[31m\nb.jsonl"))))
    assert "\x1b" not in shown and "a\\x1b[31m b.jsonl" in shown


def test_the_help_has_an_example() -> None:
    result = CliRunner().invoke(app, ["compare", "--help"])
    assert result.exit_code == 0 and "Example: entropylaw compare HEAD~1 HEAD --dataset sft" in result.stdout
