"""A diff of two versions in a terminal: counts, then the rows of each kind; texts only where they were asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from monitor.row_diff import CHANGE_KINDS
from reports.escaping import escape_invisible, escape_line, escape_log
from reports.numbers import format_count
from reports.row_diff.changed_rows import KIND_WORDS, NUMBERED_FROM, ChangedRow, DiffView, SideView
from reports.row_diff.marked_words import MarkedText, shorten

SOURCE_WIDTH = 26
# Sources that are listed; the lines in other formats name them all.
MAX_SOURCES = 12
# Characters of a text that are shown; the file has the rest.
MAX_TEXT = 2000


def render_text_diff(view: DiffView, rows: Iterable[ChangedRow]) -> Iterator[str]:
    """Lines. ``rows``: those that are to be listed, by kind; each is asked for when those before it are printed."""
    for letter, side in (("A", view.a), ("B", view.b)):
        yield f"{letter}  {_describe_side(side)}"
    yield f"   {NUMBERED_FROM}"
    yield ""
    yield f"{'kept':<10}{format_count(view.kept):>10}  rows that both have"
    for kind in CHANGE_KINDS:
        yield f"{kind:<10}{format_count(view.kinds[kind].all):>10}  {KIND_WORDS[kind]}"
    yield from _list_sources(view)
    if view.filters:
        yield ""
        yield f"Shown: {escape_log('; '.join(view.filters))}."
    shown, last = 0, None
    for row in rows:
        if row.kind != last:
            yield from _tell_more(view, last, shown)
            yield ""
            count = view.kinds[row.kind].chosen
            yield f"{row.kind.upper()}: {count:,} row{'s' if count != 1 else ''}"
            shown, last = 0, row.kind
        shown += 1
        yield from _list_row(row, view)
    yield from _tell_more(view, last, shown)


def _describe_side(side: SideView) -> str:
    commit = f" ({side.commit[:7]})" if side.commit else ""
    left_out = "".join(f", {count:,} {reason}" for reason, count in side.left_out.items())
    beside = f"; not usable among the rows that differ{left_out.replace(',', ':', 1)}" if left_out else ""
    return f"{escape_log(side.name)}{commit}, {side.rows:,} rows{beside}"


def _list_sources(view: DiffView) -> Iterator[str]:
    kinds = [kind for kind in CHANGE_KINDS if kind != "moved"]
    if (len(view.sources) < 2 and "" in view.sources) or not view.sources:
        return
    yield ""
    yield f"{'SOURCE':<{SOURCE_WIDTH}}" + "".join(f"{kind:>10}" for kind in kinds)
    for source, counts in list(view.sources.items())[:MAX_SOURCES]:
        shown = escape_log(escape_invisible(source, SOURCE_WIDTH - 1)) or "(none)"
        yield f"{shown:<{SOURCE_WIDTH}}" + "".join(f"{format_count(counts.get(kind, 0)):>10}" for kind in kinds)
    if len(view.sources) > MAX_SOURCES:
        yield f"and {len(view.sources) - MAX_SOURCES:,} more sources"


def _tell_more(view: DiffView, kind: str | None, shown: int) -> Iterator[str]:
    more = 0 if kind is None else view.kinds[kind].chosen - shown  # type: ignore[index]
    if more > 0:
        yield f"  and {more:,} more; --limit 0 lists all"


def _list_row(row: ChangedRow, view: DiffView) -> Iterator[str]:
    source = f"  {escape_log(row.place.source)}" if row.place.source else ""
    flagged = f"  flagged: {', '.join(map(escape_log, row.rules))}" if row.rules else ""
    yield f"  {escape_log(row.numbers())}{source}  {escape_log(row.describe(view))}{flagged}"
    if row.words:
        yield from _quote("".join(map(_mark, shorten(row.words))))
    elif row.place.text is not None:
        yield from _quote(row.place.text)


def _mark(part: MarkedText) -> str:
    """As `git diff --word-diff` marks words."""
    return {"same": part.text, "old": f"[-{part.text}-]", "new": f"{{+{part.text}+}}"}[part.mark]


def _quote(text: str) -> Iterator[str]:
    cut = text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
    for line in cut.rstrip("\n").split("\n"):
        yield f"    | {escape_line(line)}"
