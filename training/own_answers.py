"""A model's own answers to the questions of rows, which MoDS has graded to see what the model still fails at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from corpus.progress import Progress, ignore_progress
from corpus.records import Message, Record
from training.base_model import load_base_model
from training.chat import training_messages
from training.generation import AnswerRequest, generate_answers
from training.model_loading import limit_length
from training.row_scores import RowScoreParams
from training.scoring_cost import Announce, estimate_cost, ignore_cost
from training.turns import Turn

if TYPE_CHECKING:
    from pathlib import Path


def answer_rows(
    model: str | Path,
    records: Sequence[Record],
    params: RowScoreParams,
    progress: Progress = ignore_progress,
    announce: Announce = ignore_cost,
) -> list[list[Turn]]:
    """Each record's turns with the model's most likely answer in place of the record's own: a list for each record.

    A turn is asked for after all that the record says before it. An answer has at most ``params.max_new_tokens``
    tokens. ``progress`` is told answers done and answers in all. Raises EntropylawError when the model cannot be loaded
    or its chat template refuses the messages.
    """
    answerer, tokenizer, _ = load_base_model(model)
    asked = [(i, *question) for i, record in enumerate(records) for question in _list_questions(record)]
    texts = ["\n".join(message.text for message in before) for _, before, _ in asked]
    limit = limit_length(answerer, 2**62)
    announce(
        estimate_cost(
            "answers", str(model), answerer, tokenizer, texts, limit,
            rows=len(records), written_each=params.max_new_tokens,
        )
    )  # fmt: skip
    turns: list[list[Turn]] = [[] for _ in records]
    outputs = [""] * len(asked)
    # The longest first, so that a batch that does not fit in memory fails at once.
    order = sorted(range(len(asked)), key=lambda i: -len(texts[i]))
    for start in range(0, len(order), params.batch_rows):
        batch = order[start : start + params.batch_rows]
        # At temperature 0 nothing is drawn.
        requests = [AnswerRequest(asked[i][1], 0.0, np.random.default_rng(0)) for i in batch]
        answers = generate_answers(answerer, tokenizer, requests, params.max_new_tokens, len(batch))
        for i, answer in zip(batch, answers, strict=True):
            outputs[i] = answer.text
        progress(start + len(batch), len(order))
    for (row, _, instruction), output in zip(asked, outputs, strict=True):
        turns[row].append(Turn(instruction, output))
    return turns


def _list_questions(record: Record) -> list[tuple[tuple[Message, ...], str]]:
    """For each answer to learn from: the messages before it, and the text that asked for it, as in `split_turns`."""
    messages = training_messages(record)
    questions: list[tuple[tuple[Message, ...], str]] = []
    asked: list[str] = []
    for i, message in enumerate(messages):
        if message.role == "assistant":
            # A conversation that begins with an answer asks nothing.
            if message.trained and asked:
                questions.append((messages[:i], "\n".join(asked)))
            asked = []
        elif message.role != "system":
            asked.append(message.text)
    return questions
