"""The findings for CI systems: GitHub's annotations, GitLab's code quality, JUnit."""

from __future__ import annotations

from xml.etree import ElementTree  # nosec B405 # it writes XML and reads none

from monitor.lint.registry import list_issues
from monitor.lint.run import LintReport
from monitor.lint.tally import Finding
from reports.annotations import Annotation, write_annotations
from reports.escaping import escape_log, log_json
from reports.gitlab import escape_description, fingerprint
from reports.lint.wording import describe_count, describe_details, find_line, headline, is_blocked, list_rows, name_row

# GitLab has info, minor, major, critical and blocker. A row is one step less severe than the finding that names it.
_GITLAB = {"error": ("blocker", "critical"), "warning": ("major", "minor"), "notice": ("info", "info")}


def render_github(report: LintReport, strict: bool) -> str:
    """A line for every finding, at its first row, and one for the whole."""
    level = "error" if is_blocked(report, strict) else "notice"
    found: dict[str, list[Annotation]] = {level: [Annotation("entropylaw lint", headline(report))]}
    for finding in report.findings:
        path, line = find_line(report, finding.rows[0])
        title = f"{finding.issue.code} {finding.issue.name}: {describe_count(finding)}"
        found.setdefault(finding.issue.severity, []).append(Annotation(title, _sentence(finding, report), path, line))
    return write_annotations(found, ("More findings", "entropylaw lint"))


def render_gitlab(report: LintReport, strict: bool) -> str:
    """An entry for every finding, and one for each of its first rows; an empty list where nothing was found."""
    entries = []
    for finding in report.findings:
        whole, single = _GITLAB[finding.issue.severity]
        path, line = find_line(report, finding.rows[0])
        entries.append(_entry(finding, f"{describe_count(finding)}. {_sentence(finding, report)}", whole, path, line))
        for row in finding.rows:
            path, line = find_line(report, row)
            text = f"row {row.row}" + (f": {row.text}" if row.text is not None else "")
            entries.append(_entry(finding, text, single, path, line, str(row.row)))
    return log_json(entries)


def _entry(finding: Finding, text: str, severity: str, path: str, line: int, *identity: str) -> dict[str, object]:
    issue = finding.issue
    return {
        "description": escape_description(f"{issue.code} {issue.title}: {text}"),
        "check_name": f"entropylaw.{issue.name}",
        # By it GitLab knows the entry on another branch: the same issue in the same row, or the finding as a whole.
        "fingerprint": fingerprint("lint", issue.code, path, *identity),
        "severity": severity,
        "location": {"path": path, "lines": {"begin": line}},
    }


def render_junit(report: LintReport, strict: bool) -> str:
    """One test case for every issue that was looked for: a failure where it blocks, else what was found as output."""
    suite = ElementTree.Element("testsuite", name="entropylaw lint")
    found = {finding.issue.code: finding for finding in report.findings}
    failures = skipped = 0
    for issue in list_issues():
        finding = found.get(issue.code)
        if finding is None and issue.code not in report.not_run and issue.code not in report.checked:
            continue
        case = ElementTree.SubElement(
            suite, "testcase", classname="entropylaw.lint", name=f"{issue.code} {issue.name}", time="0"
        )
        if issue.code in report.not_run:
            skipped += 1
            ElementTree.SubElement(case, "skipped", message=escape_log(report.not_run[issue.code]))
        elif finding is not None:
            message = escape_log(f"{issue.title}: {describe_count(finding)}. {_sentence(finding, report)}")
            if issue.severity == "error" or (strict and issue.severity == "warning"):
                failures += 1
                ElementTree.SubElement(case, "failure", message=message)
            else:
                ElementTree.SubElement(case, "system-out").text = message
    suite.attrib |= {"tests": str(len(suite)), "failures": str(failures), "errors": "0", "skipped": str(skipped)}
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _sentence(finding: Finding, report: LintReport) -> str:
    details = describe_details(finding)
    parts = [f"{details}." if details else "", f"Rows: {list_rows(finding, report)}.", finding.issue.advice]
    texts = [f"{name_row(report, row.file, row.row)}: {row.text}" for row in finding.rows if row.text is not None]
    return escape_log(" ".join(part for part in (*parts, *texts) if part))
