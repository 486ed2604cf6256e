"""Performance Z of a model aligned with preferences, without a judge: which answer of held-out pairs it prefers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import NotAssessedError
from corpus.records import Record
from training.evaluation_params import EvaluationParams
from training.loss import sum_token_losses
from training.model_loading import load_pretrained
from training.row_window import read_preference


@dataclass(frozen=True)
class PairResult:
    """What a model makes of held-out ``pairs``.

    ``margin_nats``: mean log-probability per token of the chosen answer minus that of the rejected one, mean over the
    pairs; per token, because the log-probability of a whole answer depends mostly on its length. ``right_share``: of
    the pairs whose margin is above 0, those of exactly 0 counting half.
    """

    pairs: int
    margin_nats: float
    right_share: float

    @property
    def z(self) -> float:
        """Higher is better: the margin moves with every pair, the share only with those near 0."""
        return self.margin_nats


def evaluate_pairs(model_folder: str | Path, records: Sequence[Record], params: EvaluationParams) -> PairResult:
    """Measure the margins of a saved model on held-out pairs, as the probe measures those of the base model.

    Records without both answers are passed over. Raises NotAssessedError when there is no pair to read.
    """
    model, tokenizer = load_pretrained(str(model_folder))
    pairs = []
    for record in records:
        answers = read_preference(tokenizer, record, params.max_length) or {}
        if len(answers) == 2:
            pairs.append([answers[label][0] for label in (True, False)])
        if len(pairs) == params.rows:
            break
    if not pairs:
        raise NotAssessedError(f"no held-out pair has two answers within evaluation.max_length={params.max_length}")
    rows = [answer.after(answer.prompt_ids, params.max_length) for pair in pairs for answer in pair]
    losses = sum_token_losses(model, rows, tokenizer.pad_token_id, params.batch_rows)
    per_token = [nats / tokens for nats, tokens in zip(losses.nats, losses.counts, strict=True)]
    margins = [rejected - chosen for chosen, rejected in zip(per_token[::2], per_token[1::2], strict=True)]
    right = statistics.fmean((margin > 0) + 0.5 * (margin == 0) for margin in margins)
    return PairResult(len(pairs), statistics.fmean(margins), right)
