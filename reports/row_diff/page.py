"""A diff of two versions as one HTML page, which loads nothing and runs no script."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from monitor.row_diff import CHANGE_KINDS
from reports.escaping import escape_text
from reports.html import make_environment
from reports.numbers import format_count
from reports.row_diff.changed_rows import KIND_WORDS, NUMBERED_FROM, ChangedRow, DiffView, group_kinds
from reports.row_diff.marked_words import shorten

if TYPE_CHECKING:
    from markupsafe import Markup

# Sources in the table, those with most changed rows.
MAX_SOURCES = 30
# Characters of a text that are shown; the file has the rest.
MAX_TEXT = 4000


def render_html_diff(view: DiffView, rows: Iterable[ChangedRow]) -> str:
    """The page. All ``rows`` are held at once, so there should not be too many for a browser either."""
    environment = make_environment()
    environment.filters |= {"count": format_count, "marked": _mark}
    return environment.get_template("diff.html.j2").render(
        view=view,
        sources=list(view.sources.items())[:MAX_SOURCES],
        groups=group_kinds(rows),
        kinds=CHANGE_KINDS,
        kind_words=KIND_WORDS,
        numbered=NUMBERED_FROM,
    )


def _mark(row: ChangedRow) -> Markup:
    """The text of a row, escaped; of an edited one with its words marked."""
    from markupsafe import Markup, escape

    tags = {"same": "{}", "old": "<del>{}</del>", "new": "<ins>{}</ins>"}
    if row.words:
        parts = [Markup(tags[part.mark]).format(escape_text(part.text)) for part in shorten(row.words)]  # nosec B704
        return Markup("").join(parts)
    text = (row.place.text or "").rstrip("\n")
    return escape(escape_text(text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"))
