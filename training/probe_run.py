"""What every run of a probe shares: its settings, the rows it takes, its optimiser, and what it records."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from corpus.errors import NotAssessedError
from corpus.progress import Progress
from corpus.records import HashedRecord, Record
from corpus.row_facts import hashes_of
from corpus.row_sides import key_fraction
from corpus.side_facts import side_facts_of
from training.chat import EncodedRow
from training.loss import collate_rows, row_token_losses
from training.unread_rows import UnreadRows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Encoded = TypeVar("Encoded")
# A step computes gradients too: three times the work of reading a row (Kaplan et al., 2020, table 1: 6 to 2).
TRAINING_COST = 3


@dataclass(frozen=True)
class ProbeParams:
    """The section ``probe`` of params.yaml: ``steps`` optimiser steps of ``batch_rows`` rows each.

    ``rows``: so many rows are read by the base model before the run, the rows of the run among them. ``max_length``:
    tokens that are read of a row at most. ``learning_rate`` is small and constant: a probe should feel the
    data, not learn it. The first ``skipped_steps`` do not count for L, because Adam's moments settle in them. ``seed``
    decides which rows are taken and, for a model with dropout, what is dropped. ``tokens``: a budget of the model's
    work, so that a large model's probe takes no longer on long rows: a token that is read counts once, and one that is
    trained on ``TRAINING_COST`` times more. None is no limit. One batch is always taken.
    """

    ADDED: ClassVar[tuple[str, ...]] = ("tokens",)

    steps: int = 48
    batch_rows: int = 8
    rows: int = 600
    max_length: int = 256
    learning_rate: float = 1e-4
    skipped_steps: int = 4
    seed: int = 0
    tokens: int | None = None

    def __post_init__(self) -> None:
        smallest = min(self.steps, self.batch_rows, self.rows, self.max_length)
        if smallest < 1 or not 0 <= self.skipped_steps < self.steps:
            raise ValueError("steps, batch_rows, rows and max_length must be positive and skipped_steps below steps")
        if self.tokens is not None and self.tokens < 1:
            raise ValueError("tokens must be positive, or null for no limit")

    @property
    def trained_rows(self) -> int:
        """Rows that the run trains on, where there are enough."""
        return self.steps * self.batch_rows

    @property
    def read_rows(self) -> int:
        """Rows that the base model reads before the run, where there are enough."""
        return max(self.rows, self.trained_rows)

    def first_counted_step(self, steps: int) -> int:
        """The first step, from 0, that counts for L in a run of ``steps`` steps: the last one at the latest."""
        return min(self.skipped_steps, steps - 1)


@dataclass(frozen=True, slots=True)
class ProbedRow:
    """One row of a probe. The rows that are trained on come first, in the order of training.

    ``loss_nats``: mean loss per response token by the base model, before any training: equal rows have equal losses in
    every version. ``step``: the one that trained on the row, from 0; None of a row that was only read. ``tokens``: the
    response tokens that were read, of ``response_tokens`` that the row has.
    """

    row: int
    hash: str
    source: str
    step: int | None
    tokens: int
    response_tokens: int
    loss_nats: float


@dataclass(frozen=True)
class ProbeCurve:
    """A training run: ``l``, and the mean loss of every step before the step trains on it.

    ``tokens``: response tokens that ``l`` is a mean over.
    """

    l: float  # noqa: E741 - the paper's letter
    tokens: int
    curve: tuple[float, ...]


@dataclass(frozen=True)
class ProbeResult:
    """What a probe measured.

    ``l``: mean loss in nats per response token over the steps after the skipped ones, in training. ``curve``: the mean
    loss of every step. ``tokens``: response tokens that ``l`` is a mean over. ``rows``: each with its loss by the base
    model. ``unread``: of how many rows something was not read. For preferences see ``PreferenceProbeResult``.
    """

    l: float  # noqa: E741 - the paper's letter
    steps: int
    tokens: int
    curve: tuple[float, ...]
    rows: tuple[ProbedRow, ...]
    unread: UnreadRows = field(default=UnreadRows(), kw_only=True)

    @property
    def tokens_read_share(self) -> float:
        """The share of the rows' response tokens that were read."""
        return sum(row.tokens for row in self.rows) / sum(row.response_tokens for row in self.rows)


