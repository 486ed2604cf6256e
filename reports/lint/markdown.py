"""The findings as Markdown, for a job summary or a comment."""

from __future__ import annotations

from monitor.lint.run import LintReport
from monitor.lint.tally import Finding
from reports.escaping import escape_markdown, markdown_code
from reports.lint.text import ICONS
from reports.lint.wording import (
    describe_count,
    describe_details,
    describe_files,
    describe_not_run,
    headline,
    list_rows,
    name_row,
)
from reports.markdown_table import table


def render_markdown(report: LintReport, strict: bool) -> str:
    """A table of all findings, gravest first, ending in a newline."""
    blocks = [
        f"### {escape_markdown(headline(report))}",
        "\n".join(f"- {escape_markdown(f)}" for f in describe_files(report)),
    ]
    if report.findings:
        columns = ["", "code", "found", "rows", "first rows", "what to do"]
        blocks.append(table(columns, [_cells(finding, report) for finding in report.findings], "llllll"))
    texts = [line for finding in report.findings for line in _list_texts(finding, report)]
    blocks += ["\n".join(texts)] if texts else []
    blocks += [escape_markdown(sentence) for sentence in describe_not_run(report)]
    return "\n\n".join(blocks) + "\n"


def _cells(finding: Finding, report: LintReport) -> list[str]:
    issue = finding.issue
    details = describe_details(finding)
    found = issue.title + (f" ({details})" if details else "")
    cells = [
        ICONS[issue.severity],
        issue.code,
        found,
        describe_count(finding),
        list_rows(finding, report),
        issue.advice,
    ]
    return [escape_markdown(cell) for cell in cells]


def _list_texts(finding: Finding, report: LintReport) -> list[str]:
    return [
        f"- {finding.issue.code}, {escape_markdown(name_row(report, row.file, row.row))}: {markdown_code(row.text)}"
        for row in finding.rows
        if row.text is not None
    ]
