"""lint.md: every issue that `entropylaw lint` reports, from the registry that the command reads."""

from __future__ import annotations

from itertools import groupby

from docs.reference.constants import escape
from monitor.lint.issue import Issue
from monitor.lint.registry import list_issues

HEADER = """\
# Codes of lint

What `entropylaw lint` reports. A code is a letter for the severity (E error, W warning, N notice), a digit for the
family, and two more digits; it keeps its meaning. `--select` and `--ignore` take codes, beginnings of codes (`W`, `E1`)
or of their numbers (`4` for a family), and names. This page is made by `make docs` from `monitor/lint/`.
[Checking a file on its own](../lint.md) says how to use it.
"""


def write_lint() -> str:
    """The page's text."""
    issues = list_issues()
    rows = [
        f"| [`{i.code}`](#{i.code.lower()}-{i.name}) | {i.severity} | `{i.name}` | {escape(i.title)} |" for i in issues
    ]
    blocks = [HEADER.strip("\n"), "\n".join(["| code | severity | name | finds |", "|---|---|---|---|", *rows])]
    for family, members in groupby(issues, lambda issue: issue.family):
        blocks.append(f"## {family[0].upper()}{family[1:]}")
        blocks += [_describe(issue) for issue in members]
    return "\n\n".join(blocks) + "\n"


def _describe(issue: Issue) -> str:
    return f"### {issue.code} {issue.name}\n\n{issue.title}. {issue.meaning}\n\n{issue.advice}"
