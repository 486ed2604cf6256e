"""Files that earlier releases wrote: today's code reads them, or says in one line what they lack and what to do.

tests/fixtures/release-0.2.0/README.md says how they were made.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from corpus.artifacts import read_json, read_result, write_json
from corpus.errors import EntropylawError, NotAssessedError, ParamsError
from corpus.files import write_rows
from corpus.formats import read_records
from corpus.params import parse_section, read_params
from corpus.records import content_hash
from entropylaw.cli import app
from entropylaw.demo.chitchat import ChatLog, pair_by_rating, to_conversation
from entropylaw.params_sections import SECTIONS
from entropylaw.release.document import load_release
from entropylaw.repository import results
from entropylaw.repository.datasets import read_datasets
from monitor.assess import explain_no_parent
from monitor.history import anchor_of, list_ends, parent_of, read_history, replace_entry
from monitor.measures.compression import CompressionProfile
from monitor.measures.probe_files import read_probe_rows
from monitor.rules.registry import list_rules, rule_ids
from monitor.verdict_consistency import find_contradiction

RELEASE = Path(__file__).parent / "fixtures" / "release-0.2.0"
DATASETS = ("sft", "preferences")
# The configuration of the versions in its history.
FINGERPRINT = "718fc59757d089e0"
CHANGELOG = (Path(__file__).parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")


def go_to(state: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository as the release left it. What a state lacks is as in x2."""
    shutil.copytree(RELEASE / "x2", folder, dirs_exist_ok=True)
    shutil.copytree(RELEASE / state, folder, dirs_exist_ok=True)
    monkeypatch.chdir(folder)


@pytest.fixture(params=["x2", "x3", "with-law"])
def state(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    go_to(request.param, tmp_path, monkeypatch)
    return str(request.param)


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_to("x3", tmp_path, monkeypatch)


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words))
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.parametrize(
    "read",
    [
        results.load_prepare_report,
        results.load_consistency,
        results.load_selection,
        lambda dataset: read_result(f"results/{dataset}/compression.json", CompressionProfile),
        lambda dataset: read_result(f"results/{dataset}/training.json", dict[str, Any]),
    ],
)
@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.usefixtures("released")
def test_what_was_measured_on_a_dataset_is_read(read: Callable[[str], object], dataset: str) -> None:
    assert read(dataset)


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.usefixtures("released")
def test_a_probe_is_refused_in_one_line_that_says_what_to_run(dataset: str) -> None:
    """It read other rows than today's, and none of them whole."""
    for name, read in (
        ("probe.json", lambda path: results.load_probe_summary(dataset)),
        ("probe_rows.csv", read_probe_rows),
    ):
        path = Path("results", dataset, name)
        with pytest.raises(NotAssessedError) as caught:
            read(path)
        said = str(caught.value)
        assert said.startswith(f"{path}: ") and said.endswith("; run `dvc repro --force probe`"), said
        assert "\n" not in said


@pytest.mark.usefixtures("released")
def test_evaluation_approval_and_release_are_read() -> None:
    assert results.load_evaluation().z["heldout"] == pytest.approx(-5.386, abs=1e-3)
    assert results.load_approval().waivers[0].owner == "ana"
    release = load_release()
    assert release["schema_version"] == 2 and set(release["models"]) == {"sft", "kto"}


def test_a_verdict_with_rules_of_that_time_is_refused_in_one_line_that_says_what_to_run(state: str) -> None:
    with pytest.raises(NotAssessedError) as caught:
        results.load_verdict()
    assert str(caught.value) == (
        "results/verdict.json: 'consistency' is no rule of this version of the tool; run `dvc repro`"
    )


def test_a_verdict_that_lacks_a_rule_of_today_is_read_and_does_not_hold(state: str) -> None:
    """As one that a development version wrote, which had no rules that are gone."""
    document = read_json("results/verdict.json")
    document["rules"] = [rule for rule in document["rules"] if rule["id"] in rule_ids()]
    document["rows"] = [row for row in document["rows"] if row["rule"] in rule_ids()]
    write_json("results/verdict.json", document)
    verdict = results.load_verdict()
    assert verdict.parent is not None and set(verdict.measurements) == set(DATASETS)
    assert "has no answer of " in (find_contradiction(verdict, list_rules()) or "")
    expected = 1 if state == "x3" else 3  # risky stays risky
    shutil.copy(RELEASE / "x2" / "waivers.yaml", "waivers.yaml")
    code, said = run("check")
    assert code in (expected, 3) and ("dvc repro" in said)


