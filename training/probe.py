"""L: the mean loss of a short first-epoch run from the fixed base model (paper, section 3: a small number of steps)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord, Preference, Record
from training.chat import EncodedRow, encode_record
from training.loss import collate_rows, row_token_losses
from training.preference_probe import probe_preferences
from training.probe_run import (
    ProbeCurve,
    ProbedRow,
    ProbeParams,
    ProbeResult,
    count_reading_steps,
    count_steps,
    new_optimizer,
    read_rows,
    take_probe_rows,
)
from training.row_window import ReadRow, read_window
from training.threads import same_bits
from training.unread_rows import RowFit, count_unread, fit_row

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def probe_loss(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    records: Sequence[HashedRecord],
    params: ProbeParams,
    trained_from: float,
    progress: Progress = ignore_progress,
) -> ProbeResult:
    """Measure L of a data version. Preferences are probed by ``probe_preferences``.

    First the model reads all probed rows as it is, which gives each row's loss. Then it is trained on the first of
    them, in place: pass a fresh one. ``trained_from`` is the base model card's. Raises NotAssessedError when fewer
    rows than one batch can be probed.

    A small model on a CPU gives the same bits on any number of threads (`same_bits`).
    """
    is_pairs = any(isinstance(record, Preference) for record, _ in records)
    with same_bits(model):
        return (probe_preferences if is_pairs else _probe_conversations)(
            model, tokenizer, records, params, trained_from, progress
        )


def _probe_conversations(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    records: Sequence[HashedRecord],
    params: ProbeParams,
    trained_from: float,
    progress: Progress,
) -> ProbeResult:
    fits: list[RowFit] = []

    def read_row(record: Record) -> ReadRow | None:
        whole = encode_record(tokenizer, record)
        fits.append(fit_row(whole, params.max_length))
        return read_window(tokenizer, record, whole, params.max_length)

    rows, beyond = take_probe_rows(records, params, trained_from, read_row, lambda row: len(row.encoded.ids))
    encoded = [row.encoded for _, _, row in rows]
    steps, reading = count_steps(len(rows), params), count_reading_steps(len(rows), params)
    padding_id = tokenizer.pad_token_id
    sums, counts = read_rows(model, encoded, padding_id, params, lambda done, _: progress(done, reading + steps))
    trained = encoded[: steps * params.batch_rows]
    run = train_and_record(
        model, padding_id, trained, params, lambda done, _: progress(reading + done, reading + steps)
    )
    probed = (
        ProbedRow(
            record.row,
            row_hash,
            record.source,
            i // params.batch_rows if i < len(trained) else None,
            counts[i],
            row.response_tokens,
            sums[i] / counts[i],
        )
        for i, (record, row_hash, row) in enumerate(rows)
    )
    return ProbeResult(
        run.l,
        steps,
        run.tokens,
        run.curve,
        tuple(probed),
        unread=count_unread(fits[: len(fits) - (beyond > 0)], beyond),
    )


def train_and_record(
    model: PreTrainedModel,
    padding_id: int,
    encoded: Sequence[EncodedRow],
    params: ProbeParams,
    progress: Progress = ignore_progress,
) -> ProbeCurve:
    """Train on the rows in the order given, recording each step's loss before it. ``encoded``: in whole batches."""
    import torch

    torch.manual_seed(params.seed)
    optimizer = new_optimizer(model, params)
    model.train()
    curve: list[float] = []
    tokens: list[int] = []
    total = len(encoded) // params.batch_rows
    for step in range(total):
        batch = encoded[step * params.batch_rows : (step + 1) * params.batch_rows]
        sums, counts = row_token_losses(model, collate_rows(batch, padding_id))
        loss = sums.sum() / counts.sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        curve.append(float(loss.detach()))
        tokens.append(int(counts.sum()))
        progress(step + 1, total)
    first = params.first_counted_step(total)
    counted = sum(tokens[first:])
    mean = sum(loss * count for loss, count in zip(curve[first:], tokens[first:], strict=True)) / counted
    return ProbeCurve(mean, counted, tuple(curve))
