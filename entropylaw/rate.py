"""The command `rate`: the quality of rows as a judge sees it, after AlpaGasus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entropylaw.options import AsJson
from entropylaw.printing import note
from entropylaw.repository import layout

if TYPE_CHECKING:
    from training.quality import QualityReport

# So many of the lowest-rated rows are named.
LOWEST_ROWS = 10


def rate(
    data: Annotated[Path, typer.Argument(help="Training data in any accepted format.", show_default=False)],
    rows: Annotated[int, typer.Option(help="Rate at most so many rows.", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="Another seed rates other rows.", min=0)] = 0,
    out: Annotated[
        Path | None, typer.Option(help=f"Write the result to this file, such as {layout.QUALITY}.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what it would ask, and ask nothing.")] = False,
    json: AsJson = False,
) -> None:
    """Have the judge of params.yaml grade each answer of a sample of rows from 0 to 5; needs judge.endpoint.

    The texts of the sampled rows are sent to that endpoint. The judge's words are kept in .entropylaw/judgments.jsonl:
    a command that was interrupted goes on where it stopped, and nothing is paid for twice.

    Example: entropylaw rate data/sft.jsonl --rows 200 --dry-run
    """
    from corpus.artifacts import write_json
    from corpus.params import read_section
    from entropylaw.repository.rows import load_rows
    from entropylaw.terminal import print_result, show_progress
    from training.judge import Judge
    from training.judge_params import JudgeParams
    from training.quality import QualityParams, rate_rows, rating_requests

    judge_params = read_section(JudgeParams, "judge")
    judge = Judge(judge_params, layout.JUDGMENTS)
    params = QualityParams(rows=rows, seed=seed)
    records = load_rows(data)
    estimate = judge.estimate(rating_requests(records, params))
    sent = f"{data}: {estimate}; the texts of at most {rows:,} rows go to {judge_params.endpoint}"
    if dry_run:
        print_result(estimate, json, [sent])
        return
    note(sent)
    with show_progress("rate") as progress:
        result = rate_rows(records, judge, params, progress)
    if out:
        write_json(out, result)
    print_result(result, json, describe_quality(data, result, len(records)))


def describe_quality(data: Path, result: QualityReport, rows: int) -> list[str]:
    """The result in two lines; rows are named by number, never by their text."""
    error = "" if result.standard_error is None else f" ± {result.standard_error:.2f}"
    graded = sorted((row.grade, row.row) for row in result.rows if row.grade is not None)
    lowest = ", ".join(f"{row} ({grade:.1f})" for grade, row in graded[:LOWEST_ROWS])
    return [
        f"{data}: quality {result.mean:.2f}{error} of 5, from {result.rated:,} of {rows:,} rows; "
        f"{result.unreadable:,} answers without a readable grade",
        f"lowest rated: rows {lowest}",
    ]
