"""`entropylaw repair` in a Git + DVC repository: from a stopped version to one that passes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from test_backfill import TINY, Team, call, set_params, to_row, write_version

from corpus.files import write_rows
from corpus.records import HashedRecord
from entropylaw.init.pipeline import render_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.long]

Rows = list[HashedRecord]
# The stages up to the verdict, as commands.
MEASURE = (
    ("prepare", "--dataset", "sft", "--held-out", "data/heldout.jsonl", "--out", "data/prepared/sft.jsonl",
     "--report", "results/sft/prepare.json"),
    ("compress", "data/prepared/sft.jsonl", "--out", "results/sft/compression.json"),
    ("consistency", "data/prepared/sft.jsonl", "--out", "results/sft/consistency.json",
     "--rows", "results/sft/agreement.npy"),
    ("probe", "data/prepared/sft.jsonl", "--base", "models/base", "--out", "results/sft/probe.json",
     "--curve", "results/sft/probe_curve.csv", "--rows", "results/sft/probe_rows.csv"),
    ("assess",),
)  # fmt: skip
ROWS, EDITED, ADDED = 400, 60, 30


def measure(folder: Path) -> dict[str, Any]:
    """Run the stages on the data that is there; the verdict."""
    for words in MEASURE:
        done = call(folder, *words)
        assert done.exit_code == 0, done.stderr
    verdict: dict[str, Any] = json.loads((folder / "results/verdict.json").read_text())
    return verdict


def damage(row: dict[str, Any]) -> dict[str, Any]:
    """Answers with the tokens of a chat template and what a web page left, as a broken export has them."""

    def spoil(text: str) -> str:
        return f"{text}&nbsp;<|im_end|>\n<|im_start|>user"

    return {
        "messages": [{**m, "content": spoil(m["content"])} if m["role"] == "assistant" else m for m in row["messages"]]
    }


@pytest.fixture(scope="module")
def accepted(chats: Rows, base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose first version is in its history; what lies there is another one."""
    folder = tmp_path_factory.mktemp("repair") / "team"
    team = Team(folder)
    for name, text in render_pipeline({"sft": "data/sft.jsonl"}).items():
        (folder / name).write_text(text)
    set_params(folder, TINY)
    write_version(folder / "data" / "heldout.jsonl", chats[1000:1010])
    write_version(folder / "data" / "baseline.jsonl", chats[:ROWS])
    shutil.copytree(base_folder, folder / "models" / "base")
    done = call(folder, "calibrate", "data/baseline.jsonl", "--out", "results/calibration.json")
    assert done.exit_code == 0, done.stderr
    team.commit_data(chats[:ROWS], "x1")
    write_version(folder / "data" / "sft.jsonl", chats[1:ROWS])
    done = call(folder, "backfill")
    assert done.exit_code == 0 and list((folder / "history").glob("x1-*.json")), done.stderr
    return folder


@pytest.fixture
def stopped(accepted: Path, chats: Rows, tmp_path: Path) -> Path:
    """The next version: some rows edited by a broken export, damaged new rows, and honest new ones."""
    folder = Path(shutil.copytree(accepted, tmp_path / "team"))
    old = [to_row(record) for record, _ in chats[:ROWS]]
    new = [to_row(record) for record, _ in chats[ROWS : ROWS + 2 * ADDED]]
    version = [damage(row) if i < EDITED else row for i, row in enumerate(old)]
    write_rows(folder / "data" / "sft.jsonl", [*version, *map(damage, new[:ADDED]), *new[ADDED:]])
    assert measure(folder)["status"] == "risky"
    return folder


