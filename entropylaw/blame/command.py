"""The command `blame`: where the flagged rows of the verdict come from, and who brought them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corpus.errors import EntropylawError
from entropylaw.printing import print_document, print_json, say
from entropylaw.repository.layout import VERDICT

if TYPE_CHECKING:
    from corpus.progress import StageProgress
    from monitor.blame import Origin
    from monitor.verdict import Verdict


class BlameFormat(StrEnum):
    text = "text"
    markdown = "markdown"
    json = "json"


def blame(
    format: Annotated[BlameFormat, typer.Option(help="How to show it.")] = BlameFormat.text,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    no_commits: Annotated[
        bool, typer.Option("--no-commits", help="Leave out who committed the rows, which takes longest.")
    ] = False,
    verdict: Annotated[Path, typer.Option(help="The verdict whose rows are meant.")] = VERDICT,
) -> None:
    """Show where the flagged rows come from: by rule, source, file, place in the file, and by the commit that brought
    them.

    For the commits it reads past versions of the data, from Git or from the cache or the remote of DVC: of many as few
    as it takes. A verdict names up to 50 rows a rule. No text of a row is printed. It exits 0 whatever it finds.

    Example: entropylaw blame --format markdown >> "$GITHUB_STEP_SUMMARY"
    """
    from entropylaw.blame.origins import FETCH, READ
    from entropylaw.repository.results import load_verdict
    from entropylaw.terminal import show_stages
    from monitor.blame import blame_rows
    from reports.blame_tables import render_markdown_blame, render_text_blame

    found = load_verdict(verdict)
    origins: dict[str, Mapping[str, Origin]] = {}
    notes: list[str] = []
    if not no_commits:
        with show_stages({FETCH: FETCH, READ: READ}) as report:
            origins, notes = look_for_commits(found, report)
    blames = blame_rows(found, origins)
    chosen = BlameFormat.json if json else format
    if chosen is BlameFormat.json:
        print_json({"datasets": blames, "rows_numbered_from": 1, "notes": notes})
    elif chosen is BlameFormat.markdown:
        print_document(render_markdown_blame(blames, notes))
    else:
        say(*render_text_blame(blames, notes))


def look_for_commits(verdict: Verdict, report: StageProgress) -> tuple[dict[str, Mapping[str, Origin]], list[str]]:
    """The origins of the flagged rows by dataset and content hash, and sentences on what is not known."""
    from entropylaw.blame.origins import READ, PastRows, count_contents, find_origins
    from entropylaw.repository.datasets import locate_dataset, reading_for
    from entropylaw.repository.git import find_root

    if not verdict.rows:
        return {}, []
    if not find_root():
        return {}, ["Not in a Git repository, so nothing is known of commits."]
    origins: dict[str, Mapping[str, Origin]] = {}
    notes = []
    for dataset in dict.fromkeys(row.dataset for row in verdict.rows):
        flagged = {row.hash for row in verdict.rows if row.dataset == dataset}
        try:
            file = locate_dataset(dataset)
            reading = reading_for(file, dataset)
            now = count_contents(file, reading, flagged, lambda done, total: report(READ, done, total), str(file))
            if missing := len(flagged - now.keys()):
                notes.append(f"{file}: {missing:,} of the flagged contents are not in it any more; run `dvc repro`.")
            past = PastRows(dataset, file, reading, Counter(now), report)
            origins[dataset], unknown = find_origins(past)
            notes += unknown
        except EntropylawError as error:  # the rest can be told all the same
            notes.append(f"{dataset}: the commits could not be told: {error}.")
    return origins, notes
