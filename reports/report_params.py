"""The section ``report`` of params.yaml."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReportParams:
    """``show_text``: whether reports show the text of the rows they name. Training data is private by default."""

    show_text: bool = False
