"""What every format says of a finding: where its rows stand, how many they are, and what counts."""

from __future__ import annotations

from collections import Counter

from monitor.lint.issue import SEVERITIES
from monitor.lint.run import LintReport
from monitor.lint.tally import Finding, FoundRow
from reports.numbers import format_count

# So many of a finding's kinds are named in a sentence.
SHOWN_DETAILS = 4
# Row numbers are line numbers in such files only.
_LINE_SUFFIXES = (".jsonl", ".ndjson")


def is_blocked(report: LintReport, strict: bool) -> bool:
    """Whether the command fails: on an error, and if ``strict`` on a warning too."""
    fatal = {"error", "warning"} if strict else {"error"}
    return any(finding.issue.severity in fatal for finding in report.findings)


def headline(report: LintReport) -> str:
    """How many kinds of findings there are, in one sentence.

    >>> headline(LintReport((), 3, (), {}))
    'Nothing found in 3 rows.'
    """
    kinds = Counter(finding.issue.severity for finding in report.findings)
    named = [f"{kinds[name]} {name}{'s' if kinds[name] > 1 else ''}" for name in SEVERITIES.values() if kinds[name]]
    return f"{', '.join(named) or 'Nothing'} found in {format_count(report.rows)} rows."


def describe_files(report: LintReport) -> list[str]:
    return [f"{file.path}: {file.format}, {format_count(file.rows)} rows" for file in report.files]


def describe_not_run(report: LintReport) -> list[str]:
    """A sentence for each reason why checks could not run."""
    codes: dict[str, list[str]] = {}
    for code, reason in report.not_run.items():
        codes.setdefault(reason, []).append(code)
    return [f"Not checked: {', '.join(names)} ({reason})." for reason, names in codes.items()]


def describe_count(finding: Finding) -> str:
    """How many rows, and which share of all.

    >>> from monitor.lint.exact_duplicates import DUPLICATE
    >>> describe_count(Finding(DUPLICATE, 12, 0.0004, (), {}))
    '12 rows (<0.1%)'
    """
    share = f"{finding.share:.1%}" if finding.share >= 0.001 else "<0.1%"
    return f"{format_count(finding.count)} row{'s' if finding.count > 1 else ''} ({share})"


def describe_details(finding: Finding) -> str:
    """The kinds within a finding with their counts, as `<|im_end|>: 3, [INST]: 1`; empty where it has none."""
    named = list(finding.details.items())
    parts = [f"{detail}: {format_count(count)}" for detail, count in named[:SHOWN_DETAILS]]
    more = len(named) - SHOWN_DETAILS
    return ", ".join(parts) + (f" and {more} more kinds" if more > 0 else "")


def list_rows(finding: Finding, report: LintReport) -> str:
    """The first rows by their numbers; in brackets the rows that they repeat.

    >>> from monitor.lint.exact_duplicates import DUPLICATE
    >>> found = Finding(DUPLICATE, 3, 0.1, (FoundRow(0, 7, 0, 2), FoundRow(0, 9, 0, 2)), {})
    >>> list_rows(found, LintReport((), 30, (found,), {}))
    '7 (as 2), 9 (as 2) and 1 more'
    """
    by_file: dict[int, list[str]] = {}
    for row in finding.rows:
        other = ""
        if row.other_row is not None and row.other_file is not None:
            same = row.other_file == row.file
            other = f" (as {row.other_row if same else name_row(report, row.other_file, row.other_row)})"
        by_file.setdefault(row.file, []).append(f"{row.row}{other}")
    several = len(report.files) > 1
    named = [(f"{report.files[i].path}: " if several else "") + ", ".join(rows) for i, rows in by_file.items()]
    more = finding.count - len(finding.rows)
    return "; ".join(named) + (f" and {format_count(more)} more" if more else "")


def name_row(report: LintReport, file: int, row: int) -> str:
    """A row's number, after the file's name where there are several files."""
    return f"{report.files[file].path}:{row}" if len(report.files) > 1 else str(row)


def find_line(report: LintReport, row: FoundRow) -> tuple[str, int]:
    """The path of a row's file, and the line to open; the first one where rows are not lines."""
    path = report.files[row.file].path
    return path, row.row if path.lower().endswith(_LINE_SUFFIXES) else 1
