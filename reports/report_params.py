"""The section ``report`` of params.yaml."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReportParams:
    """``show_text``: whether report.html and report.md show texts of the rows they name; training data is private.

    ``entropylaw check`` never shows them: its output goes to logs and comments.
    """

    show_text: bool = False
