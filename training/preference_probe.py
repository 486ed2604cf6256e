"""L of preferences: the KTO loss of a short first-epoch run from the base model, and each pair's margin under it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord, Preference, Record
from training.chat import EncodedAnswer, encode_answer
from training.loss import collate_rows, row_token_losses
from training.probe import ProbedRow, ProbeParams, ProbeResult, new_optimizer, take_probe_rows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# TRL's default, and what the authors of KTO use. Not the training's own: L must not move with how the data is used.
BETA = 0.1


@dataclass(frozen=True, slots=True)
class ProbedPreference(ProbedRow):
    """One row of the probe; ``kto_loss`` is the mean over its answers, recorded before the step that uses them.

    ``loss_nats`` and ``tokens`` are of the chosen answer (of the rejected where there is no other), and
    ``margin_nats`` is the mean log-probability of a token of the chosen answer minus that of the rejected, nan without
    a pair; both under the base model. Per token, because whole answers differ in log-probability by their lengths
    above all.
    """

    kto_loss: float
    margin_nats: float


@dataclass(frozen=True)
class PreferenceProbeResult(ProbeResult):
    """``l`` and ``curve`` are KTO losses, between 0 and 1 and 0.5 before training; ``l`` is the mean over the answers
    after the skipped steps. ``chosen_loss_nats``: mean of the rows' ``loss_nats``, by token; ``margin_nats``: mean of
    the rows' margins, None without pairs; both over all rows: the base model, which gives them, has no steps to skip.
    """

    rows: tuple[ProbedPreference, ...]
    chosen_loss_nats: float
    margin_nats: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a micro-batch: the place of its row in the batch, its label, and its tokens."""

    place: int
    chosen: bool
    encoded: EncodedAnswer


def encode_preference(
    tokenizer: PreTrainedTokenizerBase, record: Record, max_length: int
) -> dict[bool, EncodedAnswer] | None:
    """The row's answers by label, true for the chosen; None when its prompt leaves no room for one."""
    if not isinstance(record, Preference):
        return None
    answers = {}
    for label, messages in ((True, record.chosen), (False, record.rejected)):
        encoded = encode_answer(tokenizer, record.prompt, messages, max_length) if messages else None
        if encoded is not None:
            answers[label] = encoded
    return answers or None


def split_answers(rows: Sequence[dict[bool, EncodedAnswer]]) -> list[Answer]:
    """The answers of a micro-batch: first all chosen, then all rejected, so that no two of a row are neighbours.

    The KL term pairs each prompt with the answer before it, and that one must belong to another prompt.
    """
    return [Answer(i, label, row[label]) for label in (True, False) for i, row in enumerate(rows) if label in row]


def answer_logps(
    model: PreTrainedModel, answers: Sequence[Answer], padding_id: int, max_length: int, mismatched: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability in nats and number of tokens of each answer, both of shape (answers,).

    ``mismatched``: after each prompt stands the answer before, in a circle: TRL estimates the KL term on these.
    """
    rows = [
        (answers[i - 1] if mismatched else answer).encoded.after(answer.encoded.prompt_ids, max_length)
        for i, answer in enumerate(answers)
    ]
    sums, counts = row_token_losses(model, collate_rows(rows, padding_id))
    return -sums, counts


def kto_losses(log_ratios: torch.Tensor, kl: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """KTO loss of each answer (equation 7 of the KTO paper, arXiv 2402.01306, as TRL weighs it), shape (answers,).

    ``log_ratios``: log-probability under the policy minus that under the reference; ``kl``: how far the policy has
    moved on the mismatched answers, not negative; ``chosen``: the labels.
    """
    import torch

    return 1 - torch.sigmoid(BETA * torch.where(chosen, log_ratios - kl, kl - log_ratios))


def probe_preferences(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    records: Sequence[HashedRecord],
    params: ProbeParams,
    trained_from: float,
    progress: Progress = ignore_progress,
) -> PreferenceProbeResult:
    """Run KTO from the base model, which is policy and reference, for a few steps. ``records``: (record, content hash).

    Rows, steps and learning rate are those of every probe. The reference's log-probabilities are taken before the
    first step, so that no second model is held. The model is trained in place: pass a fresh one. Raises
    NotAssessedError when fewer rows than one batch can be probed.
    """
    import torch

    rows = take_probe_rows(
        records, params, trained_from, lambda record: encode_preference(tokenizer, record, params.max_length)
    )
    batches = [rows[i : i + params.batch_rows] for i in range(0, len(rows), params.batch_rows)]
    answers = [split_answers([row for _, _, row in batch]) for batch in batches]

    def logps(step: int, mismatched: bool) -> tuple[torch.Tensor, torch.Tensor]:
        return answer_logps(model, answers[step], tokenizer.pad_token_id, params.max_length, mismatched)

    # Without dropout, as in TRL: it would be taken for a distance from the reference.
    model.eval()
    reference, reference_kl = [], []
    with torch.no_grad():
        for step in range(len(batches)):
            reference.append(logps(step, mismatched=False))
            reference_kl.append(logps(step, mismatched=True)[0])
            progress(step + 1, 2 * len(batches))

    optimizer = new_optimizer(model, params)
    probed: list[ProbedPreference] = []
    curve: list[float] = []
    counted: list[float] = []
    for step, batch in enumerate(batches):
        before, tokens = reference[step]
        with torch.no_grad():
            kl = (logps(step, mismatched=True)[0] - reference_kl[step]).mean().clamp(min=0)
        chosen = torch.tensor([answer.chosen for answer in answers[step]], device=before.device)
        losses = kto_losses(logps(step, mismatched=False)[0] - before, kl, chosen)
        losses.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        values = losses.tolist()
        curve.append(sum(values) / len(values))
        # With fewer steps than asked for, at least the last one counts.
        if step >= min(params.skipped_steps, len(batches) - 1):
            counted += values
        probed += _record_rows(step, batch, answers[step], values, (before / tokens).tolist(), tokens.tolist())
        progress(len(batches) + step + 1, 2 * len(batches))
    total = sum(row.tokens for row in probed)
    margins = [row.margin_nats for row in probed if not math.isnan(row.margin_nats)]
    return PreferenceProbeResult(
        l=sum(counted) / len(counted),
        steps=len(batches),
        tokens=total,
        curve=tuple(curve),
        rows=tuple(probed),
        chosen_loss_nats=sum(row.loss_nats * row.tokens for row in probed) / total,
        margin_nats=sum(margins) / len(margins) if margins else None,
    )


def _record_rows(
    step: int,
    batch: Sequence[tuple[Record, str, dict[bool, EncodedAnswer]]],
    answers: Sequence[Answer],
    losses: Sequence[float],
    logps_per_token: Sequence[float],
    tokens: Sequence[int],
) -> Iterator[ProbedPreference]:
    """What is kept of each row of a batch; the last three arguments have one value for each answer."""
    for place, (record, row_hash, _) in enumerate(batch):
        own = {answer.chosen: i for i, answer in enumerate(answers) if answer.place == place}
        first = own[True] if True in own else own[False]
        yield ProbedPreference(
            row=record.row,
            hash=row_hash,
            source=record.source,
            step=step,
            tokens=tokens[first],
            loss_nats=-logps_per_token[first],
            kto_loss=sum(losses[i] for i in own.values()) / len(own),
            margin_nats=logps_per_token[own[True]] - logps_per_token[own[False]] if len(own) == 2 else math.nan,
        )
