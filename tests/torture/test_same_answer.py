"""The same data gives the same bytes: over processes, threads, hash seeds, locales, time zones, folders and Pythons."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from settings_of_runs import ROOT, Setting, differing, list_commands, run_again, run_commands
from stranger import TINY, garble
from typer.testing import CliRunner

from corpus.artifacts import write_json
from corpus.files import write_rows
from corpus.prepare import read_prepared
from entropylaw.cli import app
from entropylaw.demo.chitchat import ChatLog, pair_by_rating, to_conversation
from monitor.calibration.benign_updates import BenignUpdate
from monitor.calibration.calibrate import Calibration
from monitor.calibration.params import CalibrationParams
from monitor.measures.probe_files import summarise_probe, write_probe_rows
from training.probe_run import ProbedRow, ProbeResult

pytestmark = pytest.mark.slow

# All of R, C, selection, verdict and report; without the stages that load torch, whose results are there already.
CHEAP = ("prepare", "compression", "consistency", "assess", "report", "gate", "select")
STAGES = ("base_model", "probe", "calibration", *CHEAP)
HELD_OUT = ("--held-out", "data/heldout.jsonl", "--tokenizer", "models/base")
PREPARED = ("--out", "data/prepared/sft.jsonl", "--report", "results/sft/prepare.json")
SHOWN = [["history"], ["history", "--json"], ["lint", "data/sft.jsonl", "--format", "json"]]
# As many differences at once as two runs can have: the share of `make test`.
ALL_ELSE = {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "2", "TZ": "Pacific/Kiritimati", "LC_ALL": "C"}
SETTINGS = {
    "a second run": Setting(),
    "hash seed 0": Setting({"PYTHONHASHSEED": "0"}),
    "hash seed 1": Setting({"PYTHONHASHSEED": "1"}),
    "two threads": Setting({"OMP_NUM_THREADS": "2"}),
    "four threads": Setting({"OMP_NUM_THREADS": "4"}),
    "tokenizers in threads": Setting({"TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": "4"}),
    "locale C": Setting({"LC_ALL": "C"}),
    "ASCII": Setting({"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}),
    "the day ahead": Setting({"TZ": "Pacific/Kiritimati"}),
    "folders listed backwards": Setting(backwards=True),
    "another folder": Setting(place="deeper/and deeper/Ablage ö & mehr"),
}
# Interpreters with this tool installed, a colon between them; see CONTRIBUTING.md.
PYTHONS = "ENTROPYLAW_PYTHONS"


def accept(folder: Path) -> None:
    """Accept the version that was assessed, without Git and DVC."""
    from entropylaw.history import load_evidence_of
    from entropylaw.repository.results import load_verdict
    from monitor.accept import accept_version
    from monitor.history import write_entry

    with chdir(folder):
        verdict = load_verdict()
        evidence = load_evidence_of(verdict)
        write_entry("history", accept_version(verdict, evidence, "x1", {}, [], False, "0", False, None))


def make_up_probe(folder: Path) -> None:
    """A probe's results without a model: each row's loss is what its hash says."""
    rows = [
        ProbedRow(item.record.row, item.hash, item.record.source, None, 9, 9, 5 + int(item.hash[:4], 16) / 2**17)
        for item in read_prepared(folder / "data" / "prepared" / "sft.jsonl")
    ]
    result = ProbeResult(sum(row.loss_nats for row in rows) / len(rows), 1, 9 * len(rows), (5.2,), tuple(rows))
    write_json(folder / "results" / "sft" / "probe.json", summarise_probe(result, "base"))
    write_probe_rows(folder / "results" / "sft" / "probe_rows.csv", rows)


def write_pipeline(folder: Path) -> None:
    """dvc.yaml, params.yaml and waivers.yaml as they are shipped, with models and calibration as small as can be."""
    for name in ("dvc.yaml", "params.yaml", "waivers.yaml"):
        shutil.copy(ROOT / name, folder / name)
    yaml = YAML()
    params = yaml.load((folder / "params.yaml").read_text("utf-8"))
    for section, changes in TINY.items():
        params[section].update(changes)
    params["base_model"]["steps"] = 20
    params["probe"]["rows"] = 60
    params["calibration"].update(law_runs=True, heldout_rows=16, law_learning_rate=0.01)
    with (folder / "params.yaml").open("w", encoding="utf-8") as handle:
        yaml.dump(params, handle)


@pytest.fixture(scope="module")
def light_start(chat_logs: list[ChatLog], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an accepted version and a damaged next one of conversations, both with made-up losses."""
    folder = tmp_path_factory.mktemp("light")
    (folder / "history").mkdir()
    rows = [to_conversation(log) for log in chat_logs if 200 < sum(map(len, log.turns)) < 900][:110]
    write_rows(folder / "data" / "sft.jsonl", rows[:90])
    write_pipeline(folder)
    yaml = YAML()
    params = yaml.load((folder / "params.yaml").read_text("utf-8"))
    del params["datasets"]["preferences"]
    with (folder / "params.yaml").open("w", encoding="utf-8") as handle:
        yaml.dump(params, handle)
    updates = (BenignUpdate(0.1, "random", 1e-3, 1e-3, 1e-3, 1e-3),) * 12
    write_json(
        folder / "results" / "calibration.json", Calibration(90, (5.0, 5.01), updates, (), "base", CalibrationParams())
    )
    runner = CliRunner()
    with chdir(folder):
        for stage in ("prepare", "compression", "consistency", "assess"):
            if stage == "assess":
                make_up_probe(folder)
            (command,) = list_commands(folder, [stage])
            done = runner.invoke(app, [word for word in command if word not in HELD_OUT])
            assert done.exit_code == 0, done.output
    accept(folder)
    write_rows(folder / "data" / "sft.jsonl", [*rows[5:80], *map(garble, rows[80:90]), *rows[90:110], rows[100]])
    with chdir(folder):
        assert runner.invoke(app, ["prepare", "--dataset", "sft", *PREPARED]).exit_code == 0
    make_up_probe(folder)
    return folder


