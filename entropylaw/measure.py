"""The commands that measure a data version: prepare, compress, consistency, base-model, probe, calibrate."""

from __future__ import annotations

import io
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from corpus.artifacts import atomic_writer, write_json
from corpus.params import read_section
from entropylaw.options import AsJson, Data, Engine, EngineChoice, HeldOut, Out, WorkerCount, count_workers
from entropylaw.pipeline_command import Place
from entropylaw.printing import note
from entropylaw.probe_memory import explain_probe_memory
from entropylaw.probed_models import find_unwatched_second, load_models
from entropylaw.repository.layout import BASE_MODEL, PREFERENCES, SFT
from entropylaw.repository.rows import held_out_hashes, open_rows, stream_texts, tell_unread
from entropylaw.terminal import count_rows, print_result, show_progress


def prepare(
    out: Annotated[Path, typer.Option(help="Where the canonical rows go, as JSON lines.", show_default=False)],
    data: Annotated[
        Path | None,
        typer.Argument(
            help="A data file in any accepted format; or a folder, a pattern in quotes, hf://OWNER/NAME@REVISION.",
            show_default="that of --dataset in params.yaml",
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Where counts and dropped rows go.", show_default=False)] = None,
    dataset: Annotated[
        str | None, typer.Option(help=f"{SFT}: only conversations; {PREFERENCES}: only preferences.")
    ] = None,
    held_out: HeldOut = None,
    workers: WorkerCount = "auto",
    engine: Engine = EngineChoice.processes,
    json: AsJson = False,
) -> None:
    """Write the rows of a data file in canonical form; list every row that is left out, with its reason.

    Example: entropylaw prepare data/sft.parquet --out data/prepared/sft.jsonl --json
    """
    from corpus.files import describe_left_out, describe_other_shards
    from corpus.prepare import PrepareParams, prepare_file
    from corpus.prepared_pieces import MOST_PROCESSES, is_worth_sharing
    from corpus.stored_rows import StoredRows
    from corpus.workers import IN_THIS_THREAD, start_workers
    from entropylaw.repository.datasets import KINDS, locate_dataset, reading_for
    from entropylaw.repository.evaluation_sets import LEAKS, LeakSearch, list_sets, tell_leaks

    if data is None:
        data = locate_dataset(dataset)
    params, hashes = read_section(PrepareParams, "prepare"), held_out_hashes(held_out)
    reading, kind = reading_for(data, dataset), KINDS.get(dataset or "")
    count = count_workers(workers, None if engine is EngineChoice.ray else MOST_PROCESSES)
    starting = start_workers(engine.value, count) if is_worth_sharing(data) else nullcontext(IN_THIS_THREAD)
    with starting as started:
        with show_progress("prepare") as progress:
            result = prepare_file(data, out, params, hashes, kind, progress, reading, started)
        if report and (search := LeakSearch(list_sets(held_out))).names:
            with show_progress(f"prepare: {LEAKS}") as progress:
                result = replace(result, leaks=search.find(StoredRows(out), progress, started))
            tell_leaks(data, result.leaks)
    note(*filter(None, (describe_other_shards(data), describe_left_out(data))))
    tell_unread(data, result.unread_keys)
    if report:
        write_json(report, result)
    dropped = ", ".join(f"{count} {reason}" for reason, count in result.dropped_counts.items()) or "none"
    several = f" of {len(result.files)} files" if result.files else ""
    kept = f"{result.rows_kept} of {result.rows_read} rows{several} kept"
    print_result(result, json, [f"{data}: {result.format}, {kept} (left out: {dropped})"])


def compress(
    data: Data,
    out: Out = None,
    workers: WorkerCount = "auto",
    engine: Engine = EngineChoice.threads,
    json: AsJson = False,
) -> None:
    """Measure R, the compression ratio: as in the paper, and over a long window.

    Example: entropylaw compress data/sft.jsonl --json
    """
    from corpus.workers import start_workers
    from monitor.measures.compression import CompressionParams, profile_texts

    params, count = read_section(CompressionParams, "compression"), count_workers(workers)
    with show_progress("compress") as progress:
        texts = count_rows(stream_texts(data), progress)
        with start_workers(engine.value, count) as started:
            # Without workers, R has threads of its own, which compress the long window too.
            has_threads = engine is EngineChoice.threads
            result = profile_texts(texts, params, count if has_threads else None, None if has_threads else started)
    if out:
        write_json(out, result)
    ratios = f"R {result.r:.3f}, long R {result.r_long:.3f}"
    print_result(result, json, [f"{data}: {ratios} ({result.rows} rows)"])


def consistency(
    data: Data,
    out: Out = None,
    rows: Annotated[
        Path | None, typer.Option(help="Write each row's agreement to this NumPy file.", show_default=False)
    ] = None,
    workers: WorkerCount = "auto",
    engine: Engine = EngineChoice.threads,
    json: AsJson = False,
) -> None:
    """Measure C, whether answers belong to their prompts; also count duplicates and contradictions.

    Example: entropylaw consistency data/sft.jsonl --json
    """
    import numpy as np

    from corpus.workers import start_workers
    from monitor.measures.consistency import MOST_THREADS, ConsistencyParams, profile_consistency

    params = read_section(ConsistencyParams, "consistency")
    count = count_workers(workers, MOST_THREADS if engine is EngineChoice.threads else None)
    with show_progress("consistency") as progress:
        records = open_rows(data)
        with start_workers(engine.value, count) as started:
            result, agreement = profile_consistency(records, params, progress, started)
    if rows:
        # Six decimals: the last bits of a sum differ between processors and must not make another file. By way of
        # memory, because NumPy writes to a file behind Python's back and does not say why it cannot.
        content = io.BytesIO()
        np.save(content, agreement.round(6).astype(np.float32))
        with atomic_writer(rows, "wb") as handle:
            handle.write(content.getbuffer())
    if out:
        write_json(out, result)
    line = (
        f"{data}: agreement C {result.agreement:.3f}; {result.exact_duplicates} exact and "
        f"{result.near_duplicates} near-duplicates, {result.contradictions} contradictions in {result.rows} rows"
    )
    if result.flipped_pairs is not None:
        line += f"; {result.flipped_pairs} flipped and {result.equal_pairs} equal pairs"
    print_result(result, json, [line])


def base_model(
    data: Data,
    out: Annotated[Path, typer.Option(help="The model's folder.")] = BASE_MODEL,
    held_out: HeldOut = None,
    json: AsJson = False,
) -> None:
    """Make the fixed model that every version is probed from: trained on the baseline, or pretrained (params.yaml).

    Example: entropylaw base-model data/baseline.jsonl --out models/base
    """
    from corpus.records import data_hash
    from corpus.row_facts import hashes_of
    from training.base_model import build_base_model
    from training.base_model_params import BaseModelParams
    from training.fine_tuning import quiet_libraries

    params = read_section(BaseModelParams, "base_model")
    quiet_libraries()
    with show_progress("base model") as progress:
        records = open_rows(data, held_out)
        card = build_base_model(records, data_hash(hashes_of(records)), params, out, progress)
    loss = "" if card.last_loss_nats is None else f", loss {card.first_loss_nats:.2f} to {card.last_loss_nats:.2f} nats"
    print_result(card, json, [f"{out}: {card.parameters:,} parameters, {card.tokens:,} tokens{loss}"])


def probe(
    data: Data,
    base: Annotated[
        str,
        typer.Option(
            help="Folder of the base model, or any model folder or Hub id.", parser=Place, metavar="FOLDER|HUB_ID"
        ),
    ] = str(BASE_MODEL),
    out: Out = None,
    curve: Annotated[Path | None, typer.Option(help="Write the loss of each step as CSV.", show_default=False)] = None,
    rows: Annotated[Path | None, typer.Option(help="Write the loss of each row as CSV.", show_default=False)] = None,
    json: AsJson = False,
) -> None:
    """Measure L, the mean loss of a short first-epoch run from the base model; for preferences, its KTO loss.

    Example: entropylaw probe data/sft.jsonl --base models/base --json
    """
    from monitor.measures.probe_files import (
        PreferenceProbeSummary,
        summarise_probe,
        write_probe_curve,
        write_probe_rows,
    )
    from monitor.measures.second_losses import read_by_second
    from training.fine_tuning import quiet_libraries
    from training.probe import probe_loss
    from training.probe_run import ProbeParams
    from training.second_model import SecondModelParams

    params = read_section(ProbeParams, "probe")
    note(*find_unwatched_second(read_section(SecondModelParams, "second_model")))
    quiet_libraries()
    with show_progress("probe") as progress, explain_probe_memory("probe", params):
        records = open_rows(data)
        models = load_models(base)
        result = probe_loss(models.model, models.tokenizer, records, params, models.card.trained_from, progress)
    second = None
    if models.second:
        numbers, hashes = zip(*((row.row, row.hash) for row in result.rows), strict=True)
        with show_progress("second model") as progress:
            second = read_by_second(models.second, records, numbers, hashes, progress)
    summary = summarise_probe(result, models.card.identity, second)
    if rows:
        write_probe_rows(rows, result.rows, second)
    if curve:
        write_probe_curve(curve, result)
    if out:
        write_json(out, summary)
    unit = "(KTO loss)" if isinstance(summary, PreferenceProbeSummary) else "nats per token"
    unread = result.unread.describe()
    line = f"{data}: L {result.l:.4f} {unit} over {result.steps} steps" + (f" ({unread})" if unread else "")
    lines = [line]
    if summary.second:
        mean = "" if summary.second.loss_nats is None else f", {summary.second.loss_nats:.4f} nats per token"
        lines.append(f"second model: {summary.second.rows} of the {summary.rows} probed rows read{mean}")
    print_result(summary, json, lines)


def calibrate(
    data: Data,
    base: Annotated[Path, typer.Option(help="Folder of the base model.")] = BASE_MODEL,
    held_out: HeldOut = None,
    out: Out = None,
    json: AsJson = False,
) -> None:
    """Measure what is normal here: the noise of L, benign updates, and small runs to fit the entropy law on.

    Example: entropylaw calibrate data/baseline.jsonl --base models/base --out results/calibration.json
    """
    from entropylaw import __version__
    from monitor.calibration.benign_updates import describe_updates
    from monitor.calibration.calibrate import calibrate
    from monitor.calibration.cost import CalibrationCost, describe_cost
    from monitor.calibration.kept_runs import keep_until_done
    from monitor.calibration.params import CalibrationParams
    from monitor.law.entropy_law import fit_entropy_law
    from monitor.measures.compression import CompressionParams
    from training.fine_tuning import CHECKPOINTS, quiet_libraries
    from training.probe_run import ProbeParams

    def announce(cost: CalibrationCost) -> None:
        note(f"calibration: {describe_cost(cost)}; if interrupted, it goes on where it stopped")

    params = read_section(CalibrationParams, "calibration")
    probe_params, compression = read_section(ProbeParams, "probe"), read_section(CompressionParams, "compression")
    records = open_rows(data, held_out)
    quiet_libraries()
    # Beside the training checkpoints: ignored by Git, and out of reach of DVC, which deletes outputs before it starts.
    with keep_until_done(CHECKPOINTS.parent / "calibration") as kept:
        with show_progress("calibration: steps") as progress, explain_probe_memory("calibration", probe_params):
            # Another version of the tool may measure otherwise.
            runs = kept / __version__
            result = calibrate(records, str(base), probe_params, compression, params, progress, runs, announce)
        if out:
            write_json(out, result)
    noise = f"L over {len(result.noise_l)} seeds {min(result.noise_l):.3f} to {max(result.noise_l):.3f}"
    law = fit_entropy_law(result.points).sentence
    print_result(result, json, [f"{data}: {noise}. {describe_updates(result.updates)} {law}"])
