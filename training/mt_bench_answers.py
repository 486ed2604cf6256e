"""A model's answers to MT-bench's questions, kept on the way in the file format of FastChat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpus.artifacts import fingerprint, hash_folder
from corpus.files import Row, write_rows
from corpus.progress import Progress, ignore_progress
from corpus.records import Message
from training.evaluation_params import EvaluationParams
from training.generation import AnswerRequest, generate_answers
from training.model_loading import load_pretrained
from training.mt_bench_questions import Question, read_answer_rows


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """``turns``: the answers, of which ``cut_turns`` came to the limit of their length before their end."""

    question: Question
    turns: tuple[str, str]
    cut_turns: int

    def messages(self, turn: int) -> tuple[Message, ...]:
        """The conversation up to and with the answer of the first or the second ``turn``."""
        return (*_begin(self.question, self.turns[: turn - 1]), Message("assistant", self.turns[turn - 1]))


def answer_questions(
    model_folder: str | Path,
    questions: Sequence[Question],
    params: EvaluationParams,
    path: str | Path,
    progress: Progress = ignore_progress,
) -> tuple[AnsweredQuestion, ...]:
    """The answers of a saved model, in the order of the questions; each batch is in the file before the next begins.

    Answers that the file has of the same model, question and parameters serve again, so an interrupted call goes on
    where it stopped. Those of another model or with other parameters are replaced. ``progress`` gets the number of
    answered questions. Raises EntropylawError when the model cannot be loaded or its template refuses the turns, and
    DataError when the file is none of answers.
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
        said: list[tuple[str, ...]] = [()] * len(batch)
        cut_turns = [0] * len(batch)
        for turn in range(len(batch[0][0].turns)):
            requests = [
                AnswerRequest(
                    _begin(question, answers),
                    question.temperature,
                    # By question, not by model: models that are compared draw with the same random numbers.
                    np.random.default_rng([params.mt_bench.seed, int(fingerprint(question.id), 16), turn]),
                )
                for (question, _), answers in zip(batch, said, strict=True)
            ]
            new = generate_answers(model, tokenizer, requests, params.mt_bench.max_new_tokens, params.batch_rows)
            said = [(*answers, answer.text) for answers, answer in zip(said, new, strict=True)]
            cut_turns = [count + answer.is_cut for count, answer in zip(cut_turns, new, strict=True)]
        for (question, answer_id), answers, cut in zip(batch, said, cut_turns, strict=True):
            rows[answer_id] = {
                "question_id": question.id,
                "answer_id": answer_id,
                "model_id": Path(model_folder).name,
                "choices": [{"index": 0, "turns": list(answers)}],
                "cut_turns": cut,
            }
        write_rows(path, [rows[answer_id] for answer_id in ids if answer_id in rows])
        progress(len(rows), len(questions))
    return tuple(_read_answer(question, rows[answer_id]) for question, answer_id in zip(questions, ids, strict=True))


def _begin(question: Question, answers: Sequence[str]) -> tuple[Message, ...]:
    """The conversation up to the turn that comes after these answers."""
    messages = [Message("user", question.turns[0])]
    for answer, turn in zip(answers, question.turns[1:], strict=False):
        messages += [Message("assistant", answer), Message("user", turn)]
    return tuple(messages)


def _identify_answer(model_hash: str, question: Question, params: EvaluationParams) -> str:
    """What an answer depends on. The batch is not among it."""
    asked = {"id": question.id, "turns": question.turns, "temperature": question.temperature}
    drawn = {"max_new_tokens": params.mt_bench.max_new_tokens, "seed": params.mt_bench.seed}
    return fingerprint({"model": model_hash, **asked, **drawn})


def _read_kept(path: str | Path) -> list[Row]:
    return [row for _, _, row in read_answer_rows(path)] if Path(path).exists() else []


def _read_answer(question: Question, row: Row) -> AnsweredQuestion:
    first, second = row["choices"][0]["turns"]
    return AnsweredQuestion(question, (first, second), int(row["cut_turns"]))


def _fastest_type() -> str:
    """Answers are drawn a token at a time, and each costs one reading of the weights: half as many bytes where the
    hardware computes with them.
    """
    import torch

    return "bfloat16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "float32"