@pytest.fixture(scope="module")
def start(chat_logs: list[ChatLog], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an accepted version, base model and calibration, and a damaged next version that was probed."""
    folder = tmp_path_factory.mktemp("start")
    (folder / "history").mkdir()
    logs = [log for log in chat_logs if 200 < sum(map(len, log.turns)) < 1200]
    rows = [to_conversation(log) for log in logs]
    for name, first in (("sft", rows[:180]), ("baseline", rows[:180]), ("heldout", rows[-30:])):
        write_rows(folder / "data" / f"{name}.jsonl", first)
    write_rows(folder / "data" / "preferences.jsonl", pair_by_rating(logs[:180], 50))
    write_pipeline(folder)
    stages = ("prepare", "compression", "consistency", "base_model", "probe", "calibration", "assess")
    run_commands(folder, list_commands(folder, stages))
    accept(folder)
    write_rows(folder / "data" / "sft.jsonl", [*rows[15:170], *map(garble, rows[170:180]), *rows[180:200], rows[180]])
    run_commands(folder, list_commands(folder, ("prepare", "probe")))
    return folder


def test_every_setting_gives_the_same_bytes_without_a_model(
    light_start: Path, tmp_path: Path, tally: Callable[..., None]
) -> None:
    # Neither held-out rows nor a tokenizer are here.
    commands = [[word for word in words if word not in HELD_OUT] for words in list_commands(light_start, CHEAP)]
    here = run_again(light_start, tmp_path, commands, Setting({"PYTHONHASHSEED": "0"}, place="here"))
    there = run_again(light_start, tmp_path, commands, Setting(ALL_ELSE, place="there/ö & co", backwards=True))
    assert differing(here[1], there[1]) == [] and here[0] == there[0]
    # A verdict that names rows, so that there is an order of rows to differ in.
    assert b'"row": ' in here[1]["results/verdict.json"]
    assert {"results/report.html", "data/selected/sft.jsonl", "results/sft/selection.json"} <= here[1].keys()
    tally("determinism settings", 2)


def test_what_is_kept_of_the_rows_changes_no_result(
    light_start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corpus.stored_rows.MIN_KEPT_BYTES", 0)
    kept = tmp_path / "kept" / "rows"
    (folder := tmp_path / "work").mkdir()
    shutil.copytree(light_start, folder, dirs_exist_ok=True)

    def swap_contents() -> None:
        one, other = sorted(kept.iterdir())[:2]
        content = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(content)

    def damage() -> None:
        for file in kept.iterdir():
            content = bytearray(file.read_bytes())
            content[-9] ^= 1
            file.write_bytes(content)

    def run(place: str) -> dict[str, bytes]:
        monkeypatch.setenv("ENTROPYLAW_CACHE", place)
        with chdir(folder):
            for words in list_commands(folder, ("compression", "consistency", "assess", "report")):
                done = CliRunner().invoke(app, words)
                assert done.exit_code == 0, done.output
        return {str(file): file.read_bytes() for file in sorted((folder / "results").rglob("*")) if file.is_file()}

    reference = run("")
    assert b'"row": ' in reference[str(folder / "results" / "verdict.json")] and not kept.exists()
    for prepare in (lambda: None, lambda: None, damage, swap_contents, lambda: shutil.rmtree(kept)):
        prepare()
        assert run(str(kept.parent)) == reference
        assert len(list(kept.iterdir())) == 2


@pytest.mark.torture
@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_gives_the_same_bytes_from_base_model_to_report(
    start: Path, reference: Run, tmp_path: Path, name: str, tally: Callable[..., None]
) -> None:
    printed, files = run_again(start, tmp_path, [*list_commands(start, STAGES), *SHOWN], SETTINGS[name])
    assert differing(reference[1], files) == [] and printed == reference[0]
    tally("determinism settings")


@pytest.mark.torture
@pytest.mark.parametrize("language", ["de_DE", "tr_TR"])
def test_a_language_gives_the_same_bytes(
    start: Path, reference: Run, tmp_path: Path, language: str, tally: Callable[..., None]
) -> None:
    made = tmp_path / "locales"
    made.mkdir()
    if shutil.which("localedef") is None or not Path("/usr/share/i18n/locales", language).exists():
        pytest.skip(f"no {language} to be had here; it comes with the package `locales`")
    subprocess.run(["localedef", "-f", "UTF-8", "-i", language, str(made / f"{language}.UTF-8")], check=True)
    setting = Setting({"LC_ALL": f"{language}.UTF-8", "LOCPATH": str(made)})
    printed, files = run_again(start, tmp_path, [*list_commands(start, STAGES), *SHOWN], setting)
    assert differing(reference[1], files) == [] and printed == reference[0]
    tally("determinism settings")


@pytest.mark.torture
@pytest.mark.skipif(PYTHONS not in os.environ, reason=f"{PYTHONS} names no other interpreter")
@pytest.mark.parametrize("python", os.environ.get(PYTHONS, "").split(os.pathsep))
def test_another_python_gives_the_same_bytes(
    start: Path, tmp_path: Path, python: str, tally: Callable[..., None]
) -> None:
    commands = [*list_commands(start, CHEAP), *SHOWN]
    here = run_again(start, tmp_path, commands, Setting(place="here"))
    there = run_again(start, tmp_path, commands, Setting(place="there", python=python))
    assert differing(here[1], there[1]) == [] and here[0] == there[0]
    tally("determinism settings")


Run = tuple[list[list[object]], dict[str, bytes]]


@pytest.fixture(scope="module")
def reference(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What every setting has to give."""
    place = tmp_path_factory.mktemp("reference")
    return run_again(start, place, [*list_commands(start, STAGES), *SHOWN], Setting())
