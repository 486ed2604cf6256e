"""MT-bench's questions and reference answers, in the file formats of FastChat (Zheng et al., 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.files import Row, read_rows, row_error

TURNS = 2

# The temperature of answers by category, as in FastChat, which takes 0.7 for any other category.
TEMPERATURES = {
    **{"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1},
    **{"extraction": 0.0, "math": 0.0, "coding": 0.0, "reasoning": 0.0},
}
OTHER_TEMPERATURE = 0.7

# In these categories the judge is shown a reference answer, because it may not know the right one itself.
REFERENCE_CATEGORIES = ("math", "reasoning", "coding")


@dataclass(frozen=True, slots=True)
class Question:
    """A question of two turns; the second builds on the answer to the first.

    ``reference``: the answer to each turn that the judge compares with; an empty text where a turn has none. It is an
    empty tuple outside of REFERENCE_CATEGORIES.
    """

    id: int | str
    category: str
    turns: tuple[str, str]
    reference: tuple[str, str] | tuple[()] = ()

    @property
    def temperature(self) -> float:
        """The temperature that the model answers at.

        >>> [Question(1, name, ("Why?", "And?")).temperature for name in ("roleplay", "math", "gardening")]
        [0.7, 0.0, 0.7]
        """
        return TEMPERATURES.get(self.category, OTHER_TEMPERATURE)


def read_questions(path: str | Path, references_path: str | Path | None = None) -> tuple[Question, ...]:
    """Read the questions of a file in the form of FastChat's question.jsonl, in file order.

    ``references_path``: a file in the form of a model's answers, which are taken in place of the references that stand
    in the questions. Raises DataError, naming file and line, for a row of another form, for a question that comes
    twice, and for one of REFERENCE_CATEGORIES without a reference.
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
    """Read a file of a model's answers in FastChat's form: question id, the two answers, and the whole row of each.

    Raises DataError for a row of another form.
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
