from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import pytest
from golden_files import assert_golden
from hostile import hostile, read_tags, report_with
from markdown_it import MarkdownIt
from sample_verdicts import STATUSES, history, sample_verdict, waiver

from monitor.verdict import RuleResult
from reports.annotations import ANNOTATIONS_PER_LEVEL
from reports.checks import CheckFormat, render_check
from reports.escaping import escape_log
from reports.markdown import COMMENT_MARKER, render_markdown_check, render_markdown_report
from reports.report_data import ReportData, build_report_data
from reports.text import WIDTH

FORMATS = get_args(CheckFormat)
SUFFIXES = {
    "text": "txt",
    "markdown": "md",
    "json": "json",
    "junit": "xml",
    "github": "github",
    "gitlab": "gitlab.json",
    "slack": "slack.json",
}
RISKY_RULES = ("redundancy", "loss", "both_rise")


def build(status: str, *waivers) -> ReportData:
    past = history() if status != "baseline" else []
    return build_report_data(sample_verdict(status), past, waivers, files={"sft": Path("data/sft.jsonl")})


def to_html(markdown: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown)


BENIGN_CHECK, BENIGN_REPORT = (
    read_tags(to_html(render(report_with("plain")))) for render in (render_markdown_check, render_markdown_report)
)
BENIGN_JUNIT = render_check(report_with("plain"), "junit")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("status", STATUSES)
def test_renderings_are_the_reviewed_ones(status: str, format: CheckFormat) -> None:
    assert_golden(f"check-{status}.{SUFFIXES[format]}", render_check(build(status), format))


def test_the_report_in_markdown_is_the_reviewed_one() -> None:
    assert_golden("report-risky.md", render_markdown_report(build("risky", waiver("redundancy"))))


def test_the_report_with_texts_in_markdown_is_the_reviewed_one() -> None:
    verdict = sample_verdict("warn")
    answers = ("Try turning it off.", "I do not know. " * 30, "Paris | **France**, see #12")
    texts = {
        row.hash: f"user: How do I reset it?\nassistant: {answer}\n\n"
        for row, answer in zip(verdict.rows, answers, strict=True)
    }
    data = build_report_data(verdict, history(), [], texts=texts)
    assert_golden("report-warn-with-texts.md", render_markdown_report(data))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("status", STATUSES)
def test_every_format_names_the_status_and_ends_its_last_line(status: str, format: CheckFormat) -> None:
    data = build(status)
    text = render_check(data, format)
    assert text.endswith("\n") and not text.endswith("\n\n")
    named = {"text": data.words.word.upper(), "json": f'"status": "{status}"', "junit": "testcase"}
    if status in ("baseline", "pass"):
        # To GitLab, an empty list is what says that nothing is wrong.
        named["gitlab"] = "[]"
    assert named.get(format, data.words.word) in text


def test_slack_takes_the_message_whatever_names_and_reasons_hold() -> None:
    """The bounds of Block Kit: 50 blocks, 150 characters in a header and 3,000 in a section; no mention, no link."""
    verdict = sample_verdict("risky")
    hostile = "<!channel> <https://evil.example|here> *loud* " + "long " * 2000
    rules = tuple(replace(rule, reason=hostile) for rule in verdict.rules) * 4
    named = replace(verdict, rules=rules, summary=hostile, version=replace(verdict.version, name="n" * 400))
    message = json.loads(render_check(build_report_data(named, history(), []), "slack"))
    assert 0 < len(message["blocks"]) <= 50 and message["text"]
    for block in message["blocks"]:
        text = block["text"]["text"]
        assert 0 < len(text) <= (150 if block["type"] == "header" else 3000)
        assert "<" not in text and ">" not in text
        if block["type"] == "section":
            assert "*loud*" not in text


@pytest.mark.parametrize("format", ["text", "markdown", "github"])
def test_the_risky_verdict_names_each_measurement_and_the_first_rows(format: CheckFormat) -> None:
    text = render_check(build("risky"), format)
    assert "3.640 to 3.946" in text and "5.013 to 5.306" in text
    assert "1601, 1602, 1603, 1604, 1605" in " ".join(text.split())


def test_numbers_of_the_terminal_are_those_of_the_json() -> None:
    data = build("risky")
    text = render_check(data, "text")
    for dataset in json.loads(render_check(data, "json"))["measurements"].values():
        for key in ("r", "r_long", "l", "c"):
            assert f"{dataset[key]['value']:.3f}" in text and f"{dataset[key]['parent']:.3f}" in text


def test_junit_counts_its_cases() -> None:
    suite = ElementTree.fromstring(render_check(build("risky"), "junit")).find("testsuite")
    kinds = [[part.tag for part in case] for case in suite]
    assert suite.attrib["tests"] == str(len(kinds)) == str(len(build("risky").rules))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.attrib[attribute]) == sum(tag in kind for kind in kinds)
    skipped = sum(rule.status == "skipped" for rule in build("risky").rules)
    assert suite.attrib["failures"] == "3" and suite.attrib["skipped"] == str(skipped)


