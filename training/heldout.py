"""Performance Z without a judge: minus the mean loss on held-out conversations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.errors import NotAssessedError
from corpus.records import Record
from training.chat import EncodedRow, encode_record
from training.evaluation_params import EvaluationParams
from training.loss import TokenLosses, sum_token_losses
from training.model_loading import load_pretrained

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


# So many sources, those with most rows, are scored apart, so that evaluation.json stays small.
MAX_SOURCES = 50


@dataclass(frozen=True)
class SourceScore:
    """The score of a model on the held-out rows of one source, as ``HeldoutResult`` has it for all of them.

    ``loss_nats`` and ``z`` are NaN where no token of the source is scored.
    """

    rows: int
    tokens: int
    loss_nats: float
    z: float


@dataclass(frozen=True)
class HeldoutResult:
    """The score of a model on held-out rows.

    ``loss_nats``: mean per response token. ``z``: its negative, so that higher is better; it compares models with the
    same tokenizer. ``bits_per_byte``: the whole loss in bits over the ``response_bytes`` of UTF-8 text that the scored
    tokens spell out; it also compares models with different tokenizers. ``sources``: the same by source, that with
    most rows first; empty where all rows are of one source.
    """

    model: str
    rows: int
    tokens: int
    loss_nats: float
    z: float
    perplexity: float
    response_bytes: int
    bits_per_byte: float
    sources: dict[str, SourceScore] = field(default_factory=dict)


def evaluate_heldout(model_folder: str | Path, records: Sequence[Record], params: EvaluationParams) -> HeldoutResult:
    """Measure the mean loss per response token of a saved model on held-out records.

    Raises NotAssessedError when no record has a response within ``max_length`` tokens.
    """
    model, tokenizer = load_pretrained(str(model_folder))
    read = [
        (row, record.source)
        for record in records[: params.rows]
        if (row := encode_record(tokenizer, record).cut(params.max_length)) is not None
    ]
    rows = [row for row, _ in read]
    if not rows:
        raise NotAssessedError(
            f"no held-out row has a response within evaluation.max_length={params.max_length} tokens"
        )
    losses = sum_token_losses(model, rows, tokenizer.pad_token_id, params.batch_rows)
    loss = losses.mean
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
        sources=score_sources([source for _, source in read], losses),
    )


def score_sources(sources: Sequence[str], losses: TokenLosses) -> dict[str, SourceScore]:
    """The score of each source, that with most rows first; none where there is one source. ``sources``: of each row."""
    ranked = sorted(Counter(sources).items(), key=lambda item: (-item[1], item[0]))
    if len(ranked) < 2:
        return {}
    scores = {}
    for source, rows in ranked[:MAX_SOURCES]:
        own = [i for i, name in enumerate(sources) if name == source]
        tokens = sum(losses.counts[i] for i in own)
        loss = math.fsum(losses.nats[i] for i in own) / tokens if tokens else math.nan
        scores[source] = SourceScore(rows, tokens, loss, -loss)
    return scores


def count_response_bytes(tokenizer: PreTrainedTokenizerBase, row: EncodedRow) -> int:
    """Bytes of UTF-8 text that the response tokens with a loss spell out; the row's first token has none.

    Marks such as the end of a turn have a loss, but spell out nothing. A character that is divided by the cut at
    ``max_length`` counts as the three bytes of U+FFFD.
    """
    scored = zip(row.ids[1:], row.response[1:], strict=True)
    turns = [[token for token, _ in part] for is_response, part in groupby(scored, lambda item: item[1]) if is_response]
    return sum(len(str(tokenizer.decode(turn, skip_special_tokens=True)).encode()) for turn in turns)
