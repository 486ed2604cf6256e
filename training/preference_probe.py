"""L of preferences: the KTO loss of a short first-epoch run from the base model, and each pair's margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord, Record
from training.chat import EncodedAnswer
from training.loss import collate_rows, row_token_losses
from training.probe_run import (
    ProbedRow,
    ProbeParams,
    ProbeResult,
    count_reading_steps,
    count_steps,
    new_optimizer,
    read_rows,
    take_probe_rows,
)
from training.row_window import encode_answers, read_answer_windows
from training.unread_rows import RowFit, UnreadRows, count_unread, fit_answers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# TRL's default, and that of KTO's authors. It is not kto.beta, because L must not depend on how the data is used later.
BETA = 0.1

# The answers of a row that are read, the chosen one under True, each with the response tokens of the whole answer.
ReadAnswers = dict[bool, tuple[EncodedAnswer, int]]


@dataclass(frozen=True, slots=True)
class ProbedPreference(ProbedRow):
    """One row of the probe.

    ``kto_loss``: mean over the row's answers, measured before the step that trains on them, NaN of a row that was only
    read. The other numbers are the base model's. ``loss_nats`` and the tokens belong to the chosen answer, or to the
    rejected one in a row that has no chosen answer. ``margin_nats``: mean log-probability per token of the chosen
    answer minus that of the rejected one, NaN without a pair. It is per token because the log-probability of a whole
    answer depends mostly on its length.
    """

    kto_loss: float
    margin_nats: float


@dataclass(frozen=True)
class PreferenceProbeResult(ProbeResult):
    """What a probe of preferences measured.

    ``l``: mean KTO loss of the answers after the skipped steps. ``curve``: mean KTO loss of every step. A KTO loss lies
    between 0 and 1 and is 0.5 before training. The base model's numbers are over all rows: ``chosen_loss_nats`` is the
    mean of the rows' ``loss_nats``, weighted by tokens, and ``margin_nats`` the mean of their margins, None without
    pairs.
    """

    rows: tuple[ProbedPreference, ...]
    chosen_loss_nats: float
    margin_nats: float | None


@dataclass(frozen=True, slots=True)
class BatchedAnswer:
    """One answer of a micro-batch: the index of its row in the batch, whether it is the chosen one, and its tokens."""

    row_index: int
    chosen: bool
    encoded: EncodedAnswer


def split_answers(rows: Sequence[dict[bool, EncodedAnswer]]) -> list[BatchedAnswer]:
    """The answers of a micro-batch: all chosen ones, then all rejected ones.

    The KL term pairs each prompt with the answer that comes before it in this list. In this order, that answer belongs
    to another prompt.
    """
    return [
        BatchedAnswer(i, label, row[label]) for label in (True, False) for i, row in enumerate(rows) if label in row
    ]


def answer_logps(
    model: PreTrainedModel, answers: Sequence[BatchedAnswer], padding_id: int, max_length: int, mismatched: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability in nats and number of tokens of each answer, both of shape (answers,).

    ``mismatched``: each prompt is followed by the previous answer of the list, the first prompt by the last answer. TRL
    estimates the KL term on such pairs.
    """
    rows = [
        (answers[i - 1] if mismatched else answer).encoded.after(answer.encoded.prompt_ids, max_length)
        for i, answer in enumerate(answers)
    ]
    sums, counts = row_token_losses(model, collate_rows(rows, padding_id))
    return -sums, counts