def choose_probe_rows(records: Sequence[HashedRecord], rows: int, seed: int, trained_from: float) -> list[HashedRecord]:
    """The first ``rows`` records in the order of hash(seed, question), among those the base model was not trained on.

    Records whose question has a key fraction of at least ``trained_from`` count as trained on. This is coordinated
    (bottom-k) sampling: versions that share 90% of their rows share about 90% of their probe, so a difference in L
    comes from the changed rows and not from the draw. A row whose answer was edited stays in the probe.

    >>> from corpus.records import Conversation, Message
    >>> records = [(Conversation((Message("user", f"{i}"),), row=i), f"{i:x}0" * 16) for i in range(8)]
    >>> after = choose_probe_rows(records[1:], 4, seed=0, trained_from=1.0)
    >>> before = choose_probe_rows(records, 4, seed=0, trained_from=1.0)
    >>> len({h for _, h in before} & {h for _, h in after}) >= 3
    True
    """

    def draw() -> Iterator[tuple[bytes, str, int]]:
        questions = side_facts_of(records).question
        for i, (key, row_hash) in enumerate(zip(map(int, questions), hashes_of(records), strict=True)):
            if key_fraction(key) < trained_from:
                # Copies of one row keep their file order.
                yield hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8).digest(), row_hash, i

    return [records[i] for _, _, i in heapq.nsmallest(rows, draw())]


class ProbeRows(NamedTuple):
    """The rows of a probe, each with its content hash and as it is read.

    ``beyond_budget``: how many rows the budget left out; the first of these is the last row that was encoded.
    """

    rows: list[tuple[Record, str, Any]]
    beyond_budget: int


def take_probe_rows(
    records: Sequence[HashedRecord],
    params: ProbeParams,
    trained_from: float,
    encode: Callable[[Record], Encoded | None],
    count_tokens: Callable[[Encoded], int],
) -> ProbeRows:
    """The rows of a probe, at most ``params.read_rows``, and no more than ``params.tokens`` allow.

    ``encode`` gives what is read of a row, None for one that cannot be used; ``count_tokens`` how many tokens that is.
    Raises NotAssessedError when fewer rows than one batch can be probed.
    """
    wanted = params.read_rows
    encoded: list[tuple[Record, str, Any]] = []
    left_out, spent, beyond = 0, 0, 0
    # A few rows have no response. Look a little further, so that the probe keeps its size.
    drawn = choose_probe_rows(records, wanted * 2, params.seed, trained_from)
    for record, row_hash in drawn:
        row = encode(record)
        if row is None:
            left_out += 1
            continue
        is_trained = len(encoded) < params.trained_rows
        spent += count_tokens(row) * (1 + TRAINING_COST * is_trained)
        if params.tokens is not None and spent > params.tokens and len(encoded) >= params.batch_rows:
            beyond = min(wanted, len(drawn) - left_out) - len(encoded)
            break
        encoded.append((record, row_hash, row))
        if len(encoded) == wanted:
            break
    if len(encoded) < params.batch_rows:
        others = f" ({left_out} others have no answer to train on)" if left_out else ""
        raise NotAssessedError(
            f"only {len(encoded)} rows can be probed, fewer than one batch of {params.batch_rows}{others}; "
            "add rows or lower probe.batch_rows"
        )
    return ProbeRows(encoded, beyond)


def count_steps(rows: int, params: ProbeParams) -> int:
    """The steps of a run that has so many rows: whole batches only."""
    return min(params.steps, rows // params.batch_rows)


def count_reading_steps(rows: int, params: ProbeParams) -> int:
    """How many training steps take as long as reading so many rows: reading is a third of training on a row."""
    return math.ceil(rows / (3 * params.batch_rows))


def read_rows(
    model: PreTrainedModel, rows: Sequence[EncodedRow], padding_id: int, params: ProbeParams, progress: Progress
) -> tuple[list[float], list[int]]:
    """Summed loss in nats and number of response tokens of each row by the model as it is, in the order given.

    Rows of like length are read together, never more tokens at once than a training step has. ``progress`` is told
    ``count_reading_steps``, with no total.
    """
    import torch

    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    most = params.batch_rows * params.max_length
    sums, counts = [0.0] * len(rows), [0] * len(rows)
    model.eval()
    done = 0
    with torch.no_grad():
        while done < len(order):
            # The longest row of a batch is its last one, so it grows while the longest still fits.
            end = done + 1
            while end < len(order) and (end + 1 - done) * len(rows[order[end]].ids) <= most:
                end += 1
            batch = order[done:end]
            batch_sums, batch_counts = row_token_losses(model, collate_rows([rows[i] for i in batch], padding_id))
            for i, row_sum, count in zip(batch, batch_sums.tolist(), batch_counts.tolist(), strict=True):
                sums[i], counts[i] = row_sum, count
            done = end
            progress(count_reading_steps(done, params), None)
    return sums, counts


def new_optimizer(model: PreTrainedModel, params: ProbeParams) -> torch.optim.AdamW:
    """AdamW without weight decay over the weights that are tuned: all of them, or only those of the adapters."""
    import torch

    tuned = [weight for weight in model.parameters() if weight.requires_grad]
    return torch.optim.AdamW(tuned, lr=params.learning_rate, weight_decay=0.0)
