"""The section ``report`` of params.yaml."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReportParams:
    """What a report shows.

    ``show_text``: whether report.html and report.md show texts of the rows they name. Training data is private, so they
    do not unless this is set.

    ``entropylaw check`` never shows them: its output goes to logs and comments.
    """

    show_text: bool = False
