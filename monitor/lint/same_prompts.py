"""Rows with one prompt and different answers: a contradiction where an answer can only be right or wrong."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import Preference
from monitor.lint.check import Check, Hit, Observer
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow, text_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONTRADICTION = Issue(
    "W403",
    "contradicting-answers",
    "One prompt with contradicting answers",
    "A few rows have the same prompt, system message and tools, and answers that are labels or results and differ: "
    "labels that other prompts get too, numbers, what stands after `####` or in `\\boxed{}`. A model cannot learn "
    "both.",
    "Decide which answer is right, and remove the others.",
)
SAME_PROMPT = Issue(
    "N404",
    "prompt-answered-twice",
    "One prompt with several answers",
    "The same prompt, system message and tools stand in several rows with different answers. That is right where "
    "several answers are good, and a fault where only one is.",
    "Nothing, if several answers are wanted. If not, keep one row for each prompt.",
)

# An answer of so few words may be a label, a number or a name.
MAX_LABEL_WORDS = 3
# The same in characters, looked at first because it is faster, and for languages without blanks.
MAX_LABEL_CHARACTERS = 60
# An answer is a label where so many different prompts get it.
MIN_LABEL_PROMPTS = 3
# A prompt that stands in more rows is asked again and again on purpose, as an opening of a chat is.
MAX_ROWS = 5
# How an answer counts: not at all, as one of several, as a name that may be a label, as a result.
_NONE, _TEXT, _SHORT, _RESULT = range(4)

# How solutions of maths end: as in GSM8K, and as in MATH.
_FINAL_RESULT = re.compile(r"####\s*(\S.*)|\\boxed\{([^{}]+)\}")
_NUMBER = re.compile(r"[-+]?[$€£]?\s?\d[\d,.]*\s?%?")


class PromptObserver(Observer):
    def __init__(self) -> None:
        self.prompts, self.answers = array("Q"), array("Q")
        self.kinds = bytearray()

    def look(self, row: LintRow) -> tuple[Hit, ...]:
        # Several answers to one prompt are what preferences are for.
        counts = not isinstance(row.record, Preference) and row.answer_key != 0 and row.prompt_key != 0
        kind, text = _read_answer(row.sides.answer) if counts else (_NONE, "")
        self.prompts.append(row.prompt_key)
        self.answers.append(row.answer_key if kind == _TEXT else text_key(text))
        self.kinds.append(kind)
        return ()

    def finish(self) -> Iterator[Hit]:
        prompts, answers = (np.frombuffer(keys, dtype=np.uint64) for keys in (self.prompts, self.answers))
        kinds = np.frombuffer(self.kinds, dtype=np.uint8)
        decides = (kinds == _RESULT) | ((kinds == _SHORT) & _is_label(prompts, answers))
        contradicting = _differ(prompts, answers, decides, MAX_ROWS)
        first: dict[tuple[bool, int], int] = {}
        for index in np.flatnonzero(_differ(prompts, answers, kinds != _NONE)).tolist():
            # Of the rows that contradict, the first that does is named, not an earlier one that only answers otherwise.
            is_contradiction = bool(contradicting[index])
            other = first.setdefault((is_contradiction, int(prompts[index])), index)
            issue = CONTRADICTION if is_contradiction else SAME_PROMPT
            yield Hit(issue, index, other=None if other == index else other)


def _read_answer(answer: str) -> tuple[int, str]:
    """What kind of answer it is, and the text by which it is compared with others.

    >>> _read_answer("3 + 4 = 7\\n#### 7"), _read_answer("42"), _read_answer("Very good") == (_SHORT, "Very good")
    ((3, '7'), (3, '42'), True)
    """
    if ("####" in answer or "\\boxed" in answer) and (found := _FINAL_RESULT.findall(answer)):
        return _RESULT, "".join(found[-1]).strip()
    short = answer.strip() if len(answer) <= MAX_LABEL_CHARACTERS else ""
    if not short or len(short.split()) > MAX_LABEL_WORDS:
        return _TEXT, ""
    return (_RESULT if _NUMBER.fullmatch(short) else _SHORT), short


def _is_label(prompts: NDArray[np.uint64], answers: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """For each row, whether its answer is given to several different prompts."""
    pairs = np.unique(np.stack([answers, prompts], axis=1), axis=0)
    keys, times = np.unique(pairs[:, 0], return_counts=True)
    return np.isin(answers, keys[times >= MIN_LABEL_PROMPTS])


def _differ(
    prompts: NDArray[np.uint64], answers: NDArray[np.uint64], counts: NDArray[np.bool_], max_rows: int | None = None
) -> NDArray[np.bool_]:
    """For each row that ``counts``, whether another one that counts has its prompt and another answer.

    ``max_rows``: prompts that stand in more rows, whether these count or not, are left out.
    """
    flags = np.zeros(len(prompts), dtype=bool)
    rows = np.flatnonzero(counts)
    keys, which = np.unique(prompts[rows], return_inverse=True)
    pairs = np.unique(np.stack([which.astype(np.uint64), answers[rows]], axis=1), axis=0)
    differ = np.bincount(pairs[:, 0].astype(np.int64), minlength=len(keys)) > 1
    if max_rows is not None:
        every, times = np.unique(prompts, return_counts=True)
        differ &= ~np.isin(keys, every[times > max_rows])
    flags[rows] = differ[which]
    return flags


CHECK = Check((CONTRADICTION, SAME_PROMPT), lambda settings: PromptObserver())