def read_data(folder: Path, name: str = "data/sft.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_nothing_changes_unless_it_is_asked_for(stopped: Path) -> None:
    before = (stopped / "data/sft.jsonl").read_bytes()
    done = call(stopped, "repair")
    assert done.exit_code == 0, done.stderr
    assert "back to what x1 had" in done.stdout and "Nothing was changed" in done.stdout
    assert (stopped / "data/sft.jsonl").read_bytes() == before


def test_edited_rows_are_put_back_new_ones_dropped_and_the_version_passes(stopped: Path, chats: Rows) -> None:
    done = call(stopped, "repair", "--apply", "--rows", "rows.jsonl", "--patch", "rows.patch")
    assert done.exit_code == 0, done.stderr
    listed = read_data(stopped, "rows.jsonl")
    damaged = {*range(1, EDITED + 1), *range(ROWS + 1, ROWS + ADDED + 1)}
    right = damaged & {row["row"] for row in listed}
    assert len(right) >= 0.85 * len(damaged) and len(right) >= 0.85 * len(listed)
    assert all(row["rule"] and row["reason"] for row in listed)
    repaired, old = read_data(stopped), [to_row(record) for record, _ in chats[:ROWS]]
    back = [row["row"] for row in listed if row["action"] == "put back"]
    assert len(back) >= 0.85 * EDITED and all(repaired[number - 1] == old[number - 1] for number in back)
    dropped = [row["row"] for row in listed if row["action"] == "dropped"]
    assert len(repaired) == ROWS + 2 * ADDED - len(dropped)
    patch = (stopped / "rows.patch").read_text().splitlines()
    assert sum(line.startswith("-{") for line in patch) == len(listed)
    assert sum(line.startswith("+{") for line in patch) == len(back)
    assert measure(stopped)["status"] in ("pass", "warn")


def test_a_copy_leaves_the_data_alone_and_json_says_it_all(stopped: Path) -> None:
    before = (stopped / "data/sft.jsonl").read_bytes()
    done = call(stopped, "repair", "--out", "elsewhere/repaired.jsonl", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["before"]["status"] == "risky" and found["after"]["status"] in ("pass", "warn")
    assert (stopped / "data/sft.jsonl").read_bytes() == before
    dropped = len(read_data(stopped)) - len(read_data(stopped, "elsewhere/repaired.jsonl"))
    assert 0 < dropped <= len(found["rows"])


def test_where_every_row_was_damaged_the_commit_is_undone(accepted: Path, chats: Rows, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(accepted, tmp_path / "team"))
    old = [to_row(record) for record, _ in chats[:ROWS]]
    write_rows(folder / "data" / "sft.jsonl", map(damage, old))
    assert measure(folder)["status"] == "risky"
    done = call(folder, "repair", "--apply")
    assert done.exit_code == 0, done.stdout + done.stderr
    repaired = read_data(folder)
    assert sum(row in old for row in repaired) >= 0.85 * ROWS
    # Without the parent's data there is nothing to put back, and nothing would be left.
    shutil.rmtree(folder / ".dvc" / "cache")
    write_rows(folder / "data" / "sft.jsonl", map(damage, old))
    measure(folder)
    done = call(folder, "repair")
    assert done.exit_code == 1 and "More than half" in done.stdout


def test_rows_that_are_gone_cannot_be_repaired(accepted: Path, chats: Rows, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(accepted, tmp_path / "team"))
    write_version(folder / "data" / "sft.jsonl", chats[: ROWS // 2])
    assert measure(folder)["status"] == "risky"
    done = call(folder, "repair")
    assert done.exit_code == 1 and "Rows are missing" in done.stdout


def test_a_version_that_passes_needs_no_repair(accepted: Path, chats: Rows, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(accepted, tmp_path / "team"))
    write_version(folder / "data" / "sft.jsonl", chats[20 : ROWS + 20])
    assert measure(folder)["status"] in ("pass", "warn")
    done = call(folder, "repair")
    assert done.exit_code == 0 and "nothing to repair" in done.stdout


def test_a_verdict_on_other_rows_is_refused(stopped: Path, chats: Rows) -> None:
    write_version(stopped / "data" / "sft.jsonl", chats[:ROWS])
    for words in MEASURE[:-1]:
        call(stopped, *words)
    done = call(stopped, "repair")
    assert done.exit_code == 3 and "dvc repro" in done.stderr and "Traceback" not in done.stderr


def test_near_copies_of_a_benchmark_are_dropped_and_looked_for_again(
    accepted: Path, chats: Rows, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(accepted, tmp_path / "team"))
    benchmark = [row for row in map(to_row, (record for record, _ in chats[1000:1200])) if len(str(row)) > 500][:40]
    write_rows(folder / "data" / "benchmark.jsonl", benchmark)
    set_params(folder, {"contamination": {"sets": ["data/benchmark.jsonl"]}})
    said_again = [{"messages": [{**m, "content": m["content"].upper()} for m in row["messages"]]} for row in benchmark]
    old, new = ([to_row(record) for record, _ in chats[part]] for part in (slice(ROWS), slice(ROWS, ROWS + ADDED)))
    write_rows(folder / "data" / "sft.jsonl", [*old, *new, *said_again])
    status = {rule["id"]: rule["status"] for rule in measure(folder)["rules"]}
    assert status["leak"] == "risky"
    done = call(folder, "repair", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    leaked = range(ROWS + ADDED + 1, ROWS + ADDED + len(benchmark) + 1)
    dropped = {row["row"] for row in found["rows"]}
    assert len(dropped & set(leaked)) >= 0.85 * len(dropped)
    left = {rule["id"]: rule for rule in found["after"]["rules"]}["leak"]
    assert left["status"] == "pass", left
