"""What every run of a probe shares: its settings, the rows it takes, its optimiser, and what it records."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from corpus.errors import NotAssessedError
from corpus.records import HashedRecord, Record, hash_fraction

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Encoded = TypeVar("Encoded")


@dataclass(frozen=True)
class ProbeParams:
    """The section ``probe`` of params.yaml: ``steps`` optimiser steps of ``batch_rows`` rows each.

    ``max_length``: tokens after which a row is cut. ``learning_rate`` is small and constant: a probe should feel the
    data, not learn it. The first ``skipped_steps`` do not count for L, because Adam's moments settle in them. ``seed``
    decides which rows are taken and, for a model with dropout, what is dropped.
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

    def first_counted_step(self, steps: int) -> int:
        """The first step, from 0, that counts for L in a run of ``steps`` steps: the last one at the latest."""
        return min(self.skipped_steps, steps - 1)


@dataclass(frozen=True, slots=True)
class ProbedRow:
    """One row of a probe, in the order of training.

    ``loss_nats``: mean loss per response token, measured before the step that trains on the row. ``step`` counts from
    0. ``tokens``: response tokens.
    """

    row: int
    hash: str
    source: str
    step: int
    tokens: int
    loss_nats: float


@dataclass(frozen=True)
class ProbeResult:
    """What a probe measured.

    ``l``: mean loss in nats per response token over the steps after the skipped ones. ``curve``: the mean loss of every
    step. ``tokens``: response tokens that ``l`` is a mean over. For preferences see ``PreferenceProbeResult``.
    """

    l: float  # noqa: E741 - the paper's letter
    steps: int
    tokens: int
    curve: tuple[float, ...]
    rows: tuple[ProbedRow, ...]


def choose_probe_rows(records: Sequence[HashedRecord], rows: int, seed: int, trained_from: float) -> list[HashedRecord]:
    """The first ``rows`` records in the order of hash(seed, content), among those the base model was not trained on.

    Records with a hash fraction of at least ``trained_from`` count as trained on. This is coordinated (bottom-k)
    sampling: versions that share 90% of their rows share about 90% of their probe, so a difference in L comes from the
    changed rows and not from the draw.

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
    """The rows of a probe in whole batches: each record with its content hash and what ``encode`` makes of it.

    ``encode`` gives None for a row that cannot be used. Raises NotAssessedError when fewer rows than one batch can be
    probed.
    """
    wanted = params.steps * params.batch_rows
    encoded: list[tuple[Record, str, Encoded]] = []
    # A few rows have no response within max_length. Look a little further, so that the probe keeps its size.
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


def new_optimizer(model: PreTrainedModel, params: ProbeParams) -> torch.optim.AdamW:
    """AdamW without weight decay over the weights that are tuned: all of them, or only those of the adapters."""
    import torch

    tuned = [weight for weight in model.parameters() if weight.requires_grad]
    return torch.optim.AdamW(tuned, lr=params.learning_rate, weight_decay=0.0)
