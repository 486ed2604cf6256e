"""Losses of a model on single rows, for the baselines that rank rows by perplexity or by IFD."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from corpus.progress import Progress, ignore_progress
from corpus.records import Record, canonical_text
from training.base_model import load_base_model
from training.chat import EncodedRow, encode_record, training_messages
from training.loss import collate_rows, row_token_losses
from training.scoring_cost import Announce, estimate_cost, ignore_cost

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class RowScoreParams:
    """The section ``row_scores`` of params.yaml: the models that rows are scored with.

    ``model``: a local folder or a Hub id; None is the repository's base model. ``max_length``: tokens after which a row
    is cut. ``complexity_scorer`` and ``quality_scorer``: causal language models that answer DEITA's two prompts with a
    grade. The default ones have only pickled weights on their main branch, which are never loaded; transformers finds
    the Hub's own conversion of them to safetensors. Their tokenizers need the package sentencepiece.

    ``tagger``: a causal language model that writes InsTag's tags. ``reward_model``: gives question and answer one
    number, for MoDS. ``rater``: gives a text QuRating's four numbers. ``max_new_tokens``: the longest answer of the
    tagger, and of MoDS' seed model. ``learning_rate``: of the brief training of Cherry and MoDS. ``labels``: a data
    file whose rows hold tags and grades already, under ``tag_key`` and ``grade_key``; None is the pool itself.
    """

    ADDED: ClassVar[tuple[str, ...]] = (
        "tagger", "reward_model", "rater", "max_new_tokens", "learning_rate", "labels", "tag_key", "grade_key",
    )  # fmt: skip

    model: str | None = None
    max_length: int = 256
    batch_rows: int = 16
    complexity_scorer: str = "hkust-nlp/deita-complexity-scorer"
    quality_scorer: str = "hkust-nlp/deita-quality-scorer"
    tagger: str = "OFA-Sys/InsTagger"
    reward_model: str = "OpenAssistant/reward-model-deberta-v3-large-v2"
    rater: str = "princeton-nlp/QuRater-1.3B"
    max_new_tokens: int = 512
    learning_rate: float = 5e-4
    labels: str | None = None
    tag_key: str = "tags"
    grade_key: str = "grade"

    def __post_init__(self) -> None:
        if self.max_length < 2 or self.batch_rows < 1:
            raise ValueError("max_length must be at least 2 and batch_rows positive")
        if self.max_new_tokens < 1 or self.learning_rate <= 0:
            raise ValueError("max_new_tokens and learning_rate must be positive")


@dataclass(frozen=True)
class AnswerLosses:
    """Mean losses of each row's answers, in nats per response token: after their prompts, and without them (``alone``).

    Both have the shape (rows,) and are over the same tokens; NaN where a row has no such token within ``max_length``.
    """

    given_prompt: NDArray[np.float64]
    alone: NDArray[np.float64]

    @property
    def perplexity_ratio(self) -> NDArray[np.float64]:
        """Instruction-following difficulty as the program of SuperFiltering computes it (Li et al., 2024).

        >>> AnswerLosses(np.array([2.0]), np.array([2.0])).perplexity_ratio
        array([1.])
        """
        with np.errstate(over="ignore"):
            ratio: NDArray[np.float64] = np.exp(self.given_prompt - self.alone)
        return ratio

    @property
    def loss_ratio(self) -> NDArray[np.float64]:
        """Instruction-following difficulty as first defined: mean loss over mean loss (Li et al., 2023).

        >>> AnswerLosses(np.array([1.0, 3.0]), np.array([2.0, 2.0])).loss_ratio
        array([0.5, 1.5])
        """
        # A model that is sure of an answer has a loss of exactly 0 in single precision.
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.given_prompt / self.alone


def score_losses(
    model: str,
    records: Sequence[Record],
    params: RowScoreParams,
    progress: Progress = ignore_progress,
    announce: Announce = ignore_cost,
) -> NDArray[np.float64]:
    """Mean loss of each record's answers in nats per response token: (rows,), NaN without one within ``max_length``.

    ``model``: a base model, a local folder or a Hub id. ``progress`` is told rows done and rows in all, ``announce``
    the cost. Raises EntropylawError when the model cannot be loaded or its chat template cannot tell the answers.
    """
    scorer, tokenizer, _ = load_base_model(model)
    texts = [canonical_text(record) for record in records]
    announce(estimate_cost("losses", model, scorer, tokenizer, texts, params.max_length))
    losses = np.full(len(records), np.nan)
    for batch in batch_by_length(records, params.batch_rows, progress):
        rows = [encode_record(tokenizer, records[i]).cut(params.max_length) for i in batch]
        parts = [[row] if row else [] for row in rows]
        losses[batch] = _mean_losses(scorer, parts, tokenizer.pad_token_id, params.batch_rows * params.max_length)
    return losses


def score_answers(
    model: str,
    records: Sequence[Record],
    params: RowScoreParams,
    progress: Progress = ignore_progress,
    announce: Announce = ignore_cost,
) -> AnswerLosses:
    """Losses of each record's answers given their prompts, and alone; all turns of a record count by their tokens.

    An answer alone has the same tokens as in the conversation, after the tokenizer's begin token. If the tokenizer has
    no begin token, an answer's first token has nothing to be predicted from and is left out of both losses: left out of
    one alone, it would raise the ratio of short answers. Arguments and errors are those of ``score_losses``.
    """
    scorer, tokenizer, _ = load_base_model(model)
    texts = [canonical_text(record) for record in records]
    announce(estimate_cost("losses, with and without prompts", model, scorer, tokenizer, texts, params.max_length))
    begin: tuple[int, ...] = () if tokenizer.bos_token_id is None else (tokenizer.bos_token_id,)
    given_prompt, alone = np.full(len(records), np.nan), np.full(len(records), np.nan)
    for batch in batch_by_length(records, params.batch_rows, progress):
        rows = [encode_record(tokenizer, records[i]).cut(params.max_length) for i in batch]
        parts = [_split_answers(row, begin) if row else ([], []) for row in rows]
        for losses, of_rows in zip((given_prompt, alone), zip(*parts, strict=True), strict=True):
            losses[batch] = _mean_losses(scorer, of_rows, tokenizer.pad_token_id, params.batch_rows * params.max_length)
    return AnswerLosses(given_prompt, alone)


def batch_by_length(records: Sequence[Record], batch_rows: int, progress: Progress) -> Iterator[list[int]]:
    """Indices of rows of similar length, batch by batch.

    The longest come first, so that a batch that does not fit in memory fails at once. ``progress`` gets rows done and
    their number.
    """
    lengths = [sum(len(message.text) for message in training_messages(record)) for record in records]
    order = sorted(range(len(records)), key=lambda i: -lengths[i])
    for start in range(0, len(order), batch_rows):
        yield order[start : start + batch_rows]
        progress(min(start + batch_rows, len(order)), len(order))


def _mean_losses(
    model: PreTrainedModel, rows: Sequence[Sequence[EncodedRow]], padding_id: int, batch_tokens: int
) -> NDArray[np.float64]:
    """Mean loss over the response tokens of all parts of each row: (rows,), NaN for a row without such a token."""
    import torch

    parts = sorted(((i, part) for i, row in enumerate(rows) for part in row), key=lambda item: -len(item[1].ids))
    sums, counts = np.zeros(len(rows)), np.zeros(len(rows))
    with torch.inference_mode():
        while parts:
            # Answers alone are short, so as many go into one batch as take the space of a batch of whole rows.
            size = max(1, batch_tokens // len(parts[0][1].ids))
            batch, parts = parts[:size], parts[size:]
            owners = [i for i, _ in batch]
            losses, tokens = row_token_losses(model, collate_rows([part for _, part in batch], padding_id))
            np.add.at(sums, owners, losses.double().cpu().numpy())
            np.add.at(counts, owners, tokens.cpu().numpy())
    means = np.full(len(rows), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def _split_answers(row: EncodedRow, begin: tuple[int, ...]) -> tuple[list[EncodedRow], list[EncodedRow]]:
    """The conversation, and each of its answers alone after ``begin``; the same tokens count in both."""
    scored = list(row.response)
    answers = []
    for is_answer, group in groupby(range(len(row.ids)), key=row.response.__getitem__):
        if is_answer:
            positions = list(group)
            start, end = positions[0], positions[-1] + 1
            scored[start] = start > 0 and bool(begin)
            marks = (False,) * len(begin) + tuple(scored[start:end])
            answers.append(EncodedRow(begin + row.ids[start:end], marks))
    return [EncodedRow(row.ids, tuple(scored))], answers
