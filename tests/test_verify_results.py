"""What ties results to data, in a small repository that DVC itself has run."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from sample_verdicts import history, sample_verdict
from typer.testing import CliRunner

from corpus.artifacts import write_json
from corpus.errors import NotAssessedError
from entropylaw.cli import app
from entropylaw.repository.lockfile import hash_as_dvc
from entropylaw.repository.verify_results import verify_results
from monitor.history import write_entry

VERDICT = Path("results/verdict.json")
# Stages as in the real pipeline, each of which copies what it would compute.
PIPELINE = """\
stages:
  prepare:
    foreach: ${datasets}
    do:
      cmd: mkdir -p data/prepared results/${key} && cp ${item} data/prepared/${key}.jsonl
        && wc -l < ${item} > results/${key}/prepare.json
      deps: ["${item}"]
      params: [prepare]
      outs:
        - data/prepared/${key}.jsonl
        - results/${key}/prepare.json: {cache: false}
  assess:
    cmd: cp made/verdict.json results/verdict.json
    deps: [data/prepared/sft.jsonl, results/sft/prepare.json, history]
    params: [datasets, rules.false_alarm_rate]
    outs:
      - results/verdict.json: {cache: false}
  report:
    cmd: mkdir -p results/plots/more && cp made/verdict.json results/plots/a.svg
      && cp waivers.yaml results/plots/more/é.svg && echo done > results/report.md
    deps: [results/verdict.json, history, waivers.yaml]
    outs:
      - results/plots
      - results/report.md: {cache: false}
  gate:
    cmd: echo approved > results/approval.json
    deps: [results/verdict.json, results/report.md, waivers.yaml]
    outs:
      - results/approval.json: {cache: false}
  select:
    cmd: echo selected > results/sft/selection.json
    deps: [data/prepared/sft.jsonl, results/approval.json]
    params: [selection]
    metrics:
      - results/sft/selection.json: {cache: false}
"""
PARAMS = """\
datasets: {sft: data/sft.jsonl}
prepare: {format: auto, max_dropped_share: 0.05}
rules: {false_alarm_rate: 0.05, outlier_quantiles: [0.998, 9e-1]}
selection: {method: zip}
"""
# The data change once after `dvc add`, as they do from version to version: `dvc repro` is enough then. In one process,
# because DVC takes its time to start.
RUN = """\
from dvc.cli import main
assert main(["add", "--quiet", "data/sft.jsonl"]) == 0
with open("data/sft.jsonl", "a") as data:
    data.write('{"prompt": "c", "completion": "d"}\\n' * 40)
assert main(["repro", "--quiet"]) == 0
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that a run of the pipeline leaves behind, data included."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "data").mkdir()
    (folder / "data" / "sft.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("[core]\n    no_scm = True\n    analytics = False\n")
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "params.yaml").write_text(PARAMS)
    (folder / "waivers.yaml").write_text("waivers: []\n")
    for entry in history():
        write_entry(folder / "history", entry)
    (folder / "history" / "README.md").write_text("Accepted versions.\n")
    write_json(folder / "made" / "verdict.json", sample_verdict("risky"))
    subprocess.run([sys.executable, "-c", RUN], cwd=folder, check=True, capture_output=True, text=True)
    return folder


