"""Performance Z that needs no judge: minus the mean loss on held-out conversations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import NotAssessedError
from corpus.records import Record
from training.base_model import load_pretrained
from training.chat import encode_conversation, training_messages
from training.loss import mean_token_loss


@dataclass(frozen=True)
class EvaluationParams:
    """At most ``rows`` held-out rows (the first ones of the file), each cut at ``max_length`` tokens."""

    rows: int = 400
    max_length: int = 256
    batch_rows: int = 16

    def __post_init__(self) -> None:
        if min(self.rows, self.max_length, self.batch_rows) < 1:
            raise ValueError("rows, max_length and batch_rows must be positive")


@dataclass(frozen=True)
class HeldoutResult:
    """``loss_nats`` per response token, ``z`` its negative (higher is better)."""

    model: str
    rows: int
    tokens: int
    loss_nats: float
    z: float
    perplexity: float


def evaluate_heldout(model_folder: str | Path, records: Sequence[Record], params: EvaluationParams) -> HeldoutResult:
    """Mean response-token loss of a saved model on held-out records.

    Raises NotAssessedError when no record has a response within ``max_length`` tokens.
    """
    model, tokenizer = load_pretrained(str(model_folder))
    rows = [
        row
        for record in records[: params.rows]
        if (row := encode_conversation(tokenizer, training_messages(record), params.max_length)) is not None
    ]
    if not rows:
        raise NotAssessedError(
            f"no held-out row has a response within evaluation.max_length={params.max_length} tokens"
        )
    loss = mean_token_loss(model, rows, tokenizer.pad_token_id, params.batch_rows)
    return HeldoutResult(
        model=Path(model_folder).name,
        rows=len(rows),
        tokens=sum(sum(row.response[1:]) for row in rows),
        loss_nats=loss,
        z=-loss,
        perplexity=math.exp(min(loss, 700.0)),
    )
