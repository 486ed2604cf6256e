"""Rows with one prompt and different answers: an exact opposite in short answers, an unrelated text in long ones."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np

from corpus.records import Preference
from monitor.lint.check import Check, Hit, Observer
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow, words_of

CONTRADICTION = Issue(
    "W403",
    "contradicting-answers",
    "One prompt with contradicting answers",
    "A prompt of eight words or more, with the same system message and tools, has short answers that differ, such as two "
    "labels or numbers. A model cannot learn both.",
    "Decide which answer is right, and remove the others.",
)
SAME_PROMPT = Issue(
    "N404",
    "prompt-answered-twice",
    "One prompt with several answers",
    "The same prompt, system message and tools stand in several rows with different answers. That is right where several "
    "answers are good, and a fault where there is one answer.",
    "Nothing, if several answers are wanted. If not, keep one row for each prompt.",
)

# An answer of so few words is a label, a number or a name.
MAX_LABEL_WORDS = 3
# A shorter prompt ("How are you?") leaves it open what to answer.
MIN_PROMPT_WORDS = 8


class PromptObserver(Observer):
    def __init__(self) -> None:
        self.prompts, self.answers = array("Q"), array("Q")
        self.is_label = bytearray()

    def look(self, row: LintRow) -> tuple[Hit, ...]:
        # Several answers to one prompt are what preferences are for.
        counts = not isinstance(row.record, Preference) and row.answer_key != 0
        self.prompts.append(row.prompt_key if counts else 0)
        self.answers.append(row.answer_key)
        self.is_label.append(counts and _is_label(row))
        return ()

    def finish(self) -> Iterator[Hit]:
        prompts, answers = (np.frombuffer(keys, dtype=np.uint64) for keys in (self.prompts, self.answers))
        is_label = np.frombuffer(self.is_label, dtype=np.uint8).astype(bool)
        contradicting = _differ(prompts, answers, is_label)
        first: dict[int, int] = {}
        for index in np.flatnonzero(_differ(prompts, answers, prompts != 0)).tolist():
            other = first.setdefault(int(prompts[index]), index)
            issue = CONTRADICTION if contradicting[index] else SAME_PROMPT
            yield Hit(issue, index, other=None if other == index else other)


def _is_label(row: LintRow) -> bool:
    answer = row.sides.answer
    if len(answer) > 60 or len(words_of(answer)) > MAX_LABEL_WORDS:
        return False
    return len(row.sides.prompt.split(None, MIN_PROMPT_WORDS)) >= MIN_PROMPT_WORDS


def _differ(
    prompts: np.ndarray[tuple[int], np.dtype[np.uint64]],
    answers: np.ndarray[tuple[int], np.dtype[np.uint64]],
    counts: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """For each row that ``counts``, whether another one that counts has its prompt and another answer."""
    rows = np.flatnonzero(counts)
    _, which = np.unique(prompts[rows], return_inverse=True)
    pairs = np.unique(np.stack([which.astype(np.uint64), answers[rows]], axis=1), axis=0)
    several = np.bincount(pairs[:, 0].astype(np.int64), minlength=len(rows)) > 1
    flags = np.zeros(len(prompts), dtype=bool)
    flags[rows] = several[which]
    return flags


CHECK = Check((CONTRADICTION, SAME_PROMPT), lambda settings: PromptObserver())