def test_junit_of_an_unassessed_version_without_rules_is_an_error_and_never_empty() -> None:
    verdict = replace(sample_verdict("not_assessed"), rules=())
    suite = ElementTree.fromstring(render_check(build_report_data(verdict, [], []), "junit")).find("testsuite")
    assert (suite.attrib["tests"], suite.attrib["errors"]) == ("1", "1")


def test_a_waived_rule_does_not_fail_a_check_and_says_who_answers_for_it() -> None:
    data = build("risky", *map(waiver, RISKY_RULES))
    suite = ElementTree.fromstring(render_check(data, "junit")).find("testsuite")
    assert suite.attrib["failures"] == "0"
    assert "ada@example.org" in render_check(data, "junit")
    assert "::error" not in render_check(data, "github")
    assert "Waived by ada@example.org until 2031-03-31" in render_check(data, "text")


def test_github_shows_at_most_ten_annotations_a_level_and_says_how_many_are_left() -> None:
    verdict = sample_verdict("risky")
    rules = tuple(RuleResult("redundancy", f"set{i}", "risky", "It repeats.", 1.0, 0.1, 0.0) for i in range(25))
    lines = render_check(build_report_data(replace(verdict, rules=rules), [], []), "github").splitlines()
    assert len(lines) == ANNOTATIONS_PER_LEVEL
    # One line for the verdict, eight for rules, one for the rest.
    assert "17 more" in lines[-1]


@pytest.mark.parametrize("status", STATUSES)
def test_text_fits_eighty_columns(status: str) -> None:
    data = build(status, waiver("redundancy"), waiver("loss", of=3))
    assert max(map(len, render_check(data, "text").splitlines())) <= WIDTH


@hostile
def test_text_shows_hostile_data_inert(data: ReportData) -> None:
    text = render_check(data, "text")
    assert all(character.isprintable() for character in text.replace("\n", ""))
    assert "##" not in text
    for line in text.split("\n"):
        assert len(line) <= WIDTH
        assert not line.strip().startswith("::")


@hostile
def test_github_commands_carry_hostile_data_inert(data: ReportData) -> None:
    for line in render_check(data, "github").removesuffix("\n").split("\n"):
        command = re.fullmatch(r"::(error|warning|notice) title=([^:,]*)::(.*)", line)
        assert command and line.isprintable()
        # Every percent sign is one of the runner's own escapes.
        assert not re.search(r"%(?!25|3A|2C)", command[2] + command[3])


@hostile
def test_json_gives_every_string_back_and_is_inert_in_a_log(data: ReportData) -> None:
    text = render_check(data, "json")
    assert text.isascii() and "##" not in text
    assert not any(line.strip().startswith("::") for line in text.splitlines())
    document = json.loads(text)
    assert document["summary"] == data.summary and document["version"]["name"] == data.version.name
    assert [rule["reason"] for rule in document["rules"]] == [rule.reason for rule in data.rules]
    assert [row["source"] for rule in document["rules"] for row in rule["rows"]] == [
        row.source for rule in data.rules for row in rule.rows
    ]


@hostile
def test_junit_stays_well_formed_with_hostile_data(data: ReportData) -> None:
    text = render_check(data, "junit")
    tags = [element.tag for element in ElementTree.fromstring(text).iter()]
    assert tags == [element.tag for element in ElementTree.fromstring(BENIGN_JUNIT).iter()]
    assert all(character.isprintable() for character in text.replace("\n", ""))
    assert "##" not in text


@hostile
def test_markdown_keeps_its_structure_with_hostile_data(data: ReportData) -> None:
    for render, benign in ((render_markdown_check, BENIGN_CHECK), (render_markdown_report, BENIGN_REPORT)):
        text = render(data)
        page = read_tags(to_html(text))
        assert page.tags == benign.tags
        assert page.comments == benign.comments
        # Forges look for references and addresses in the text of a page, code excepted.
        assert not re.search(r"[@#!~%$]\w|(?i:\bgh-\d|://|\bwww\.)", page.text_outside_code)
        assert not re.search(r"##[^# ]|[^\n -~\u00a0-\U0010ffff]", text)
        # What is shown is what the data says: nothing is lost on the way through Markdown.
        words = page.text.replace("\u200b", "")
        assert escape_log(data.summary) in words
        shows_texts = render is render_markdown_report
        assert all((escape_log(part.start) in words) is shows_texts for part in data.excerpts.values())


@pytest.mark.slow
@hostile
def test_no_line_of_markdown_begins_with_a_command(data: ReportData) -> None:
    for line in render_check(data, "markdown").splitlines():
        assert not line.strip().startswith(("/", "::"))


def test_the_comment_is_found_again_by_its_first_line_alone() -> None:
    forged = replace(sample_verdict("risky"), summary=COMMENT_MARKER)
    text = render_check(build_report_data(forged, [], []), "markdown")
    assert text.startswith(COMMENT_MARKER + "\n") and text.count(COMMENT_MARKER) == 1
