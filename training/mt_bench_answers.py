"""A model's answers to MT-bench's questions, which are kept in a file in FastChat's form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from corpus.artifacts import fingerprint, hash_folder
from corpus.files import Row, write_rows
from corpus.progress import Progress, ignore_progress
from corpus.records import Message
from training.evaluation_params import EvaluationParams
from training.generation import AnswerRequest, generate_answers
from training.model_loading import load_pretrained
from training.mt_bench_questions import TURNS, Question, read_answer_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """A question with its two answers (``turns``), of which ``cut_turns`` reached the limit of their length."""

    question: Question
    turns: tuple[str, str]
    cut_turns: int

    def messages(self, turn: int) -> tuple[Message, ...]:
        """The conversation up to the answer of the first or the second ``turn``, with that answer."""
        return (*_begin(self.question, self.turns[: turn - 1]), Message("assistant", self.turns[turn - 1]))


def answer_questions(
    model_folder: str | Path,
    questions: Sequence[Question],
    params: EvaluationParams,
    path: str | Path,
    progress: Progress = ignore_progress,
) -> tuple[AnsweredQuestion, ...]:
    """The answers of a saved model, in the order of the questions, which are kept in the file ``path``.

    Answers in the file to the same question by the same model with the same parameters serve again; all others are
    replaced. Each batch is written before the next one begins, so an interrupted call goes on where it stopped.
    ``progress`` gets the number of answered questions. Raises EntropylawError when the model cannot be loaded or its
    template refuses the turns, and DataError when the file holds something else than answers.
    """
    model_hash = hash_folder(model_folder)
    ids = [_identify_answer(model_hash, question, params) for question in questions]
    kept = {str(row.get("answer_id")): row for row in _read_kept(path)}
    rows = {answer_id: kept[answer_id] for answer_id in ids if answer_id in kept}
    missing = [
        (question, answer_id) for question, answer_id in zip(questions, ids, strict=True) if answer_id not in rows
    ]
    progress(len(rows), len(questions))
    if missing:
        model, tokenizer = load_pretrained(str(model_folder), dtype=_fastest_type())
    for start in range(0, len(missing), params.batch_rows):
        batch = missing[start : start + params.batch_rows]
        answers = _answer_batch(model, tokenizer, [question for question, _ in batch], params)
        for (_, answer_id), answer in zip(batch, answers, strict=True):
            rows[answer_id] = _to_row(answer, answer_id, Path(model_folder).name)
        write_rows(path, [rows[answer_id] for answer_id in ids if answer_id in rows])
        progress(len(rows), len(questions))
    return tuple(_read_answer(question, rows[answer_id]) for question, answer_id in zip(questions, ids, strict=True))


def _answer_batch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Question],
    params: EvaluationParams,
) -> list[AnsweredQuestion]:
    """Answer the first turn of all questions, then the second."""
    said: list[tuple[str, ...]] = [()] * len(questions)
    cut_turns = [0] * len(questions)
    for turn in range(TURNS):
        requests = [
            AnswerRequest(
                _begin(question, answers),
                question.temperature,
                # Seeded by the question and not by the model: models that are compared draw with the same numbers.
                np.random.default_rng([params.mt_bench.seed, int(fingerprint(question.id), 16), turn]),
            )
            for question, answers in zip(questions, said, strict=True)
        ]
        new = generate_answers(model, tokenizer, requests, params.mt_bench.max_new_tokens, params.batch_rows)
        said = [(*answers, answer.text) for answers, answer in zip(said, new, strict=True)]
        cut_turns = [count + answer.is_cut for count, answer in zip(cut_turns, new, strict=True)]
    return [
        AnsweredQuestion(question, (first, second), cut)
        for question, (first, second), cut in zip(questions, said, cut_turns, strict=True)
    ]


def _begin(question: Question, answers: Sequence[str]) -> tuple[Message, ...]:
    """The conversation up to the question that follows these answers."""
    messages = [Message("user", question.turns[0])]
    for answer, turn in zip(answers, question.turns[1:], strict=False):
        messages += [Message("assistant", answer), Message("user", turn)]
    return tuple(messages)


def _identify_answer(model_hash: str, question: Question, params: EvaluationParams) -> str:
    """A fingerprint of all that an answer depends on; the size of the batch is not among it."""
    asked = {"id": question.id, "turns": question.turns, "temperature": question.temperature}
    drawn = {"max_new_tokens": params.mt_bench.max_new_tokens, "seed": params.mt_bench.seed}
    return fingerprint({"model": model_hash, **asked, **drawn})


def _read_kept(path: str | Path) -> list[Row]:
    return [row for _, _, row in read_answer_rows(path)] if Path(path).exists() else []


def _to_row(answer: AnsweredQuestion, answer_id: str, model: str) -> Row:
    """The answer as FastChat writes it."""
    return {
        "question_id": answer.question.id,
        "answer_id": answer_id,
        "model_id": model,
        "choices": [{"index": 0, "turns": list(answer.turns)}],
        "cut_turns": answer.cut_turns,
    }


def _read_answer(question: Question, row: Row) -> AnsweredQuestion:
    first, second = row["choices"][0]["turns"]
    return AnsweredQuestion(question, (first, second), int(row["cut_turns"]))


def _fastest_type() -> str:
    """The weights' precision in which answers are drawn fastest: bfloat16 where the hardware computes with it.

    Every token takes one reading of all weights, and in bfloat16 these are half as many bytes.
    """
    import torch

    return "bfloat16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "float32"