def kto_losses(log_ratios: torch.Tensor, kl: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """KTO loss of each answer (equation 7 of the KTO paper, arXiv 2402.01306, as TRL weighs it), shape (answers,).

    ``log_ratios``: log-probability under the policy minus that under the reference. ``kl``: how far the policy has
    moved on mismatched answers, at least 0. ``chosen``: true for chosen answers, false for rejected ones.
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
    """Measure L of preferences: run KTO for a few steps from the base model, which is both policy and reference.

    Rows, steps and learning rate are those of every probe. First the base model reads all probed rows, which gives
    their losses and margins. The reference's log-probabilities are taken before the first step, so that no second model
    is held. The model is trained in place: pass a fresh one. Raises NotAssessedError when fewer rows than one batch can
    be probed.
    """
    fits: list[RowFit] = []

    def read_row(record: Record) -> ReadAnswers | None:
        whole = encode_answers(tokenizer, record)
        fits.append(fit_answers(whole.values(), params.max_length))
        return read_answer_windows(tokenizer, record, whole, params.max_length)

    rows, beyond = take_probe_rows(records, params, trained_from, read_row, _count_tokens)
    steps, reading = count_steps(len(rows), params), count_reading_steps(len(rows), params)
    total = reading + 2 * steps
    padding_id = tokenizer.pad_token_id
    # Without dropout, as in TRL: it would be taken for a distance from the reference.
    base = _read_answers(model, [row for _, _, row in rows], padding_id, params, lambda n, _: progress(n, total))
    policy = _Policy(model, padding_id, params.max_length)
    starts = range(0, steps * params.batch_rows, params.batch_rows)
    read = [{label: answer for label, (answer, _) in row.items()} for _, _, row in rows]
    batches = [split_answers(read[start : start + params.batch_rows]) for start in starts]
    references = []
    for step, part in enumerate(batches):
        references.append(policy.take_reference(part))
        progress(reading + step + 1, total)
    optimizer = new_optimizer(model, params)
    losses: list[list[float]] = []
    kto_losses_of: list[float] = []
    for step, (part, reference) in enumerate(zip(batches, references, strict=True)):
        step_losses = policy.losses(part, reference)
        step_losses.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(step_losses.tolist())
        kto_losses_of += _mean_by_row(part, losses[-1], params.batch_rows)
        progress(reading + steps + step + 1, total)
    kto_losses_of += [math.nan] * (len(rows) - len(kto_losses_of))
    probed = [
        _describe_row(item, base[i], kto_losses_of[i], i // params.batch_rows if i < starts.stop else None)
        for i, item in enumerate(rows)
    ]
    return _summarise(
        losses, probed, params.first_counted_step(steps), count_unread(fits[: len(fits) - (beyond > 0)], beyond)
    )


def _count_tokens(answers: ReadAnswers) -> int:
    """The tokens that are read of a row, its prompt once for each answer."""
    return sum(len(answer.prompt_ids) + len(answer.answer_ids) for answer, _ in answers.values())


@dataclass(frozen=True)
class _Reference:
    """What the base model says of a micro-batch: (answers,) log-probabilities in nats, and tokens of each answer.

    ``mismatched_logps``: of the answers after the wrong prompts, which the KL term is estimated from.
    """

    logps: torch.Tensor
    tokens: torch.Tensor
    mismatched_logps: torch.Tensor


@dataclass(frozen=True)
class _Policy:
    """The model being trained."""

    model: PreTrainedModel
    padding_id: int
    max_length: int

    def take_reference(self, answers: Sequence[BatchedAnswer]) -> _Reference:
        import torch

        with torch.no_grad():
            logps, tokens = self._logps(answers, mismatched=False)
            return _Reference(logps, tokens, self._logps(answers, mismatched=True)[0])

    def losses(self, answers: Sequence[BatchedAnswer], reference: _Reference) -> torch.Tensor:
        """KTO loss of each answer under the model as it is now: (answers,), with gradients."""
        import torch

        with torch.no_grad():
            moved = self._logps(answers, mismatched=True)[0] - reference.mismatched_logps
            kl = moved.mean().clamp(min=0)
        chosen = torch.tensor([answer.chosen for answer in answers], device=reference.logps.device)
        return kto_losses(self._logps(answers, mismatched=False)[0] - reference.logps, kl, chosen)

    def _logps(self, answers: Sequence[BatchedAnswer], mismatched: bool) -> tuple[torch.Tensor, torch.Tensor]:
        return answer_logps(self.model, answers, self.padding_id, self.max_length, mismatched)


def _read_answers(
    model: PreTrainedModel, rows: Sequence[ReadAnswers], padding_id: int, params: ProbeParams, progress: Progress
) -> list[dict[bool, tuple[float, int]]]:
    """For each row, the summed loss in nats and the tokens of the chosen and of the rejected answer."""
    keys = [(i, label) for i, row in enumerate(rows) for label in row]
    answers = [rows[i][label][0] for i, label in keys]
    encoded = [answer.after(answer.prompt_ids, params.max_length) for answer in answers]
    # Pairs have two answers a row: told in rows, so that the progress ends where it should.
    share = len(rows) / len(keys)
    sums, counts = read_rows(
        model, encoded, padding_id, params, lambda done, total: progress(round(done * share), total)
    )
    found: list[dict[bool, tuple[float, int]]] = [{} for _ in rows]
    for (i, label), row_sum, count in zip(keys, sums, counts, strict=True):
        found[i][label] = row_sum, count
    return found


def _mean_by_row(answers: Sequence[BatchedAnswer], losses: Sequence[float], rows: int) -> list[float]:
    """The mean KTO loss of each row's answers in a micro-batch of so many rows; ``losses``: one for each answer."""
    by_row: list[list[float]] = [[] for _ in range(rows)]
    for answer, loss in zip(answers, losses, strict=True):
        by_row[answer.row_index].append(loss)
    return [sum(own) / len(own) for own in by_row]


def _describe_row(
    item: tuple[Record, str, ReadAnswers], base: dict[bool, tuple[float, int]], kto_loss: float, step: int | None
) -> ProbedPreference:
    """What is kept of a row. ``base``: summed loss and tokens of its answers by the base model."""
    record, row_hash, answers = item
    first = True in answers
    per_token = {label: row_sum / count for label, (row_sum, count) in base.items()}
    return ProbedPreference(
        row=record.row,
        hash=row_hash,
        source=record.source,
        step=step,
        tokens=base[first][1],
        response_tokens=answers[first][1],
        loss_nats=per_token[first],
        kto_loss=kto_loss,
        margin_nats=per_token[False] - per_token[True] if len(per_token) == 2 else math.nan,
    )


def _summarise(
    losses: Sequence[Sequence[float]],
    probed: Sequence[ProbedPreference],
    first_counted_step: int,
    unread: UnreadRows,
) -> PreferenceProbeResult:
    """The result of a probe. ``losses``: of each step, one for each answer."""
    counted = [loss for step in losses[first_counted_step:] for loss in step]
    tokens = sum(row.tokens for row in probed)
    margins = [row.margin_nats for row in probed if not math.isnan(row.margin_nats)]
    return PreferenceProbeResult(
        l=sum(counted) / len(counted),
        steps=len(losses),
        tokens=tokens,
        curve=tuple(sum(step) / len(step) for step in losses),
        rows=tuple(probed),
        chosen_loss_nats=sum(row.loss_nats * row.tokens for row in probed) / tokens,
        margin_nats=sum(margins) / len(margins) if margins else None,
        unread=unread,
    )
