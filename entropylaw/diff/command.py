"""The command `diff`: the rows of two data files or Git revisions side by side, one by one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corpus.errors import EntropylawError, NotAssessedError
from entropylaw.options import Out, take_options
from entropylaw.pipeline_command import Place
from entropylaw.printing import note, print_document, say
from entropylaw.repository.layout import SFT, VERDICT

if TYPE_CHECKING:
    from entropylaw.diff.selection import Filters
    from monitor.row_diff import ChangeKind
    from reports.row_diff.changed_rows import ChangedRow, DiffView

VERSION_HELP = "A data file, a Git revision, or REVISION:FILE."


class DiffFormat(StrEnum):
    text = "text"
    html = "html"
    jsonl = "jsonl"


class Kind(StrEnum):
    added = "added"
    removed = "removed"
    edited = "edited"
    moved = "moved"
    copied = "copied"


# Rows of each kind that are listed where --limit does not say: a screen, a page that a browser opens at once, all.
LIMITS = {DiffFormat.text: 20, DiffFormat.html: 200, DiffFormat.jsonl: 0}


@dataclass(frozen=True)
class Listing:
    """Which of the rows that changed are listed."""

    kind: Annotated[
        list[Kind] | None, typer.Option(help="Only rows that changed in this way; may be repeated.", show_default=False)
    ] = None
    source: Annotated[
        list[str] | None, typer.Option(help="Only rows of this source; may be repeated.", show_default=False)
    ] = None
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="Only rows that this rule of results/verdict.json flags, or `all` rules; may be repeated.",
            show_default=False,
        ),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option(
            min=0, help="List so many rows of each kind; 0: all.", show_default="20; 200 in html; all in jsonl"
        ),
    ] = None

    def filters(self) -> Filters:
        from entropylaw.diff.selection import Filters

        kinds: tuple[ChangeKind, ...] = tuple(item.value for item in self.kind or ())
        return Filters(tuple(self.source or ()), tuple(self.rule or ()), kinds)


@take_options
def diff(
    a: Annotated[str, typer.Argument(metavar="A", parser=Place, help=VERSION_HELP, show_default=False)],
    b: Annotated[
        str | None,
        typer.Argument(
            metavar="B", parser=Place, help=VERSION_HELP, show_default="the data of params.yaml as it is now"
        ),
    ] = None,
    listing: Listing = Listing(),
    dataset: Annotated[
        str | None,
        typer.Option(
            help="The dataset of params.yaml that a revision without a file stands for.",
            show_default=f"{SFT}, or the only one",
        ),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Show the texts, in edited rows the words marked.")] = False,
    format: Annotated[DiffFormat, typer.Option(help="How to show it.")] = DiffFormat.text,
    out: Out = None,
) -> None:
    """Show which rows were added, removed, edited, moved or copied between two data files or Git revisions.

    No text of a row is printed without --text. It passes no verdict and exits 0 whatever it finds. A revision's data is
    taken from Git, or from the cache or the remote of DVC. Files are named as seen from the current folder.

    Example: entropylaw diff HEAD~1 --kind edited --text
    """
    from entropylaw.diff.selection import ChangeSelection
    from entropylaw.diff.versions import HASH, READ, SEARCH, SIDES, read_pair
    from entropylaw.repository.datasets import locate_dataset, main_dataset
    from entropylaw.repository.revisions import locate_data
    from entropylaw.terminal import show_stages
    from monitor.row_diff import diff_rows

    name = dataset or main_dataset()
    arguments = (a, b if b is not None else locate_dataset(name).as_posix())
    filters = listing.filters()
    flagged = read_flagged(filters.rules)
    shown = LIMITS[format] if listing.limit is None else listing.limit
    stages = [f"{stage} {side}" for stage in ("fetch MiB", HASH, READ) for side in SIDES]
    with tempfile.TemporaryDirectory(prefix="entropylaw-") as folder:
        with show_stages({stage: stage for stage in [*stages, SEARCH]}) as report:
            files = [
                locate_data(argument, name, Path(folder) / side, partial(report, f"fetch MiB {side}"))
                for side, argument in zip(SIDES, arguments, strict=True)
            ]
            pair = read_pair(files[0], files[1], report)
            changes = diff_rows(
                pair.a.parsed.rows,
                pair.b.parsed.rows,
                pair.same,
                lambda gone, new: pair.find_contents(gone, new, report),
            )
            selection = ChangeSelection(pair, changes, filters, flagged, text, shown or None)
            selection.find_near_twins(partial(report, SEARCH))
        view = selection.view()
        pair.require_unchanged()
        write_diff(view, selection.list_rows(), format, out)


def read_flagged(rules: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """The rules that flag a row in results/verdict.json, by its content hash; none where there is no verdict.

    Where ``rules`` are asked for, raises EntropylawError if one is unknown, NotAssessedError if there is no verdict.
    """
    from entropylaw.repository.results import load_verdict
    from monitor.rules.registry import rule_ids

    if unknown := [rule for rule in rules if rule not in (*rule_ids(), "all")]:
        raise EntropylawError(f"--rule {unknown[0]}: no such rule; there are {', '.join(rule_ids())}, and all")
    if not rules and not VERDICT.exists():
        return {}
    try:
        rows = load_verdict().rows
    except NotAssessedError:
        if rules:
            raise
        return {}
    flagged: dict[str, tuple[str, ...]] = {}
    for row in rows:
        flagged[row.hash] = tuple(dict.fromkeys((*flagged.get(row.hash, ()), row.rule)))
    if rules and not any("all" in rules or not set(rules).isdisjoint(found) for found in flagged.values()):
        note(f"{VERDICT}: flags no row by {' or '.join(rules)}")
    return flagged


def write_diff(view: DiffView, rows: Iterator[ChangedRow], format: DiffFormat, out: Path | None) -> None:
    """Print the result, or write it to a file; rows are read as they are written."""
    from corpus.artifacts import atomic_writer

    pieces = render(view, rows, format)
    if out is None:
        for piece in pieces:
            print_document(piece)
        return
    with atomic_writer(out) as handle:
        handle.writelines(pieces)
    counts = ", ".join(f"{count.all:,} {kind}" for kind, count in view.kinds.items())
    say(f"{out}: {counts}")


def render(view: DiffView, rows: Iterator[ChangedRow], format: DiffFormat) -> Iterable[str]:
    from reports.row_diff.json_lines import render_json_diff
    from reports.row_diff.page import render_html_diff
    from reports.row_diff.text import render_text_diff

    if format is DiffFormat.html:
        return [render_html_diff(view, rows)]
    lines = render_text_diff(view, rows) if format is DiffFormat.text else render_json_diff(view, rows)
    return chain.from_iterable((line, "\n") for line in lines)
