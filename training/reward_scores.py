"""How good answers are as a reward model sees them: the rows' own, or a model's (MoDS, Du et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from corpus.progress import Progress, ignore_progress
from corpus.records import Record
from training.chat import training_messages
from training.classifiers import classify, load_classifier
from training.model_loading import limit_length
from training.row_scores import RowScoreParams
from training.scoring_cost import Announce, estimate_cost, ignore_cost
from training.turns import Turn, mean_of_rows, split_turns

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Longer pairs are cut: memory grows with the square of the length. Ours; the default model itself has 512 places.
REWARD_TOKENS = 1024


def score_rewards(
    records: Sequence[Record],
    params: RowScoreParams,
    progress: Progress = ignore_progress,
    announce: Announce = ignore_cost,
) -> NDArray[np.float64]:
    """The reward of each row: (rows,), any number, higher is better; the mean over its turns, NaN without one.

    MoDS' quality score (https://arxiv.org/abs/2311.15653, section 3.1): ``params.reward_model`` reads question and
    answer as a pair and gives one number. ``progress`` is told turns done and turns in all. Raises EntropylawError when
    the model cannot be loaded.
    """
    turns = [split_turns(training_messages(record)) for record in records]
    return score_turns_of_rows("quality", turns, params, progress, announce)


def score_turns_of_rows(
    what: str,
    turns: Sequence[Sequence[Turn]],
    params: RowScoreParams,
    progress: Progress = ignore_progress,
    announce: Announce = ignore_cost,
) -> NDArray[np.float64]:
    """The mean reward of each row's ``turns``: (rows,), NaN for a row without any. ``what``: for the announcement."""
    model, tokenizer = load_classifier(params.reward_model, 1, "row_scores.reward_model")
    limit = limit_length(model, REWARD_TOKENS)
    pairs = [turn for of_row in turns for turn in of_row]
    texts = [f"{turn.instruction}\n{turn.output}" for turn in pairs]
    announce(estimate_cost(what, params.reward_model, model, tokenizer, texts, limit, rows=len(turns)))
    encoded = [
        dict(tokenizer(turn.instruction, turn.output, truncation="longest_first", max_length=limit)) for turn in pairs
    ]
    # A pair without a single token can only come from empty texts and a tokenizer without marks of its own.
    said = [i for i, lists in enumerate(encoded) if lists["input_ids"]]
    rewards = np.full(len(pairs), np.nan)
    rewards[said] = classify(model, tokenizer, [encoded[i] for i in said], params.batch_rows, progress)[:, 0]
    return mean_of_rows(rewards, [len(of_row) for of_row in turns])
