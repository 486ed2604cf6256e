"""Stages behind the gate: train sft, train kto, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entropylaw import layout

if TYPE_CHECKING:
    from training.fine_tuning import TrainingReport

app = typer.Typer(help="Fine-tune on the selected rows with TRL.", no_args_is_help=True, rich_markup_mode=None)

Out = Annotated[Path, typer.Option(help="The new model's folder.", show_default=False)]
Report = Annotated[Path | None, typer.Option(help="Write counts and losses as JSON.", show_default=False)]
Curve = Annotated[Path | None, typer.Option(help="Write the loss of each step as CSV.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@app.command("sft")
def train_sft_model(
    data: Annotated[Path, typer.Argument(help="Conversations in any accepted format.", show_default=False)],
    out: Out,
    start: Annotated[str, typer.Option("--from", help="Folder or Hub id of the model to start from.")] = str(
        layout.BASE_MODEL
    ),
    report: Report = None,
    curve: Curve = None,
    json: AsJson = False,
) -> None:
    """Supervised fine-tuning; the loss is on the responses only.

    Example: entropylaw train sft data/selected/sft.jsonl --from models/base --out models/sft
    """
    from corpus.params import read_section
    from entropylaw.measure import load_rows
    from entropylaw.terminal import show_progress
    from training.sft import SftParams, train_sft

    params = read_section(SftParams, "sft")
    records = [record for record, _ in load_rows(data)]
    with show_progress("sft") as progress:
        result = train_sft(records, start, params, out, progress)
    _write(result, out, report, curve, json)


@app.command("kto")
def train_kto_model(
    data: Annotated[Path, typer.Argument(help="Preferences in any accepted format.", show_default=False)],
    out: Out,
    start: Annotated[str, typer.Option("--from", help="Folder or Hub id of the SFT model.")] = str(
        layout.MODELS / "sft"
    ),
    report: Report = None,
    curve: Curve = None,
    json: AsJson = False,
) -> None:
    """Preference alignment with KTO from an SFT model.

    Example: entropylaw train kto data/selected/preferences.jsonl --from models/sft --out models/kto
    """
    from corpus.errors import DataError
    from corpus.params import read_section
    from corpus.records import Preference
    from entropylaw.measure import load_rows
    from entropylaw.terminal import show_progress
    from training.kto import KtoParams, train_kto

    params = read_section(KtoParams, "kto")
    records = [record for record, _ in load_rows(data)]
    preferences = [record for record in records if isinstance(record, Preference)]
    if len(preferences) < len(records):
        raise DataError(data, "holds conversations, and KTO needs preferences (chosen and rejected answers)")
    with show_progress("kto") as progress:
        result = train_kto(preferences, start, params, out, progress)
    _write(result, out, report, curve, json)


def _write(result: TrainingReport, out: Path, report: Path | None, curve: Path | None, json: bool) -> None:
    import dataclasses

    from corpus.artifacts import write_json
    from entropylaw.terminal import print_result
    from monitor.probe_files import write_step_curve

    if curve:
        write_step_curve(curve, "loss", result.curve)
    summary: dict[str, Any] = {
        field.name: getattr(result, field.name) for field in dataclasses.fields(result) if field.name != "curve"
    }
    if report:
        write_json(report, summary)
    print_result(
        summary,
        json,
        [f"{out}: {result.method} on {result.rows} rows ({result.rows_dropped} dropped), {result.steps} steps, "
         f"loss {result.first_loss:.4f} to {result.last_loss:.4f}"],
    )  # fmt: skip


def evaluate(
    data: Annotated[Path, typer.Argument(help="Held-out conversations.", show_default=False)] = layout.HELDOUT,
    model: Annotated[
        list[Path] | None,
        typer.Option(help="Model folders, the released one last; by default what the pipeline trained."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the result to this file.", show_default=False)] = None,
    json: AsJson = False,
) -> None:
    """Z: minus the mean loss on held-out conversations, of every trained model; the last one's is the version's.

    Example: entropylaw evaluate data/heldout.jsonl --model models/sft --json
    """
    from corpus.artifacts import read_json, write_json
    from corpus.errors import EntropylawError
    from corpus.params import read_section
    from entropylaw.evidence import read_datasets
    from entropylaw.measure import load_rows
    from entropylaw.terminal import print_result
    from monitor.assess import HELDOUT
    from training.fine_tuning import quiet_libraries
    from training.heldout import EvaluationParams, evaluate_heldout

    folders = model or [layout.trained_model(dataset) for dataset in read_datasets()]
    for folder in folders:
        if not folder.is_dir():
            raise EntropylawError(f"{folder}: no model there; run `dvc repro` or name one with --model")
    params = read_section(EvaluationParams, "evaluation")
    records = [record for record, _ in load_rows(data)]
    quiet_libraries()
    results = {folder.name: evaluate_heldout(folder, records, params) for folder in folders}
    last = results[folders[-1].name]
    document = {
        # Which data the models were approved on, so that a Z is never booked on another version.
        "data_hash": read_json(layout.APPROVAL)["data_hash"] if model is None and layout.APPROVAL.exists() else None,
        "z": {HELDOUT: last.z},
        "models": results,
    }
    if out:
        write_json(out, document)
    print_result(
        document,
        json,
        [f"{name}: Z {result.z:.4f} ({result.loss_nats:.4f} nats per token on {result.rows} held-out rows)"
         for name, result in results.items()],
    )  # fmt: skip
