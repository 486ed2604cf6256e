from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hostile import hostile, report_with
from sample_verdicts import STATUSES, data_hash, history, sample_verdict, waiver

from monitor.verdict import Verdict
from reports.gitlab import render_gitlab
from reports.numbers import format_signs
from reports.report_data import ReportData, build_report_data

FILES = {"sft": Path("data/sft.jsonl"), "preferences": Path("data/preferences.parquet")}
# As GitLab documents them, the least grave first.
SEVERITIES = ["info", "minor", "major", "critical", "blocker"]
RISKY_RULES = ("redundancy", "loss", "both_rise")


def read_entries(verdict: Verdict, *waivers: Any, files: dict[str, Path] = FILES) -> list[dict[str, Any]]:
    return json.loads(render_gitlab(build_report_data(verdict, history(), waivers, files=files)))


def split_entries(entries: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Those of rules, and those of rows."""
    rows = [entry for entry in entries if re.search(r": row \d", entry["description"])]
    return [entry for entry in entries if entry not in rows], rows


@pytest.mark.parametrize("status", STATUSES)
def test_every_entry_has_the_keys_that_gitlab_reads(status: str) -> None:
    for entry in read_entries(sample_verdict(status)):
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] in SEVERITIES and re.fullmatch("[0-9a-f]{32}", entry["fingerprint"])
        line = entry["location"]["lines"]["begin"]
        assert type(line) is int and line >= 1 and not entry["location"]["path"].startswith(("/", "./"))


@pytest.mark.parametrize("status", STATUSES)
def test_there_is_one_entry_for_each_alarm_and_for_its_first_five_rows(status: str) -> None:
    verdict = sample_verdict(status)
    alarms = [rule for rule in verdict.rules if rule.status in ("risky", "warn", "not_assessed")]
    behind = Counter(row.rule for row in verdict.rows)
    rules, rows = split_entries(read_entries(verdict))
    assert Counter(entry["check_name"] for entry in rules) == Counter(f"entropylaw.{rule.id}" for rule in alarms)
    assert Counter(entry["check_name"] for entry in rows) == {
        f"entropylaw.{rule}": min(count, 5) for rule, count in behind.items()
    }


@pytest.mark.parametrize(("file", "lines"), [("data/sft.jsonl", True), ("a/B.JSONL", True), ("data/sft.parquet", False),
                                             ("data/sft.json", False), ("data/sft.jsonl.gz", False)])  # fmt: skip
def test_a_row_is_pointed_at_by_its_line_where_the_data_have_lines(file: str, lines: bool) -> None:
    verdict = sample_verdict("warn")
    _, rows = split_entries(read_entries(verdict, files={"sft": Path(file)}))
    assert {entry["location"]["path"] for entry in rows} == {file}
    expected = [row.row if lines else 1 for row in verdict.rows]
    assert [entry["location"]["lines"]["begin"] for entry in rows] == expected
    assert [int(re.search(r": row (\d+)", entry["description"])[1]) for entry in rows] == [
        row.row for row in verdict.rows
    ]


def test_without_a_known_data_file_the_verdict_is_pointed_at() -> None:
    entries = read_entries(sample_verdict("warn"), files={})
    assert {entry["location"]["path"] for entry in entries} == {"results/verdict.json"}


def test_what_closes_the_gate_is_graver_than_a_warning_and_a_rule_than_its_rows() -> None:
    severity = {
        status: SEVERITIES.index(read_entries(sample_verdict(status))[0]["severity"])
        for status in ("risky", "not_assessed", "warn")
    }
    assert severity["risky"] == severity["not_assessed"] > severity["warn"]
    for status in ("risky", "warn"):
        rules, rows = split_entries(read_entries(sample_verdict(status)))
        grades = {entry["check_name"]: SEVERITIES.index(entry["severity"]) for entry in rules}
        assert rows and all(SEVERITIES.index(row["severity"]) < grades[row["check_name"]] for row in rows)


def test_a_waived_rule_and_its_rows_are_mere_information_and_name_who_answers() -> None:
    entries = read_entries(sample_verdict("risky"), *map(waiver, RISKY_RULES))
    waived = [entry for entry in entries if entry["check_name"].removeprefix("entropylaw.") in RISKY_RULES]
    assert len(waived) == 3 * 6 and {entry["severity"] for entry in waived} == {"info"}
    assert sum("Waived by ada@example.org until 2031-03-31." in entry["description"] for entry in waived) == 3


def test_a_verdict_without_a_rule_of_its_status_is_never_an_empty_report() -> None:
    for status in ("not_assessed", "risky", "warn"):
        (entry,) = read_entries(replace(sample_verdict(status), rules=(), rows=()))
        assert entry["check_name"] == f"entropylaw.{status}"
        assert format_signs(sample_verdict(status).summary) in entry["description"]


@pytest.mark.parametrize("status", STATUSES)
def test_fingerprints_are_unique_and_the_same_each_time(status: str) -> None:
    prints = [entry["fingerprint"] for entry in read_entries(sample_verdict(status))]
    assert len(set(prints)) == len(prints)
    assert prints == [entry["fingerprint"] for entry in read_entries(sample_verdict(status))]


def test_a_row_keeps_its_fingerprint_in_a_later_version_and_a_rule_does_not() -> None:
    verdict = sample_verdict("risky")
    later = replace(
        verdict,
        version=replace(verdict.version, data_hash=data_hash(77)),
        rows=tuple(replace(row, row=row.row + 10, score=row.score / 2) for row in verdict.rows),
        rules=tuple(replace(rule, reason=rule.reason + " Again.") for rule in verdict.rules),
    )
    (rules, rows), (later_rules, later_rows) = split_entries(read_entries(verdict)), split_entries(read_entries(later))
    assert [entry["fingerprint"] for entry in rows] == [entry["fingerprint"] for entry in later_rows]
    assert not {entry["fingerprint"] for entry in rules} & {entry["fingerprint"] for entry in later_rules}


def test_exact_copies_of_a_row_are_entries_of_their_own() -> None:
    verdict = sample_verdict("warn")
    copies = replace(verdict, rows=tuple(replace(row, hash=verdict.rows[0].hash) for row in verdict.rows))
    entries = read_entries(copies)
    assert len({entry["fingerprint"] for entry in entries}) == len(entries) == 4 + len(verdict.rows)


@hostile
def test_gitlab_shows_hostile_data_inert(data: ReportData) -> None:
    text = render_gitlab(data)
    assert text.isascii() and "##" not in text
    assert not any(line.strip().startswith("::") for line in text.splitlines())
    entries = json.loads(text)
    assert len(entries) == len(json.loads(render_gitlab(report_with("plain"))))
    assert len({entry["fingerprint"] for entry in entries}) == len(entries)
    for entry in entries:
        # Neither a tag nor an end of one, nor a style mark of GitLab's widgets.
        assert entry["description"].isprintable() and not re.search(r"<\S|%\{|::|##", entry["description"])