def test_a_calibration_is_refused_in_one_line_that_says_what_to_run(state: str) -> None:
    with pytest.raises(NotAssessedError) as caught:
        results.load_calibration()
    assert re.fullmatch(
        r"results/calibration\.json: \S+: (missing|unknown) key(; known are [\w, ]+)?; "
        r"run `dvc repro --force calibration`",
        str(caught.value),
    )


@pytest.mark.parametrize("command", ["check", "check --verify", "gate", "report", "accept", "assess", "waive all"])
def test_no_command_takes_what_was_judged_then_for_a_pass(command: str, state: str) -> None:
    shutil.copy(RELEASE / "x2" / "waivers.yaml", "waivers.yaml")
    more = ("--reason", "r", "--owner", "ana", "--expires", "2036-12-31") if command == "waive all" else ()
    code, said = run(*command.split(), *more)
    assert code == 3 and re.search(r"run `dvc repro( --force calibration)?`", said), said


@pytest.mark.usefixtures("released")
def test_accepted_versions_are_listed() -> None:
    code, said = run("history")
    assert code == 0
    for row in ("1 x1 sft 307", "2 x2 sft 308", "3 x3 sft 326", "baseline, anchor", "risky, waived"):
        assert row in said, said


@pytest.mark.usefixtures("released")
def test_an_accepted_version_is_a_parent_where_it_was_measured_alike() -> None:
    x1, x2, x3 = history = read_history("history")
    assert list_ends(history) == (x3,)
    assert parent_of(history, FINGERPRINT, "") == x2, "x3 was let through by a waiver"
    assert anchor_of(history, FINGERPRINT, "") == x1
    assert parent_of(history, "another", "") is None
    said = explain_no_parent(history, "another")
    assert said.startswith("None of the 3 other versions in the history") and "accept --baseline" in said
    for entry in history:
        for dataset in DATASETS:
            reference = entry.datasets[dataset]
            assert reference.table is None and len(reference.probe_hashes) == len(reference.probe_losses) > 0
            assert reference.sketch.rows == entry.measurements[dataset].rows


@pytest.mark.usefixtures("released")
def test_an_entry_that_is_written_again_says_what_it_said() -> None:
    before = read_history("history")
    files = {path: read_json(path) for path in sorted(Path("history").glob("*.json"))}
    for entry in before:
        replace_entry("history", entry)
    assert read_history("history") == before or [e.id for e in read_history("history")] == [e.id for e in before]
    for path, document in files.items():
        again = read_json(path)
        assert {key: value for key, value in again.items() if key != "measurements"} == {
            key: value for key, value in document.items() if key != "measurements"
        }


def test_rows_keep_the_hashes_that_the_history_knows(chat_logs: list[ChatLog], tmp_path: Path) -> None:
    """The data of x2, made again as it was made then: 12 of its rows were held out."""
    logs = [log for log in chat_logs if 200 < sum(map(len, log.turns)) < 2000]
    data = {"sft": [to_conversation(log) for log in logs[30:350]], "preferences": pair_by_rating(logs[:320], 80)}
    _, x2 = read_history(RELEASE / "x2" / "history")
    for dataset, rows in data.items():
        file = tmp_path / f"{dataset}.jsonl"
        write_rows(file, rows)
        held_out = {item["row"] for item in read_json(RELEASE / f"x2/results/{dataset}/prepare.json")["dropped"]}
        hashes = [content_hash(record) for record in read_records(file) if record.row not in held_out]
        difference = x2.datasets[dataset].sketch.difference(hashes)
        assert (difference.added, difference.removed, difference.kept) == (0, 0, x2.measurements[dataset].rows)


@pytest.fixture
def old_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    go_to("x2", tmp_path, monkeypatch)
    return read_params()


def find_refusals(params: dict[str, Any]) -> list[str]:
    """What is said of params.yaml, one message for each section that is refused."""
    said = []
    for name in params.keys() & SECTIONS.keys():
        try:
            parse_section(SECTIONS[name], params[name], f"params.yaml: {name}")
        except ParamsError as error:
            said.append(str(error))
    return said


