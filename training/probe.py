"""L: the mean loss of a short first-epoch run from the fixed base model (paper, section 3: a small number of steps)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord, Preference, Record
from training.chat import EncodedRow, encode_conversation, training_messages
from training.loss import collate_rows, row_token_losses
from training.preference_probe import probe_preferences
from training.probe_run import ProbedRow, ProbeParams, ProbeResult, new_optimizer, take_probe_rows

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
    """Measure L of a data version. Preferences are probed by ``probe_preferences``, conversations here.

    The model is trained in place: pass a fresh one. ``trained_from`` is the base model card's. Raises NotAssessedError
    when fewer rows than one batch can be probed.
    """
    if any(isinstance(record, Preference) for record, _ in records):
        return probe_preferences(model, tokenizer, records, params, trained_from, progress)

    def encode(record: Record) -> EncodedRow | None:
        return encode_conversation(tokenizer, training_messages(record), params.max_length)

    rows = take_probe_rows(records, params, trained_from, encode)
    return train_and_record(model, tokenizer.pad_token_id, rows, params, progress)


def train_and_record(
    model: PreTrainedModel,
    padding_id: int,
    encoded: Sequence[tuple[Record, str, EncodedRow]],
    params: ProbeParams,
    progress: Progress = ignore_progress,
) -> ProbeResult:
    """Train on the rows in the order given, recording each row's loss before the step that trains on it.

    ``encoded``: records with their content hashes and tokens, in whole batches.
    """
    import torch

    torch.manual_seed(params.seed)
    optimizer = new_optimizer(model, params)
    model.train()
    probed: list[ProbedRow] = []
    curve: list[float] = []
    total = len(encoded) // params.batch_rows
    for step in range(total):
        batch = encoded[step * params.batch_rows : (step + 1) * params.batch_rows]
        sums, counts = row_token_losses(model, collate_rows([row for _, _, row in batch], padding_id))
        loss = sums.sum() / counts.sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        curve.append(float(loss.detach()))
        for (record, row_hash, _), row_sum, count in zip(batch, sums.tolist(), counts.tolist(), strict=True):
            probed.append(ProbedRow(record.row, row_hash, record.source, step, count, row_sum / count))
        progress(step + 1, total)
    counted = [row for row in probed if row.step >= params.first_counted_step(total)]
    tokens = sum(row.tokens for row in counted)
    mean = sum(row.loss_nats * row.tokens for row in counted) / tokens
    return ProbeResult(mean, total, tokens, tuple(curve), tuple(probed))
