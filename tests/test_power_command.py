"""`entropylaw power` in a repository: what it says, what it keeps, and where the reports show it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from test_backfill import TINY, call, set_params, write_version
from test_repair_command import measure

from corpus.files import write_rows
from corpus.records import HashedRecord
from entropylaw.init.pipeline import render_pipeline
from entropylaw.repository import layout
from entropylaw.repository.results import load_evidence, load_verdict
from monitor.accept import accept_version
from monitor.history import write_entry

pytestmark = [pytest.mark.slow, pytest.mark.long]

Rows = list[HashedRecord]
ROWS = 300
# One that no gate overlooks, and one that any gate should let pass.
KINDS = ("--only", "template tokens", "--only", "shuffled", "--shares", "10")
POWER = "results/power.json"


@pytest.fixture(scope="module")
def team(chats: Rows, base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose first version is measured and accepted."""
    folder = tmp_path_factory.mktemp("power") / "team"
    (folder / "data").mkdir(parents=True)
    for name, text in render_pipeline({"sft": "data/sft.jsonl"}).items():
        (folder / name).write_text(text)
    set_params(folder, TINY)
    write_version(folder / "data/heldout.jsonl", chats[1000:1010])
    write_version(folder / "data/baseline.jsonl", chats[:ROWS])
    write_version(folder / "data/sft.jsonl", chats[:ROWS])
    shutil.copytree(base_folder, folder / "models/base")
    done = call(folder, "calibrate", "data/baseline.jsonl", "--out", "results/calibration.json")
    assert done.exit_code == 0, done.stderr
    assert measure(folder)["status"] == "baseline"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        entry = accept_version(load_verdict(), [load_evidence("sft")], "x1", {}, (), True, "test")
        write_entry(layout.HISTORY, entry)
    return folder


@pytest.fixture
def copy(team: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(team, tmp_path / "team"))


def run(folder: Path, *words: str) -> dict[str, Any]:
    done = call(folder, "power", *words, "--json")
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def answers(found: dict[str, Any]) -> dict[str, str]:
    return {outcome["kind"]: outcome["status"] for outcome in found["outcomes"]}


def test_an_accident_is_stopped_and_a_shuffle_passes_and_no_data_is_touched(copy: Path) -> None:
    before = {path: path.read_bytes() for path in (copy / "data").rglob("*") if path.is_file()}
    found = run(copy, *KINDS, "--workers", "1")
    assert answers(found) == {"template tokens": "risky", "shuffled": "pass"}
    assert (found["version"], found["accepted"]) == ("x1", True)
    assert found["datasets"] == {"sft": {"rows": ROWS, "parent": 240, "fresh": 60}}
    (accident,) = (outcome for outcome in found["outcomes"] if outcome["group"] == "accident")
    assert accident["damaged"] == 24 and accident["named_damaged"] >= 0.85 * accident["named"] > 0
    assert not (copy / POWER).exists()
    assert {path: path.read_bytes() for path in (copy / "data").rglob("*") if path.is_file()} == before


def test_several_processes_find_the_same_and_nothing_is_run_twice(copy: Path, team: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(team, tmp_path / "other"))
    assert run(copy, *KINDS, "--workers", "1") == run(other, *KINDS, "--workers", "2")
    kept = list((copy / ".entropylaw/power").rglob("sft-*.json"))
    assert len(kept) == 2
    # What is kept is believed, so an answer that nobody measured shows where it comes from.
    (accident,) = (file for file in kept if "template" in file.name)
    accident.write_text(
        accident.read_text().replace('"risky",\n', '"pass",\n').replace('"status": "risky"', '"status": "pass"')
    )
    shutil.rmtree(copy / "models")
    shutil.copytree(other / "models", copy / "models")
    assert answers(run(copy, *KINDS))["template tokens"] == "pass"
    # A damaged file is measured again.
    accident.write_text("{")
    assert answers(run(copy, *KINDS))["template tokens"] == "risky"


def test_other_rules_are_another_gate(copy: Path) -> None:
    run(copy, *KINDS, "--workers", "1")
    set_params(copy, {"rules": {"false_alarm_rate": 0.06}})
    run(copy, "--only", "shuffled", "--workers", "1")
    assert len(list((copy / ".entropylaw/power").iterdir())) == 2


def test_the_reports_show_it_as_long_as_it_is_about_this_gate(copy: Path) -> None:
    assert call(copy, "report").exit_code == 0
    without = [(copy / name).read_bytes() for name in ("results/report.html", "results/report.md")]
    found = run(copy, *KINDS, "--workers", "1")
    (copy / POWER).write_text(json.dumps(found))
    assert call(copy, "report").exit_code == 0
    for name in ("results/report.html", "results/report.md"):
        assert "At 10% of the rows this gate stops 1 of 1 kind of accident" in (copy / name).read_text()
    set_params(copy, {"rules": {"false_alarm_rate": 0.06}})
    assert call(copy, "report").exit_code == 0
    assert [(copy / name).read_bytes() for name in ("results/report.html", "results/report.md")] == without


def test_pairs_are_damaged_beside_conversations_that_stay_as_they_are(copy: Path, chats: Rows) -> None:
    pairs = []
    for (one, _), (other, _) in zip(chats[:ROWS], chats[ROWS : 2 * ROWS], strict=True):
        asked, good, bad = one.turns()[0][1], one.turns()[1][1], other.turns()[1][1]
        sides = (("prompt", asked), ("chosen", good), ("rejected", bad))
        pairs.append({name: [{"role": m.role, "content": m.content}] for name, m in sides})
    write_rows(copy / "data/preferences.jsonl", pairs)
    set_params(copy, {"datasets": {"preferences": "data/preferences.jsonl"}})
    where = ("--out", "data/prepared/preferences.jsonl", "--report", "results/preferences/prepare.json")
    done = call(copy, "prepare", "--dataset", "preferences", "--held-out", "data/heldout.jsonl", *where)
    assert done.exit_code == 0, done.stderr
    found = run(copy, "--only", "flipped preferences", "--only", "preferences: shuffled", "--shares", "10")
    assert answers(found) == {"flipped preferences": "risky", "preferences: shuffled": "pass"}
    assert set(found["datasets"]) == {"sft", "preferences"} and not found["accepted"]


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [
        ("data/prepared/sft.jsonl", "dvc repro prepare"),
        ("results/calibration.json", "dvc repro calibration"),
        ("models/base", "dvc repro base_model"),
    ],
)
def test_what_is_not_here_is_said_in_one_line(copy: Path, missing: str, remedy: str) -> None:
    path = copy / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = call(copy, "power")
    assert done.exit_code == 3 and missing in done.stderr and remedy in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not done.stdout


def test_a_version_of_few_rows_is_not_assessed(copy: Path, chats: Rows) -> None:
    write_version(copy / "data/sft.jsonl", chats[:90])
    measure(copy)
    done = call(copy, "power")
    assert (done.exit_code, len(done.stderr.splitlines())) == (3, 1) and "90 rows are too few" in done.stderr