def do_what_is_said(params: dict[str, Any], message: str) -> str:
    """Follow a message about a key, which is returned."""
    name, key, cause = re.fullmatch(r"params\.yaml: (\w+)\.(\w+): (.*)", message).groups()  # type: ignore[union-attr]
    section = params[name]
    if renamed := re.fullmatch(r"is now called (\w+); rename it", cause):
        section[renamed[1]] = section.pop(key)
    elif re.fullmatch(r"is no longer used, because .*; delete it", cause):
        del section[key]
    else:
        (line,) = re.fullmatch(rf"missing key; add `(.*)` to the section {name}", cause).groups()  # type: ignore[union-attr]
        section.update(YAML(typ="safe").load(line))
    return f"{name}.{key}"


def test_whoever_does_what_the_messages_say_of_params_yaml_ends_with_one_that_is_read(
    old_params: dict[str, Any],
) -> None:
    named = []
    while refusals := find_refusals(old_params):
        named += [do_what_is_said(old_params, message) for message in refusals]
    assert sorted(named) == [
        "calibration.max_tokens", "launch.command", "launch.stages", "prepare.ignore_keys", "probe.rows",
        "rules.coverage_loss", "rules.odd_rows", "rules.odd_tails",
    ]  # fmt: skip
    assert parse_section(SECTIONS["rules"], old_params["rules"], "") == SECTIONS["rules"]()
    assert parse_section(SECTIONS["probe"], old_params["probe"], "").rows == SECTIONS["probe"]().rows
    upgrade = CHANGELOG[CHANGELOG.index("**To upgrade") :].split("\n### ")[0]
    for key in named:
        assert key in upgrade, f"CHANGELOG.md does not say what to do about {key}"


def test_sections_that_are_new_may_be_missing(old_params: dict[str, Any]) -> None:
    assert SECTIONS.keys() - old_params.keys() == {"contamination", "history", "second_model"}
    assert run("history")[0] == 0


def test_a_dataset_may_be_a_path_alone(old_params: dict[str, Any]) -> None:
    assert {name: dataset.path for name, dataset in read_datasets().items()} == {
        "sft": "data/sft.jsonl",
        "preferences": "data/preferences.jsonl",
    }


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (
            "prepare --dataset sft --out p.jsonl --report r.json",
            "prepare.ignore_keys: missing key; add `ignore_keys: []` to the section prepare",
        ),
        ("probe x.jsonl --base b", "probe.rows: missing key; add `rows: 600` to the section probe"),
        ("calibrate x.jsonl --base b", "missing key; add `"),
    ],
)
def test_a_stage_that_meets_a_params_yaml_of_then_ends_with_2_and_the_line_to_add(
    command: str, key: str, old_params: dict[str, Any]
) -> None:
    write_rows("data/sft.jsonl", [{"prompt": "a", "completion": "b"}])
    write_rows("x.jsonl", [{"prompt": "a", "completion": "b"}])
    code, said = run(*command.split())
    assert code == 2 and key in said, said


@pytest.mark.usefixtures("released")
def test_waivers_of_rules_that_are_gone_are_refused_by_name_and_the_others_are_read() -> None:
    with pytest.raises(ParamsError) as caught:
        results.load_waivers()
    assert str(caught.value) == (
        "waivers.yaml: waivers[3].rule: 'wording' is no longer a rule, so nothing needs this waiver: remove it"
    )
    code, said = run("check")
    assert code in (2, 3) and said
    yaml = YAML()
    document = yaml.load(Path("waivers.yaml"))
    del document["waivers"][3]
    yaml.dump(document, Path("waivers.yaml"))
    assert [waiver.rule for waiver in results.load_waivers()] == ["redundancy", "agreement", "both_rise"]


@pytest.mark.parametrize("rule", ["wording", "form", "consistency"])
@pytest.mark.usefixtures("released")
def test_every_rule_of_then_is_known_or_said_to_be_gone(rule: str) -> None:
    of_then = {rule["id"] for rule in read_json("results/verdict.json")["rules"]}
    assert of_then - set(rule_ids()) == {"wording", "form", "consistency"}
    text = Path("waivers.yaml").read_text(encoding="utf-8").replace("rule: wording", f"rule: {rule}")
    Path("waivers.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(EntropylawError, match=f"'{rule}' is no longer a rule, .*remove it$"):
        results.load_waivers()