@pytest.fixture
def clone(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Git would have of it: no data, nothing from DVC's cache."""
    folder = tmp_path / "clone"
    shutil.copytree(repository, folder, ignore=shutil.ignore_patterns(".dvc", "sft.jsonl", "plots", "made"))
    monkeypatch.chdir(folder)
    return folder


def verify() -> None:
    verify_results(VERDICT, sample_verdict("risky").version.data_hash)


@pytest.mark.slow
def test_the_hashes_are_those_that_dvc_records_of_files_and_folders(repository, monkeypatch) -> None:
    monkeypatch.chdir(repository)
    stages = YAML(typ="safe").load(Path("dvc.lock"))["stages"]
    recorded = {part["path"]: part["md5"] for stage in stages.values() for part in [*stage["deps"], *stage["outs"]]}
    assert {"history", "results/plots", "data/sft.jsonl", "results/verdict.json"} <= set(recorded)
    assert {path: hash_as_dvc(Path(path)) for path in recorded} == recorded


@pytest.mark.slow
def test_one_run_verifies_with_its_data_and_without(repository, clone, monkeypatch) -> None:
    verify()
    monkeypatch.chdir(repository)
    verify()


def test_data_that_git_keeps_need_no_record_of_dvcs(repository, clone) -> None:
    Path("data/sft.jsonl.dvc").unlink()
    shutil.copy(repository / "data" / "sft.jsonl", "data")
    verify()


def append(path: str) -> Callable[[], None]:
    return lambda: Path(path).write_text((Path(path).read_text() if Path(path).exists() else "") + "\n")


def write(path: str, text: str) -> Callable[[], None]:
    return lambda: Path(path).write_text(text)


def edit_lock(stage: str, kind: str, path: str) -> None:
    """Have dvc.lock record other content of one file of one stage."""
    yaml = YAML()
    document = yaml.load(Path("dvc.lock"))
    (entry,) = [entry for entry in document["stages"][stage][kind] if entry["path"] == path]
    entry["md5"] = "0" * 32
    yaml.dump(document, Path("dvc.lock"))


CHANGES = {
    "the verdict was written by hand": (append("results/verdict.json"), "results/verdict.json"),
    "a measurement was written by hand": (append("results/sft/prepare.json"), "results/sft/prepare.json"),
    "the report was written by hand": (append("results/report.md"), "results/report.md"),
    "the approval was written by hand": (append("results/approval.json"), "results/approval.json"),
    "a result below the gate was written by hand": (append("results/sft/selection.json"), "results/sft/selection.json"),
    "other data are here": (write("data/sft.jsonl", "{}\n"), "data/sft.jsonl"),
    "other data are committed": (
        write("data/sft.jsonl.dvc", f"outs:\n- md5: {'a' * 32}\n  hash: md5\n  path: sft.jsonl\n"),
        "data/sft.jsonl was changed after it was measured",
    ),
    "the record of the data is damaged": (write("data/sft.jsonl.dvc", "outs:\n- sft.jsonl\n"), "data/sft.jsonl.dvc"),
    "the record of the data has a merge conflict": (
        write("data/sft.jsonl.dvc", "outs:\n<<<<<<< HEAD\n- path: sft.jsonl\n"), "data/sft.jsonl.dvc, line "),
    "the data are not tracked": (lambda: Path("data/sft.jsonl.dvc").unlink(), "data/sft.jsonl"),
    "a parameter was changed": (write("params.yaml", PARAMS.replace("alarm_rate: 0.05", "alarm_rate: 0.5")),
                                "params.yaml: rules.false_alarm_rate"),
    "a parameter was taken out": (write("params.yaml", PARAMS.replace("false_alarm_rate: 0.05, ", "")),
                                  "params.yaml: rules.false_alarm_rate"),
    "a section was changed": (write("params.yaml", PARAMS.replace("auto", "alpaca")), "params.yaml: prepare"),
    "a version was accepted on another branch": (
        lambda: write_entry("history", replace(history()[0], name="x9", data_hash="9" * 32)), "history"),
    "an accepted version was taken out": (lambda: next(Path("history").glob("x4-*")).unlink(), "history"),
    "the history is gone": (lambda: shutil.rmtree("history"), "history"),
    "a waiver came after the approval": (append("waivers.yaml"), "waivers.yaml"),
    "dvc.lock is of two runs": (lambda: edit_lock("prepare@sft", "outs", "data/prepared/sft.jsonl"),
                                "data/prepared/sft.jsonl"),
    "dvc.lock is of other data": (lambda: edit_lock("prepare@sft", "deps", "data/sft.jsonl"), "data/sft.jsonl"),
    "dvc.lock is of another verdict": (lambda: edit_lock("assess", "outs", "results/verdict.json"),
                                       "results/verdict.json"),
    "dvc.lock is missing": (lambda: Path("dvc.lock").unlink(), "dvc.lock"),
    "dvc.lock has a merge conflict": (write("dvc.lock", "<<<<<<< HEAD\nstages: {}\n=======\n"), "dvc.lock, line "),
    "dvc.lock is a list": (write("dvc.lock", "[]\n"), "dvc.lock"),
    "dvc.lock has no stages": (write("dvc.lock", "schema: '2.0'\n"), "dvc.lock"),
    "dvc.lock has no hashes": (write("dvc.lock", "stages: {assess: {outs: [{path: a}]}}\n"), "dvc.lock"),
    "dvc.lock knows no verdict": (write("dvc.lock", "stages: {}\n"), "results/verdict.json"),
    "the pipeline is missing": (lambda: Path("dvc.yaml").unlink(), "dvc.yaml"),
    "the stage is no longer in the pipeline": (write("dvc.yaml", PIPELINE.replace("  assess:", "  judge:")),
                                               "results/verdict.json"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "named"), CHANGES.values(), ids=CHANGES)
def test_what_does_not_belong_together_is_named_in_one_line_with_what_to_do(clone, change, named) -> None:
    change()
    with pytest.raises(NotAssessedError) as error:
        verify()
    message = str(error.value)
    assert message.startswith(named) and "run `dvc" in message and "\n" not in message
    assert error.value.exit_code == 3


def test_the_versions_own_entry_in_the_history_changes_nothing(clone) -> None:
    verdict = sample_verdict("risky")
    write_entry("history", replace(history()[0], name="x5", data_hash=verdict.version.data_hash))
    verify()
    write_entry("history", replace(history()[0], name="x6", data_hash="6" * 32))
    with pytest.raises(NotAssessedError, match="history"):
        verify()


def test_behind_a_closed_gate_results_may_be_of_an_earlier_version(clone) -> None:
    # DVC removed the approval and ran nothing after it; a waiver is being written.
    Path("results/approval.json").unlink()
    append("waivers.yaml")()
    edit_lock("gate", "deps", "results/verdict.json")
    edit_lock("select", "deps", "data/prepared/sft.jsonl")
    write("params.yaml", PARAMS.replace("zip", "random"))()
    verify()
    edit_lock("assess", "deps", "data/prepared/sft.jsonl")
    with pytest.raises(NotAssessedError, match="stage assess read other content than stage prepare@sft wrote"):
        verify()


def test_a_stage_that_the_pipeline_no_longer_has_says_nothing(clone) -> None:
    yaml = YAML()
    document = yaml.load(Path("dvc.lock"))
    document["stages"]["judge"] = {"cmd": "old", "outs": [{"path": "results/verdict.json", "md5": "1" * 32}]}
    yaml.dump(document, Path("dvc.lock"))
    verify()


def test_a_verdict_that_dvc_did_not_make_is_not_verified(clone) -> None:
    shutil.copy(VERDICT, "results/other.json")
    with pytest.raises(NotAssessedError, match=r"results/other\.json: dvc\.lock does not record it"):
        verify_results(Path("results/other.json"), "5" * 32)
    verify_results(Path.cwd() / VERDICT, sample_verdict("risky").version.data_hash)


def test_the_command_shows_the_verdict_only_where_it_is_of_what_is_here(clone) -> None:
    Path("results/approval.json").unlink()  # of a risky version there is none
    check = ["check", "--format", "json"]
    plain, verified = (CliRunner().invoke(app, [*check, *more]) for more in ([], ["--verify"]))
    assert plain.exit_code == 1 and json.loads(plain.stdout)["status"] == "risky"
    # To judge the version again, its rows are needed.
    assert verified.exit_code == 3 and "dvc pull" in json.loads(verified.stdout)["summary"]
    append("results/report.md")()
    assert CliRunner().invoke(app, check).exit_code == 1
    refused = CliRunner().invoke(app, [*check, "--verify"])
    assert refused.exit_code == 3
    shown = json.loads(refused.stdout)
    assert (shown["status"], shown["blocked"], shown["rules"]) == ("not_assessed", True, [])
    assert shown["summary"].startswith("results/report.md: ")
