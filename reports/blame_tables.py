"""Where the flagged rows come from, as tables: by commit, rule, source, file and place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from monitor.blame import Blame, Stretch
from monitor.rules.registry import find_rule
from reports.blame import write_blame_line
from reports.escaping import escape_log, escape_markdown, markdown_code
from reports.markdown_table import table
from reports.numbers import format_count, format_share
from reports.text import wrap

# Groups that a table lists.
LISTED = 10


def render_text_blame(blames: Sequence[Blame], notes: Iterable[str]) -> list[str]:
    """Lines of at most 80 columns; only long names make them longer."""
    lines = []
    for blame in blames:
        lines += [*wrap(write_blame_line(blame)), "", f"In {escape_log(blame.dataset)}, rows numbered from 1:"]
        for title, rows in list_groups(blame):
            lines += ["", f"{title:<50}{'rows':>8}{'share':>8}"]
            lines += [f"  {escape_log(name):<48}{count:>8}{share:>8}" for name, count, share in rows]
        lines.append("")
    lines += [line for note in notes for line in wrap(note)]
    return lines or ["No rows are flagged."]


def render_markdown_blame(blames: Sequence[Blame], notes: Iterable[str]) -> str:
    """For a comment or a job's summary."""
    blocks = []
    for blame in blames:
        blocks.append(escape_markdown(write_blame_line(blame)))
        for title, rows in list_groups(blame):
            cells = [[markdown_code(name), count, share] for name, count, share in rows]
            blocks.append(table([title.capitalize(), "Rows", "Share"], cells, "lrr"))
    blocks += [escape_markdown(note) for note in notes]
    return "\n\n".join(blocks or ["No rows are flagged."]) + "\n"


def list_groups(blame: Blame) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """The flagged rows by commit, rule, source, file and place: a title, and name, count and share of each group."""
    total = len(blame.rows)
    groups: dict[str, Sequence[tuple[str, int]]] = {
        "COMMIT": [(f"{found.short} {found.date} {found.author}", count) for found, count in blame.commits],
        "RULE": [(find_rule(rule).title, count) for rule, count in blame.rules.items()],
        "SOURCE": [(source or "(none)", count) for source, count in blame.sources.items()],
        "FILE": list(blame.files.items()),
        "PLACE": [(_name_place(place), place.rows) for place in sorted(blame.stretches, key=lambda place: -place.rows)],
    }
    for title, items in groups.items():
        if not items:
            continue
        rows = [(name, format_count(count), format_share(count / total)) for name, count in items[:LISTED]]
        if len(items) > LISTED:
            rest = sum(count for _, count in items[LISTED:])
            rows.append((f"{len(items) - LISTED:,} more", format_count(rest), format_share(rest / total)))
        yield title, rows


def _name_place(place: Stretch) -> str:
    return f"row {place.first:,}" if place.first == place.last else f"rows {place.first:,} to {place.last:,}"
