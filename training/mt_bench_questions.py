"""MT-bench's questions and reference answers, in the file formats of FastChat (Zheng et al., 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.files import Row, read_rows, row_error

TURNS = 2

# How freely the model answers, by category; FastChat answers categories that it does not know at 0.7.
TEMPERATURES = {
    **{"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1},
    **{"extraction": 0.0, "math": 0.0, "coding": 0.0, "reasoning": 0.0},
}
OTHER_TEMPERATURE = 0.7

# A judge that does not know the answer itself grades these badly, so it is shown one.
REFERENCE_CATEGORIES = ("math", "reasoning", "coding")


@dataclass(frozen=True, slots=True)
class Question:
    """Two turns, the second of which builds on the answer to the first, and the category they belong to.

    ``reference``: an answer to each turn that the judge compares with, in REFERENCE_CATEGORIES only, else empty. One of
    them may be an empty text: that turn has none.
    """

    id: int | str
    category: str
    turns: tuple[str, str]
    reference: tuple[str, str] | tuple[()] = ()

    @property
    def temperature(self) -> float:
        """
        >>> [Question(1, name, ("Why?", "And?")).temperature for name in ("roleplay", "math", "gardening")]
        [0.7, 0.0, 0.7]
        """
        return TEMPERATURES.get(self.category, OTHER_TEMPERATURE)


def read_questions(path: str | Path, references_path: str | Path | None = None) -> tuple[Question, ...]:
    """The questions of a file in the form of question.jsonl, in its order.

    ``references_path`` is a file in the form of a model's answers; where it answers a question it goes before the
    references that the question carries. Raises DataError, naming file and line, for a row that is not of the form, a
    question that comes twice, and one of REFERENCE_CATEGORIES without a reference.
    """
    references = _read_references(references_path) if references_path is not None else {}
    questions: dict[int | str, Question] = {}
    for number, row in read_rows(path):
        question_id = _read_id(path, row, number)
        if question_id in questions:
            raise row_error(path, f"question {question_id} comes twice", number)
        category = row.get("category")
        if not isinstance(category, str):
            raise row_error(path, f"question {question_id} has no category", number)
        reference: tuple[str, str] | tuple[()] = ()
        if category in REFERENCE_CATEGORIES:
            if question_id in references:
                reference = references[question_id]
            elif "reference" in row:
                reference = _read_turns(path, row["reference"], "reference", number)
            else:
                raise row_error(
                    path,
                    f"question {question_id} ({category}) has no reference answer; name a file of them in "
                    "evaluation.mt_bench.references",
                    number,
                )
        turns = _read_turns(path, row.get("turns"), "turns", number)
        questions[question_id] = Question(question_id, category, turns, reference)
    return tuple(questions.values())


def read_answer_rows(path: str | Path) -> Iterator[tuple[int | str, tuple[str, str], Row]]:
    """Question id, the two answers, and the row as it stands, of a file in the form of a model's answers.

    Raises DataError for a row that is not of the form.
    """
    for number, row in read_rows(path):
        choices = row.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        turns = first.get("turns") if isinstance(first, dict) else None
        yield _read_id(path, row, number), _read_turns(path, turns, "choices[0].turns", number), row


def _read_references(path: str | Path) -> dict[int | str, tuple[str, str]]:
    return {question_id: turns for question_id, turns, _ in read_answer_rows(path)}


def _read_id(path: str | Path, row: Row, number: int) -> int | str:
    question_id = row.get("question_id")
    if isinstance(question_id, bool) or not isinstance(question_id, int | str):
        raise row_error(path, "has no question_id", number)
    return question_id


def _read_turns(path: str | Path, turns: Any, key: str, number: int) -> tuple[str, str]:
    if not isinstance(turns, list) or len(turns) != TURNS or not all(isinstance(turn, str) for turn in turns):
        raise row_error(path, f"{key}: expected a list of {TURNS} texts", number)
    return turns[0], turns[1]
