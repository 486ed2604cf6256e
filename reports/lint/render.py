"""The findings of a lint run in every format."""

from __future__ import annotations

from typing import Literal

from monitor.lint.run import LintReport
from reports.lint.ci_formats import render_github, render_gitlab, render_junit
from reports.lint.document import render_json
from reports.lint.markdown import render_markdown
from reports.lint.sarif import render_sarif
from reports.lint.text import render_text

LintFormat = Literal["text", "markdown", "json", "junit", "github", "gitlab", "sarif"]


def render_lint(report: LintReport, format: LintFormat, strict: bool = False) -> str:
    """The findings in one format, ending in a newline. ``strict``: whether a warning counts as a failure.

    Names and texts from the data are escaped, so that none of them is read as markup or as a command.
    """
    return {
        "text": render_text,
        "markdown": render_markdown,
        "json": render_json,
        "junit": render_junit,
        "github": render_github,
        "gitlab": render_gitlab,
        "sarif": render_sarif,
    }[format](report, strict)
