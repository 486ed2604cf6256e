"""Performance Z without a judge: minus the mean loss on held-out conversations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.errors import NotAssessedError
from corpus.records import Record
from training.chat import EncodedRow, encode_record
from training.evaluation_params import EvaluationParams
from training.loss import mean_token_loss
from training.model_loading import load_pretrained

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class HeldoutResult:
    """The score of a model on held-out rows.

    ``loss_nats``: mean per response token. ``z``: its negative, so that higher is better; it compares models with the
    same tokenizer. ``bits_per_byte``: the whole loss in bits over the ``response_bytes`` of UTF-8 text that the scored
    tokens spell out; it also compares models with different tokenizers.
    """

    model: str
    rows: int
    tokens: int
    loss_nats: float
    z: float
    perplexity: float
    response_bytes: int
    bits_per_byte: float


def evaluate_heldout(model_folder: str | Path, records: Sequence[Record], params: EvaluationParams) -> HeldoutResult:
    """Measure the mean loss per response token of a saved model on held-out records.

    Raises NotAssessedError when no record has a response within ``max_length`` tokens.
    """
    model, tokenizer = load_pretrained(str(model_folder))
    rows = [
        row
        for record in records[: params.rows]
        if (row := encode_record(tokenizer, record).cut(params.max_length)) is not None
    ]
    if not rows:
        raise NotAssessedError(
            f"no held-out row has a response within evaluation.max_length={params.max_length} tokens"
        )
    loss = mean_token_loss(model, rows, tokenizer.pad_token_id, params.batch_rows)
    tokens = sum(sum(row.response[1:]) for row in rows)
    response_bytes = sum(count_response_bytes(tokenizer, row) for row in rows)
    return HeldoutResult(
        model=Path(model_folder).name,
        rows=len(rows),
        tokens=tokens,
        loss_nats=loss,
        z=-loss,
        perplexity=math.exp(min(loss, 700.0)),
        response_bytes=response_bytes,
        # Where max_length leaves nothing but the marks of turns, there is no text to divide the loss by.
        bits_per_byte=loss * tokens / math.log(2) / response_bytes if response_bytes else math.nan,
    )


def count_response_bytes(tokenizer: PreTrainedTokenizerBase, row: EncodedRow) -> int:
    """Bytes of UTF-8 text that the response tokens with a loss spell out; the row's first token has none.

    Marks such as the end of a turn have a loss, but spell out nothing. A character that is divided by the cut at
    ``max_length`` counts as the three bytes of U+FFFD.
    """
    scored = zip(row.ids[1:], row.response[1:], strict=True)
    turns = [[token for token, _ in part] for is_response, part in groupby(scored, lambda item: item[1]) if is_response]
    return sum(len(str(tokenizer.decode(turn, skip_special_tokens=True)).encode()) for turn in turns)
