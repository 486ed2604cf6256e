"""L of preferences: the KTO loss of a short first-epoch run from the base model, and each pair's margin."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord, Preference, Record
from training.chat import EncodedAnswer, encode_answer
from training.loss import collate_rows, row_token_losses
from training.probe_run import ProbedRow, ProbeParams, ProbeResult, new_optimizer, take_probe_rows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# TRL's default, and that of KTO's authors. It is not kto.beta, because L must not depend on how the data is used later.
BETA = 0.1


@dataclass(frozen=True, slots=True)
class ProbedPreference(ProbedRow):
    """One row of the probe.

    ``kto_loss``: mean over the row's answers, measured before the step that trains on them. The other numbers are the
    base model's. ``loss_nats`` and ``tokens`` belong to the chosen answer, or to the rejected one in a row that has no
    chosen answer. ``margin_nats``: mean log-probability per token of the chosen answer minus that of the rejected one,
    NaN without a pair. It is per token because the log-probability of a whole answer depends mostly on its length.
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


def encode_preference(
    tokenizer: PreTrainedTokenizerBase, record: Record, max_length: int
) -> dict[bool, EncodedAnswer] | None:
    """The row's answers as tokens: the chosen one under True, the rejected one under False.

    None for a conversation, and for a row whose prompt leaves no room for an answer within ``max_length`` tokens.
    """
    if not isinstance(record, Preference):
        return None
    answers = {}
    for label, messages in ((True, record.chosen), (False, record.rejected)):
        encoded = encode_answer(tokenizer, record.prompt, messages, max_length) if messages else None
        if encoded is not None:
            answers[label] = encoded
    return answers or None


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

    Rows, steps and learning rate are those of every probe. The reference's log-probabilities are taken before the
    first step, so that no second model is held. The model is trained in place: pass a fresh one. Raises
    NotAssessedError when fewer rows than one batch can be probed.
    """
    rows = take_probe_rows(
        records, params, trained_from, lambda record: encode_preference(tokenizer, record, params.max_length)
    )
    batches = [rows[i : i + params.batch_rows] for i in range(0, len(rows), params.batch_rows)]
    answers = [split_answers([row for _, _, row in batch]) for batch in batches]
    policy = _Policy(model, tokenizer.pad_token_id, params.max_length)
    # Without dropout, as in TRL: it would be taken for a distance from the reference.
    model.eval()
    references = []
    for step, part in enumerate(answers):
        references.append(policy.take_reference(part))
        progress(step + 1, 2 * len(batches))
    optimizer = new_optimizer(model, params)
    losses: list[list[float]] = []
    probed: list[ProbedPreference] = []
    for step, (batch, part, reference) in enumerate(zip(batches, answers, references, strict=True)):
        step_losses = policy.losses(part, reference)
        step_losses.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(step_losses.tolist())
        probed += _record_rows(step, batch, part, losses[-1], reference)
        progress(len(batches) + step + 1, 2 * len(batches))
    return _summarise(losses, probed, params.first_counted_step(len(batches)))


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


def _record_rows(
    step: int,
    batch: Sequence[tuple[Record, str, dict[bool, EncodedAnswer]]],
    answers: Sequence[BatchedAnswer],
    losses: Sequence[float],
    reference: _Reference,
) -> Iterator[ProbedPreference]:
    """What is kept of each row of a micro-batch; ``losses``: one for each answer."""
    tokens: list[int] = reference.tokens.tolist()
    logps_per_token: list[float] = (reference.logps / reference.tokens).tolist()
    for row_index, (record, row_hash, _) in enumerate(batch):
        own = {answer.chosen: i for i, answer in enumerate(answers) if answer.row_index == row_index}
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


def _summarise(
    losses: Sequence[Sequence[float]], probed: Sequence[ProbedPreference], first_counted_step: int
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
    )
