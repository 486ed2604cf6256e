"""The findings as SARIF 2.1.0, which GitHub's code scanning and many editors read."""

from __future__ import annotations

from typing import Any

from monitor.lint.issue import Issue
from monitor.lint.run import LintReport
from monitor.lint.tally import Finding, FoundRow
from reports.escaping import escape_log, log_json
from reports.gitlab import fingerprint
from reports.lint.wording import describe_count, find_line

# SARIF's own words for our severities.
_LEVELS = {"error": "error", "warning": "warning", "notice": "note"}


def render_sarif(report: LintReport, strict: bool) -> str:
    """A rule for every issue that was found, and a result for each of its first rows."""
    driver = {"name": "entropylaw lint", "rules": [_rule(finding.issue) for finding in report.findings]}
    results = [_result(finding, row, report) for finding in report.findings for row in finding.rows]
    return log_json(
        {
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{"tool": {"driver": driver}, "results": results}],
        }
    )


def _rule(issue: Issue) -> dict[str, Any]:
    return {
        "id": issue.code,
        "name": issue.name,
        "shortDescription": {"text": issue.title},
        "fullDescription": {"text": issue.meaning},
        "help": {"text": issue.advice},
        "defaultConfiguration": {"level": _LEVELS[issue.severity]},
    }


def _result(finding: Finding, row: FoundRow, report: LintReport) -> dict[str, Any]:
    path, line = find_line(report, row)
    text = f"{finding.issue.title}: row {row.row}, one of {describe_count(finding)}. {finding.issue.advice}"
    if row.text is not None:
        text += f" Text: {row.text}"
    return {
        "ruleId": finding.issue.code,
        "level": _LEVELS[finding.issue.severity],
        "message": {"text": escape_log(text)},
        "locations": [
            {"physicalLocation": {"artifactLocation": {"uri": _as_uri(path)}, "region": {"startLine": line}}}
        ],
        "partialFingerprints": {"row/v1": fingerprint("lint", finding.issue.code, path, str(row.row))},
    }


def _as_uri(path: str) -> str:
    """The path as SARIF wants it: a relative or absolute URI without spaces.

    >>> _as_uri("my data/sft.jsonl")
    'my%20data/sft.jsonl'
    """
    from urllib.parse import quote

    return quote(path.encode("utf-8", "surrogatepass"))
