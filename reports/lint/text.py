"""The findings in a terminal of 80 columns: what, how often, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.lint.run import LintReport
from monitor.lint.tally import Finding
from reports.lint.wording import (
    describe_count,
    describe_details,
    describe_files,
    describe_not_run,
    headline,
    list_rows,
    name_row,
)
from reports.text import wrap

# The signs of the three severities, as those of the verdicts: nobody has to tell colours apart.
ICONS = {"error": "✗", "warning": "!", "notice": "•"}


def render_text(report: LintReport, strict: bool) -> str:
    """All findings, gravest first, in lines of at most 80 columns, ending in a newline."""
    blocks = [[line for text in describe_files(report) for line in wrap(text)]]
    blocks += [list(_describe(finding, report)) for finding in report.findings]
    rest = [headline(report), *describe_not_run(report)]
    blocks.append([line for text in rest for line in wrap(text)])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _describe(finding: Finding, report: LintReport) -> Iterator[str]:
    issue = finding.issue
    yield from wrap(f"{ICONS[issue.severity]} {issue.code} {issue.title}: {describe_count(finding)}", rest="      ")
    if details := describe_details(finding):
        yield from wrap(details, first="      ", rest="      ")
    yield from wrap(f"Rows: {list_rows(finding, report)}", first="      ", rest="      ")
    for row in finding.rows:
        if row.text is not None:
            yield from wrap(f"{name_row(report, row.file, row.row)}: {row.text}", first="        ", rest="          ")
    yield from wrap(issue.advice, first="      ", rest="      ")
