"""The verdict in the formats that terminals, GitHub, GitLab and CI systems read."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal
from xml.etree import ElementTree  # nosec B405 # it writes XML and reads none

from reports.annotations import Annotation, write_annotations
from reports.dataset_view import DatasetView
from reports.escaping import escape_log, log_json
from reports.gitlab import render_gitlab
from reports.markdown import render_markdown_check
from reports.report_data import ReportData
from reports.rule_view import RuleView
from reports.slack import render_slack
from reports.text import render_text
from reports.words import NOTES

CheckFormat = Literal["text", "markdown", "json", "junit", "github", "gitlab", "slack"]
CHECK_SCHEMA_VERSION = 1


def render_check(data: ReportData, format: CheckFormat) -> str:
    """The verdict in one format, ending in a newline.

    Names and texts from the data are escaped, so that none of them is read as markup or as a command.
    """
    return {
        "text": render_text,
        "markdown": render_markdown_check,
        "json": _render_json,
        "junit": _render_junit,
        "github": _render_github,
        "gitlab": render_gitlab,
        "slack": render_slack,
    }[format](data)


def _render_json(data: ReportData) -> str:
    return log_json(
        {
            "schema_version": CHECK_SCHEMA_VERSION,
            "status": data.status,
            "blocked": data.blocked,
            "headline": data.headline,
            "summary": data.summary,
            "steps": data.steps,
            "version": data.version,
            "parent": data.parent,
            "rules": [_describe_rule(rule) for rule in data.rules],
            "measurements": {dataset.name: _describe_measurements(dataset) for dataset in data.datasets},
            "forecast": data.forecast,
            "law": {"sentence": data.law.sentence, "holds": data.law.holds, "n_points": data.law.n_points},
            "waivers": data.waivers,
            "notes": data.notes,
            "config_fingerprint": data.config_fingerprint,
            "tool_version": data.tool_version,
        }
    )


def _describe_rule(rule: RuleView) -> dict[str, Any]:
    return {
        "id": rule.id,
        "dataset": rule.dataset,
        "status": rule.status,
        "reason": rule.reason,
        "statistic": rule.statistic,
        "threshold": rule.threshold,
        "p_value": rule.p_value,
        "unit": rule.unit,
        "waiver": rule.waiver,
        "rows_total": rule.rows_total,
        "rows": [
            {
                **{"row": row.row, "file": row.file, "file_row": row.file_row, "hash": row.hash},
                **{"source": row.source, "score": row.score, "unit": row.unit},
            }
            for row in rule.rows
        ],
    }


def _describe_measurements(dataset: DatasetView) -> dict[str, Any]:
    counts = dataset.measurements
    return {
        **{
            change.measure.key: {"value": change.value, "parent": change.parent, "change": change.change}
            for change in dataset.changes
        },
        "rows": counts.rows,
        "added": counts.added,
        "removed": counts.removed,
        "kept": counts.kept,
        "read_share": counts.read_share,
        "unread": None if counts.unread is None else asdict(counts.unread),
    }


def _render_junit(data: ReportData) -> str:
    """One test case per rule and dataset: risky is a failure, not assessed an error, skipped or waived is skipped.

    When no rule has the verdict's own status, the verdict gets a case too: a report without any would read as success.
    """
    suite = ElementTree.Element("testsuite", name="entropylaw")
    outcomes = {"risky": "failure", "not_assessed": "error", "skipped": "skipped"}
    for rule in data.rules:
        outcome = "skipped" if rule.waiver else outcomes.get(rule.status)
        message = rule.reason + (f" Waived by {rule.waiver.owner} {rule.waiver.note}." if rule.waiver else "")
        _add_case(suite, rule.dataset, rule.id, outcome, message, _list_rows(rule))
    if not any(rule.status == data.status for rule in data.rules):
        _add_case(suite, "verdict", data.status, outcomes.get(data.status), data.summary, "")
    for number, note in enumerate(data.notes, start=1):
        _add_case(suite, NOTES.lower(), str(number), None, note, "")
    counts = {f"{name}s" if name != "skipped" else name: len(suite.findall(f"*/{name}")) for name in outcomes.values()}
    suite.attrib |= {"tests": str(len(suite)), **{name: str(count) for name, count in counts.items()}}
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _add_case(suite: ElementTree.Element, group: str, name: str, outcome: str | None, message: str, rows: str) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=f"entropylaw.{escape_log(group)}", name=name, time="0")
    if outcome:
        part = ElementTree.SubElement(case, outcome, message=escape_log(message))
        part.text = escape_log(rows) or None
    else:
        ElementTree.SubElement(case, "system-out").text = escape_log(message)


def _list_rows(rule: RuleView) -> str:
    if not rule.rows:
        return ""
    numbers = ", ".join(row.name for row in rule.first_rows)
    more = rule.rows_total - len(rule.first_rows)
    return f"Rows of {rule.dataset}: {numbers}" + (f" and {more} more." if more else ".")


def _render_github(data: ReportData) -> str:
    """GitHub workflow commands, at most ten of each level: the verdict, then every rule that raised an alarm."""
    level = "error" if data.blocked else "warning" if data.status in ("warn", "risky") else "notice"
    found: dict[str, list[tuple[str, str]]] = {level: [(f"{data.words.word}: {data.headline}", data.summary)]}
    if data.notes:
        found.setdefault("warning", []).extend((NOTES, note) for note in data.notes)
    levels = {"risky": "error", "not_assessed": "error", "warn": "warning"}
    for rule in data.rules:
        if rule.status not in levels:
            continue
        message = " ".join(part for part in (rule.reason, _list_rows(rule)) if part)
        kind = "warning" if rule.waiver else levels[rule.status]
        found.setdefault(kind, []).append((f"{rule.words.word}: {rule.title} ({rule.dataset})", message))
    return write_annotations({kind: [Annotation(*entry) for entry in entries] for kind, entries in found.items()})
