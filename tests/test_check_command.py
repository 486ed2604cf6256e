"""The command `check` in every format, and what it exits with."""

import datetime
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import pytest
from click.testing import Result
from sample_verdicts import STATUSES, history, sample_verdict, waiver, written_verdict
from typer.testing import CliRunner

from corpus.artifacts import to_json, write_json
from entropylaw import verdict
from entropylaw.cli import app
from monitor.history import write_entry
from monitor.waivers import add_waiver
from reports.checks import CheckFormat

FORMATS = get_args(CheckFormat)
RISKY_RULES = ("redundancy", "loss", "both_rise")
# Without and with --strict.
EXIT_CODES = {"baseline": (0, 0), "pass": (0, 0), "warn": (0, 1), "risky": (1, 1), "not_assessed": (3, 3)}


@pytest.fixture
def run(in_tmp_path: Path) -> Callable[..., Result]:
    for entry in history():
        write_entry("history", entry)

    def run_check(status: str, *options: str) -> Result:
        write_json("results/verdict.json", written_verdict(status))
        return CliRunner().invoke(app, ["check", *options])

    return run_check


def test_the_command_offers_every_format_that_there_is() -> None:
    assert [member.value for member in verdict.CheckFormat] == list(FORMATS)


@pytest.mark.parametrize("status", STATUSES)
def test_the_exit_code_is_the_status_in_every_format_with_and_without_strict(run, status) -> None:
    for format in FORMATS:
        for strict, code in zip(((), ("--strict",)), EXIT_CODES[status], strict=True):
            result = run(status, "--format", format, *strict)
            assert result.exit_code == code, (format, strict)
            assert result.stdout.endswith("\n") and not result.stderr
        if format in ("json", "gitlab", "slack"):
            json.loads(result.stdout)
        if format == "junit":
            ElementTree.fromstring(result.stdout)


@pytest.mark.parametrize("format", FORMATS)
def test_a_waiver_of_every_risky_rule_is_exit_code_0_in_every_format(run, format) -> None:
    for rule in RISKY_RULES:
        add_waiver("waivers.yaml", waiver(rule, expires="2999-12-31"), RISKY_RULES)
    assert run("risky", "--format", format).exit_code == 0
    # The agreement of the sample has a warning, which these do not cover.
    assert run("risky", "--format", format, "--strict").exit_code == 1
    assert run("not_assessed", "--format", format).exit_code == 3


def test_a_warning_that_strict_stops_is_let_through_by_what_the_check_says_to_type(run) -> None:
    def waive(rule: str) -> Result:
        words = ["waive", rule, "--reason", "meant", "--owner", "ana", "--expires", "2999-12-31"]
        return CliRunner().invoke(app, words)

    assert "the gate lets a warning through" in run("warn").stdout
    said = run("warn", "--strict").stdout
    assert "the gate lets a warning through" not in said and "entropylaw waive all" in said
    assert waive("style").exit_code == 2 and waive("novelty").exit_code == 0
    said = run("warn", "--strict").stdout
    assert "entropylaw waive novelty" not in said and "entropylaw waive edits" in said
    assert waive("all").exit_code == 0
    assert run("warn", "--strict").exit_code == 0


@pytest.mark.parametrize(
    ("day", "told"),
    [
        ("2001-01-31", "waiver.expires: 2001-01-31 is past, so the waiver would never hold"),
        ("soon", "waiver.expires: expected a day as YYYY-MM-DD, found 'soon'"),
        ("2999-02-30", "waiver.expires: expected a day as YYYY-MM-DD, found '2999-02-30'"),
    ],
)
def test_a_waiver_that_could_never_hold_is_refused_at_once(run, day, told) -> None:
    assert run("risky").exit_code == 1
    words = ["waive", "all", "--reason", "meant", "--owner", "ana", "--expires"]
    refused = CliRunner().invoke(app, [*words, day])
    assert refused.exit_code == 2 and refused.stderr.startswith(f"entropylaw: {told}")
    assert not Path("waivers.yaml").exists()
    assert CliRunner().invoke(app, [*words, datetime.date.today().isoformat()]).exit_code == 0


def test_an_accepted_version_is_not_to_be_recorded_again(run) -> None:
    for status in ("baseline", "pass", "warn"):
        known = status == "baseline"  # of the sample it is x1, which the history has
        assert ("       entropylaw accept\n" in run(status).stdout) is not known
        verdict = sample_verdict(status)
        version = replace(verdict.version, data_hash=f"{status[0].encode().hex()}" * 16)
        write_json("results/verdict.json", replace(verdict, version=version))
        write_entry("history", replace(history()[0], number=0, name=f"the-{status}", data_hash=version.data_hash))
        shown = CliRunner().invoke(app, ["check"])
        assert shown.exit_code == 0 and "       entropylaw accept\n" not in shown.stdout
        assert f"the-{status}" in shown.stdout and "recorded in history/" in " ".join(shown.stdout.split())


def test_what_is_left_to_waive_under_strict_once_every_risky_rule_is_waived(run) -> None:
    for rule in RISKY_RULES:
        add_waiver("waivers.yaml", waiver(rule, expires="2999-12-31"), RISKY_RULES)
    said = run("risky", "--strict").stdout
    assert "entropylaw waive agreement" in said and "entropylaw waive loss" not in said


def test_gitlab_is_pointed_at_the_data_files_of_params_yaml(run) -> None:
    Path("params.yaml").write_text("datasets:\n  sft: chats/all.jsonl\n")
    entries = json.loads(run("warn", "--format", "gitlab").stdout)
    assert {entry["location"]["path"] for entry in entries} == {"chats/all.jsonl"}
    assert [entry["location"]["lines"]["begin"] for entry in entries] == [1] * 4 + [1604, 1611, 1618]


def test_other_formats_do_not_read_params_yaml(run) -> None:
    Path("params.yaml").write_text("datasets: [\n")
    assert [run("pass", "--format", format).exit_code for format in FORMATS] == [0, 0, 0, 0, 0, 2, 0]


def test_outside_a_pipeline_only_verify_asks_for_dvcs_record(run) -> None:
    assert run("pass").exit_code == 0
    result = run("pass", "--verify")
    assert result.exit_code == 3 and result.stdout.startswith("? NOT ASSESSED: ")
    assert "dvc.yaml: no such file; run `dvc repro`" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        ({"law": {}}, "law.holds: missing key; run `dvc repro --force assess`"),
        (
            {"law": {"holds": None, "sentence": "Too few points.", "n_points": 2}},
            "law.points: missing key; run `dvc repro --force assess`",
        ),
        (
            {"rules": [{"id": "consistency", "dataset": "sft", "status": "pass", "reason": "As before."}]},
            "'consistency' is no rule of this version of the tool; run `dvc repro`",
        ),
        ({"version": None}, "version: expected object, found null; run `dvc repro --force assess`"),
    ],
)
def test_a_verdict_of_another_version_of_the_tool_is_not_assessed_and_names_its_file(run, damage, cause) -> None:
    document = json.loads(to_json(sample_verdict("pass")))
    write_json("results/verdict.json", {**document, **damage})
    shown = CliRunner().invoke(app, ["check"])
    assert shown.exit_code == 3
    assert shown.stderr == f"entropylaw: results/verdict.json: {cause}\n"
