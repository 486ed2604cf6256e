"""Where a dataset has several files, everything that names a row of it names the file and the row in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sample_results import prepare_report
from sample_verdicts import history, sample_verdict

from corpus.artifacts import to_json, write_json
from corpus.files import NumberedFile
from corpus.shapes import parse_shape
from entropylaw.repository import layout
from entropylaw.repository.places import locate_rows
from monitor.verdict import Verdict
from reports.advice import name_rows
from reports.checks import render_check
from reports.figures import draw_figures
from reports.html import render_html
from reports.markdown import render_markdown_report
from reports.report_data import ReportData, build_report_data

FILES = (NumberedFile("data/sft/a|1.jsonl", 1), NumberedFile("data/sft/b.jsonl", 1610))


@pytest.fixture
def located(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verdict:
    monkeypatch.chdir(tmp_path)
    write_json(layout.result("sft", "prepare.json"), prepare_report(files=FILES))
    return locate_rows(sample_verdict("risky"))


def show(verdict: Verdict) -> ReportData:
    return build_report_data(verdict, history(), (), files={"sft": Path("data/sft")})


def test_each_row_gets_its_file_and_its_number_there(located: Verdict) -> None:
    assert {row.file for row in located.rows} == {file.file for file in FILES}
    for row in located.rows:
        first = 1 if row.file == "data/sft/a|1.jsonl" else 1610
        assert row.file_row == row.row - first + 1 >= 1 and row.name == f"{row.file}:{row.file_row}"
    read_back = parse_shape(json.loads(to_json(located)), Verdict)
    assert [row.name for row in read_back.rows] == [row.name for row in located.rows]


def test_rows_of_a_single_file_keep_their_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    verdict = sample_verdict("risky")
    noted = json.loads(to_json(prepare_report()))
    assert noted["files"] == []
    for document in (noted, {key: value for key, value in noted.items() if key != "files"}):  # since, and before
        write_json(layout.result("sft", "prepare.json"), document)
        assert locate_rows(verdict) == verdict
    assert {row.name for row in verdict.rows} == {str(row.row) for row in verdict.rows}


@pytest.mark.parametrize("format", ["text", "markdown", "junit", "github"])
def test_every_rendering_names_the_places_of_the_first_rows(located: Verdict, format: str) -> None:
    data = show(located)
    rule = next(rule for rule in data.rules if rule.rows)
    shown = render_check(data, format).replace("\\|", "|").replace("%3A", ":").replace("%2F", "/").replace("\\_", "_")
    # For people each file is named once, for machines beside every row.
    places = name_rows(rule.first_rows) if format in ("text", "markdown") else rule.first_rows[0].name
    assert places in " ".join(shown.split())
    assert f"{rule.rows[0].row} of the input file" not in shown


def test_json_has_the_place_beside_the_number(located: Verdict) -> None:
    rows = [row for rule in json.loads(render_check(show(located), "json"))["rules"] for row in rule["rows"]]
    places = {(row["row"], row["file"], row["file_row"]) for row in rows}
    assert places and places <= {(row.row, row.file, row.file_row) for row in located.rows}


def test_gitlab_points_into_the_file(located: Verdict) -> None:
    entries = json.loads(render_check(show(located), "gitlab"))
    of_rows = {(entry["location"]["path"], entry["location"]["lines"]["begin"]) for entry in entries}
    shown = [row for rule in show(located).rules for row in rule.first_rows]
    assert {(row.file, row.file_row) for row in shown} <= of_rows
    with_rows = {f"entropylaw.{rule.id}" for rule in show(located).rules if rule.rows}
    assert "data/sft" not in {e["location"]["path"] for e in entries if e["check_name"] in with_rows}


def test_the_reports_name_the_places(located: Verdict) -> None:
    data = show(located)
    row = next(rule for rule in data.rules if rule.rows).rows[0]
    assert row.name in render_html(data, draw_figures(data)).replace("&#124;", "|")
    assert row.name.replace("|", "\\|") in render_markdown_report(data)
