"""One answer that is given to many different prompts."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np

from monitor.lint.check import Check, Hit, Observer
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow
from monitor.measures.repeated_rows import MIN_ANSWER_WORDS

STOCK = Issue(
    "W306",
    "stock-answer",
    "One answer to many different prompts",
    "The same answer of four words or more is given to five different prompts or more: a refusal, an error message, a "
    "sentence that a form fills in. A model learns to give it to anything.",
    "Look at the answer. Remove it, or keep the few prompts it belongs to.",
)

# Of fewer prompts, several may ask the same in other words.
MIN_PROMPTS = 5


class AnswerObserver(Observer):
    def __init__(self) -> None:
        self.answers, self.prompts = array("Q"), array("Q")

    def look(self, row: LintRow) -> tuple[Hit, ...]:
        answer = row.sides.answer
        counts = len(answer.split(None, MIN_ANSWER_WORDS)) >= MIN_ANSWER_WORDS
        self.answers.append(row.answer_key if counts else 0)
        self.prompts.append(row.prompt_key)
        return ()

    def finish(self) -> Iterator[Hit]:
        answers, prompts = (np.frombuffer(keys, dtype=np.uint64) for keys in (self.answers, self.prompts))
        pairs = np.unique(np.stack([answers, prompts], axis=1), axis=0)
        keys, times = np.unique(pairs[:, 0], return_counts=True)
        stock = keys[(times >= MIN_PROMPTS) & (keys != 0)]
        first: dict[int, int] = {}
        for index in np.flatnonzero(np.isin(answers, stock)).tolist():
            key = int(answers[index])
            yield Hit(STOCK, index, other=first.get(key))
            first.setdefault(key, index)


CHECK = Check((STOCK,), lambda settings: AnswerObserver())
