"""The findings as JSON, as docs/schemas/lint.schema.json describes them."""

from __future__ import annotations

from typing import Any

from monitor.lint.run import LintReport
from monitor.lint.tally import Finding, FoundRow
from reports.escaping import log_json
from reports.lint.wording import headline, is_blocked

LINT_SCHEMA_VERSION = 1


def render_json(report: LintReport, strict: bool) -> str:
    return log_json(
        {
            "schema_version": LINT_SCHEMA_VERSION,
            "blocked": is_blocked(report, strict),
            "headline": headline(report),
            "rows": report.rows,
            "files": [{"path": file.path, "format": file.format, "rows": file.rows} for file in report.files],
            "findings": [_describe(finding, report) for finding in report.findings],
            "not_run": report.not_run,
        }
    )


def _describe(finding: Finding, report: LintReport) -> dict[str, Any]:
    issue = finding.issue
    return {
        "code": issue.code,
        "name": issue.name,
        "severity": issue.severity,
        "title": issue.title,
        "meaning": issue.meaning,
        "advice": issue.advice,
        "count": finding.count,
        "share": round(finding.share, 6),
        "details": finding.details,
        "rows": [_describe_row(row, report) for row in finding.rows],
    }


def _describe_row(row: FoundRow, report: LintReport) -> dict[str, Any]:
    described: dict[str, Any] = {"file": report.files[row.file].path, "row": row.row}
    if row.other_file is not None:
        described["other"] = {"file": report.files[row.other_file].path, "row": row.other_row}
    if row.text is not None:
        described["text"] = row.text
    return described
