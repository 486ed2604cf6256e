"""The commands behind the gate that train models: train sft, train kto."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entropylaw.pipeline_command import Place
from entropylaw.repository import layout
from entropylaw.run_elsewhere import run_elsewhere
from entropylaw.train_on_devices import across_devices

if TYPE_CHECKING:
    from training.fine_tuning import TrainingReport
    from training.kto import KtoReport

app = typer.Typer(help="Fine-tune on the selected rows with TRL.", no_args_is_help=True, rich_markup_mode=None)

Out = Annotated[Path, typer.Option(help="The new model's folder.", show_default=False)]
Report = Annotated[Path | None, typer.Option(help="Write counts and losses as JSON.", show_default=False)]
Live = Annotated[
    Path | None, typer.Option(help="Write the curves to this DVCLive folder, while training.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@app.command("sft")
@run_elsewhere("sft")
@across_devices
def train_sft_model(
    data: Annotated[Path, typer.Argument(help="Conversations in any accepted format.", show_default=False)],
    out: Out,
    start: Annotated[
        str,
        typer.Option(
            "--from", help="Folder or Hub id of the model to start from.", parser=Place, metavar="FOLDER|HUB_ID"
        ),
    ] = str(layout.BASE_MODEL),
    held_out: Annotated[
        Path | None,
        typer.Option("--held-out", help="Conversations to evaluate on; never trained on.", show_default=False),
    ] = None,
    report: Report = None,
    live: Live = None,
    json: AsJson = False,
) -> None:
    """Fine-tune a model on conversations (SFT); the loss is on the responses only.

    Example: entropylaw train sft data/selected/sft.jsonl --from models/base --out models/sft
    """
    from corpus.params import read_section
    from corpus.records import data_hash
    from entropylaw.repository.provenance import trace_rows
    from entropylaw.repository.rows import load_rows
    from entropylaw.terminal import show_progress
    from training.sft import SftParams, train_sft

    params = read_section(SftParams, "sft")
    rows = load_rows(data, held_out)
    unseen = [record for record, _ in load_rows(held_out)] if held_out else []
    provenance = trace_rows(layout.SFT, data_hash(row_hash for _, row_hash in rows))
    with show_progress("sft") as progress:
        result = train_sft(
            [record for record, _ in rows],
            start,
            params,
            out,
            progress,
            held_out=unseen,
            live=live,
            provenance=provenance,
            finish=functools.partial(_write_report, report, provenance.version_hash),
        )
    _print(result, out, json)


@app.command("kto")
@run_elsewhere("kto")
@across_devices
def train_kto_model(
    data: Annotated[Path, typer.Argument(help="Preferences in any accepted format.", show_default=False)],
    out: Out,
    start: Annotated[
        str,
        typer.Option("--from", help="Folder or Hub id of the SFT model.", parser=Place, metavar="FOLDER|HUB_ID"),
    ] = str(layout.MODELS / "sft"),
    report: Report = None,
    live: Live = None,
    json: AsJson = False,
) -> None:
    """Align an SFT model with preferences, by KTO.

    Example: entropylaw train kto data/selected/preferences.jsonl --from models/sft --out models/kto
    """
    from corpus.errors import DataError
    from corpus.params import read_section
    from corpus.records import Preference, data_hash
    from entropylaw.repository.provenance import trace_rows
    from entropylaw.repository.rows import load_rows
    from entropylaw.terminal import show_progress
    from training.kto import KtoParams, train_kto

    params = read_section(KtoParams, "kto")
    rows = load_rows(data)
    preferences = [record for record, _ in rows if isinstance(record, Preference)]
    if len(preferences) < len(rows):
        raise DataError(data, "holds conversations, and KTO needs preferences (chosen and rejected answers)")
    provenance = trace_rows(layout.PREFERENCES, data_hash(row_hash for _, row_hash in rows))
    with show_progress("kto") as progress:
        result = train_kto(
            preferences,
            start,
            params,
            out,
            progress,
            live=live,
            provenance=provenance,
            finish=functools.partial(_write_report, report, provenance.version_hash),
        )
    _print(result, out, json, _describe_labels(result))


def _write_report(path: Path | None, version_hash: str | None, result: TrainingReport) -> None:
    """``version_hash``: the data version that the rows are proved to come from; by it the report knows its curves."""
    from corpus.artifacts import write_json

    if path:
        write_json(path, {**_summarise(result), "version_hash": version_hash})


def _summarise(result: TrainingReport) -> dict[str, Any]:
    """The report without its curve, which the DVCLive folder has."""
    return {field.name: getattr(result, field.name) for field in dataclasses.fields(result) if field.name != "curve"}


def _describe_labels(result: KtoReport) -> list[str]:
    lines = [f"{result.desirable_share:.0%} of the answers are desirable"]
    weights = (result.desirable_weight, result.undesirable_weight)
    if weights != (1.0, 1.0):
        lines[0] += ", so desirable ones count {:.3g} times and undesirable ones {:.3g} times".format(*weights)
    if result.one_label_batches:
        lines.append(
            f"warning: {result.one_label_batches} of {result.micro_batches} micro-batches hold one label only; "
            "raise kto.micro_batch_rows, or add answers of the rarer label"
        )
    return lines


def _print(result: TrainingReport, out: Path, json: bool, details: Sequence[str] = ()) -> None:
    from entropylaw.terminal import print_result

    line = (
        f"{out}: {result.method} on {result.rows} rows ({result.rows_dropped} dropped), {result.steps} steps, "
        f"loss {result.first_loss:.4f} to {result.last_loss:.4f}"
    )
    if result.heldout_loss is not None:
        line += f", held out {result.heldout_loss:.4f}"
    if result.tokens_per_second is not None:
        line += f"; {result.tokens_per_second:,.0f} tokens/s"
    unread = result.unread.describe()
    print_result(_summarise(result), json, [line, *([unread] if unread else []), *details])
