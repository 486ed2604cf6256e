"""AlpaGasus' grades: each answer's accuracy from 0 to 5, in the words of its authors' prompt (Chen et al., 2023).

`training.quality` grades with a prompt of our own, for the mean of a sample. Here it is the authors', because their
threshold belongs to it. Unlike ours it does not tell the judge to ignore instructions in what it grades.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from corpus.errors import NotAssessedError
from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord, Message
from training.chat import training_messages
from training.judge import Judge, JudgeRequest
from training.quality import HIGHEST_GRADE, LOWEST_GRADE, QualityParams, shorten
from training.turns import mean_of_rows, split_turns

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Figure 3 of https://arxiv.org/abs/2307.08701, with the dimension that the paper's results are of.
SYSTEM_PROMPT = """\
We would like to request your feedback on the performance of AI assistant in response to the instruction and the given \
input displayed following.

Instruction: {instruction}
Input: {input}
Response: {response}"""
USER_PROMPT = (
    "Please rate according to the accuracy of the response to the instruction and the input. Each assistant receives a "
    "score on a scale of 0 to 5, where a higher score indicates higher level of the accuracy. Please first output a "
    "single line containing the value indicating the scores. In the subsequent line, please provide a comprehensive "
    "explanation of your evaluation, avoiding any potential bias."
)
# The first line of an answer: a number, perhaps in bold, after "Score:", before "/5" or a full stop.
_FIRST_LINE = re.compile(
    r"[^\w-]*(?:(?:score|rating|accuracy)\b[^\w-]*)?([0-9]+(?:\.[0-9]+)?)\s*(?:/\s*5(?:\.0)?)?\W*", re.I
)


def grading_requests(rows: Sequence[HashedRecord], max_characters: int) -> list[list[JudgeRequest]]:
    """For each row one request for each of its turns; also used to estimate the cost beforehand.

    ``max_characters``: a longer text is sent without its middle, as in `training.quality`.
    """
    return [list(_ask_turns(row, max_characters)) for row in rows]


def grade_rows(
    rows: Sequence[HashedRecord],
    judge: Judge,
    params: QualityParams | None = None,
    progress: Progress = ignore_progress,
) -> NDArray[np.float64]:
    """The judge's grade of each row, the mean of its turns': (rows,), NaN for a row without a readable one.

    ``progress`` gets the answers graded and their number. Raises NotAssessedError when no row gets a grade, and
    EntropylawError when the judge fails.
    """
    requests = grading_requests(rows, (params or QualityParams()).max_characters)
    answers = judge.ask([request for row in requests for request in row], progress)
    numbers = [read_first_line(answer) for answer in answers]
    grades = np.array([np.nan if number is None else number for number in numbers], dtype=float)
    of_rows = mean_of_rows(grades, [len(row) for row in requests])
    if len(rows) and np.isnan(of_rows).all():
        raise NotAssessedError(
            f"none of {len(numbers)} judgments begins with a grade from 0 to 5; read them in the file of judgments, or "
            "set another judge.model"
        )
    return of_rows


def read_first_line(answer: str | None) -> float | None:
    """The grade that stands alone in the first line of an answer; None where it is none from 0 to 5: never a guess.

    >>> read_first_line("4.5\\nThe response is accurate."), read_first_line("Score: 4/5"), read_first_line("It is 4.")
    (4.5, 4.0, None)
    """
    lines = (answer or "").strip().splitlines()
    found = _FIRST_LINE.fullmatch(lines[0].strip()) if lines else None
    grade = float(found[1]) if found else None
    return grade if grade is not None and LOWEST_GRADE <= grade <= HIGHEST_GRADE else None


def _ask_turns(row: HashedRecord, max_characters: int) -> Iterator[JudgeRequest]:
    """A turn's question is the instruction. What was said before it is the input; in a single turn there is none."""
    messages = training_messages(row.record)
    before: list[str] = []
    for number, turn in enumerate(split_turns(messages), start=1):
        prompt = SYSTEM_PROMPT.format(
            instruction=shorten(turn.instruction, max_characters),
            input=shorten("\n".join(before), max_characters),
            response=shorten(turn.output, max_characters),
        )
        yield JudgeRequest(
            (Message("system", prompt), Message("user", USER_PROMPT)),
            about=f"accuracy of row {row.hash}, turn {number}",
        )
        before += [turn.instruction, turn.output]
