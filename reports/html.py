"""results/report.html: one file, which loads nothing from the network and runs no script."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.escaping import escape_invisible
from reports.figures import Figures
from reports.law_figure import LINE_LEGEND
from reports.lengths import GROUP_WORDS
from reports.numbers import format_change, format_count, format_number, format_p_value, format_share
from reports.power import NAMED, OTHERS_HEAD, TITLE, TOTALS_HEAD
from reports.report_data import ReportData
from reports.rule_view import count_statuses
from reports.words import ALARMS, MEASURES, SIDE_BY_SIDE, SIDE_BY_SIDE_COMMAND

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


def render_html(data: ReportData, figures: Figures) -> str:
    """The whole report as one page. Data appears in it as text only, with invisible characters as escapes."""
    environment = make_environment()
    environment.filters |= {
        "change": format_change,
        "count": format_count,
        "number": format_number,
        "p_value": format_p_value,
        "share": format_share,
    }
    return environment.get_template("report.html.j2").render(
        data=data,
        figures=figures,
        findings=[rule for rule in data.rules if rule.status in ALARMS],
        ran=[rule for rule in data.rules if rule.status != "skipped"],
        skipped=[rule for rule in data.rules if rule.status == "skipped"],
        counted=count_statuses(data.rules),
        group_words=GROUP_WORDS,
        measures=MEASURES,
        line_legend=LINE_LEGEND,
        side_by_side=SIDE_BY_SIDE,
        side_by_side_command=SIDE_BY_SIDE_COMMAND,
        power_title=TITLE,
        power_named=NAMED,
        power_others=OTHERS_HEAD,
        power_totals=TOTALS_HEAD,
    )


def make_environment() -> Environment:
    """Where pages are made of templates: what is data is escaped, and a name that is not there is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=show_value,
        keep_trailing_newline=True,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )


def show_value(value: Any) -> Any:
    """Escape invisible characters of plain strings; markup that the templates built themselves stays as it is."""
    return escape_invisible(value) if type(value) is str else value
