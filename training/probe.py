"""L: the mean loss of a short first-epoch run from the fixed base model (paper, section 3: a small number of steps)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from corpus.errors import NotAssessedError
from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord, Preference, Record, hash_fraction
from training.chat import EncodedRow, encode_conversation, training_messages
from training.loss import collate_rows, row_token_losses

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Encoded = TypeVar("Encoded")


@dataclass(frozen=True)
class ProbeParams:
    """The short run: ``steps`` optimiser steps of ``batch_rows`` rows, each cut at ``max_length`` tokens.

    The learning rate is small and constant: a probe should feel the data, not learn it. The first
    ``skipped_steps`` are left out of L: there Adam's moments are not settled.
    """

    steps: int = 48
    batch_rows: int = 8
    max_length: int = 256
    learning_rate: float = 1e-4
    skipped_steps: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_rows, self.max_length) < 1 or not 0 <= self.skipped_steps < self.steps:
            raise ValueError("steps, batch_rows and max_length must be positive and skipped_steps below steps")


@dataclass(frozen=True, slots=True)
class ProbedRow:
    """One row of the probe in the order it was trained on; ``loss_nats`` per response token, ``step`` from 0."""

    row: int
    hash: str
    source: str
    step: int
    tokens: int
    loss_nats: float


@dataclass(frozen=True)
class ProbeResult:
    """``l``: mean nats per response token over the steps after the skipped ones. ``curve``: every step's mean.
    For preferences see ``PreferenceProbeResult``.
    """

    l: float  # noqa: E741 - the paper's letter
    steps: int
    tokens: int
    curve: tuple[float, ...]
    rows: tuple[ProbedRow, ...]


def choose_probe_rows(records: Sequence[HashedRecord], rows: int, seed: int, trained_from: float) -> list[HashedRecord]:
    """The first ``rows`` records in the order of hash(seed, content), among those the base model was not trained on.

    Coordinated (bottom-k) sampling: versions that share 90% of their rows share about 90% of their probe, so a
    difference in L comes from the changed rows and not from the draw.

    >>> from corpus.records import Conversation
    >>> records = [(Conversation((), row=i), f"{i:x}0" * 16) for i in range(8)]
    >>> after = choose_probe_rows(records[1:], 4, seed=0, trained_from=1.0)
    >>> before = choose_probe_rows(records, 4, seed=0, trained_from=1.0)
    >>> len({h for _, h in before} & {h for _, h in after}) >= 3
    True
    """

    def key(item: HashedRecord) -> bytes:
        return hashlib.blake2b(f"{seed}:{item[1]}".encode(), digest_size=8).digest()

    # A stable sort: copies of one row keep their file order.
    return sorted((item for item in records if hash_fraction(item[1]) < trained_from), key=key)[:rows]


def take_probe_rows(
    records: Sequence[HashedRecord],
    params: ProbeParams,
    trained_from: float,
    encode: Callable[[Record], Encoded | None],
) -> list[tuple[Record, str, Encoded]]:
    """The rows of a probe, in whole batches, with what ``encode`` makes of them; it gives None for an unusable row.

    Raises NotAssessedError when fewer rows than one batch can be probed.
    """
    wanted = params.steps * params.batch_rows
    encoded: list[tuple[Record, str, Encoded]] = []
    # A few rows have no response within max_length; look a little further so that the probe keeps its size.
    for record, row_hash in choose_probe_rows(records, wanted * 2, params.seed, trained_from):
        row = encode(record)
        if row is not None:
            encoded.append((record, row_hash, row))
        if len(encoded) == wanted:
            break
    steps = len(encoded) // params.batch_rows
    if not steps:
        raise NotAssessedError(
            f"only {len(encoded)} rows can be probed, fewer than one batch of {params.batch_rows}; "
            "add rows or lower probe.batch_rows"
        )
    return encoded[: steps * params.batch_rows]


def probe_loss(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    records: Sequence[HashedRecord],
    params: ProbeParams,
    trained_from: float,
    progress: Progress = ignore_progress,
) -> ProbeResult:
    """Run the probe; of preferences, the one in ``preference_probe``. ``records``: (record, content hash).

    The model is trained in place: pass a fresh one. Raises NotAssessedError when fewer rows than one batch can be
    probed.
    """
    if any(isinstance(record, Preference) for record, _ in records):
        from training.preference_probe import probe_preferences

        return probe_preferences(model, tokenizer, records, params, trained_from, progress)

    def encode(record: Record) -> EncodedRow | None:
        return encode_conversation(tokenizer, training_messages(record), params.max_length)

    rows = take_probe_rows(records, params, trained_from, encode)
    return train_and_record(model, tokenizer.pad_token_id, rows, params, progress)


def new_optimizer(model: PreTrainedModel, params: ProbeParams) -> torch.optim.AdamW:
    """AdamW without decay over the weights that are tuned: all of them, or those of the adapters."""
    import torch

    tuned = [weight for weight in model.parameters() if weight.requires_grad]
    return torch.optim.AdamW(tuned, lr=params.learning_rate, weight_decay=0.0)


def train_and_record(
    model: PreTrainedModel,
    padding_id: int,
    encoded: Sequence[tuple[Record, str, EncodedRow]],
    params: ProbeParams,
    progress: Progress = ignore_progress,
) -> ProbeResult:
    """Train on the rows in the order given, recording each row's loss before the step that uses it."""
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
    # With fewer steps than asked for, at least the last one counts.
    counted = [row for row in probed if row.step >= min(params.skipped_steps, total - 1)]
    tokens = sum(row.tokens for row in counted)
    mean = sum(row.loss_nats * row.tokens for row in counted) / tokens
    return ProbeResult(mean, total, tokens, tuple(curve), tuple(probed))
