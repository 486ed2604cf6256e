"""One answer that is given to many prompts that have nothing to do with each other."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from monitor.lint.check import Check, Hit, Observer
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow, words_of
from monitor.measures.repeated_rows import MIN_ANSWER_WORDS

STOCK = Issue(
    "W306",
    "stock-answer",
    "One answer to many different prompts",
    "The same answer of four words or more is given to five or more prompts that have hardly a word in common: a "
    "refusal, "
    "an error message, a sentence that a form fills in. A model learns to give it to anything.",
    "Look at the answer. Remove it, or keep the few prompts it belongs to.",
)

# Of fewer prompts, several may ask the same in other words.
MIN_PROMPTS = 5
# Of each answer so many prompts are compared.
COMPARED_PROMPTS = 40
# Prompts that ask the same in other words share a third of their words; any two prompts share a tenth. The measure is
# the mean Jaccard index of their words.
MAX_SHARED_WORDS = 0.25


class AnswerObserver(Observer):
    def __init__(self) -> None:
        self.answers, self.prompts = array("Q"), array("Q")
        self.words: dict[int, list[frozenset[str]]] = defaultdict(list)

    def look(self, row: LintRow) -> tuple[Hit, ...]:
        answer = row.sides.answer
        counts = len(answer.split(None, MIN_ANSWER_WORDS)) >= MIN_ANSWER_WORDS
        self.answers.append(row.answer_key if counts else 0)
        self.prompts.append(row.prompt_key)
        return ()

    def wanted_again(self) -> Iterable[int]:
        answers, prompts = self._keys()
        pairs, first = np.unique(np.stack([answers, prompts], axis=1), axis=0, return_index=True)
        keys, starts, times = np.unique(pairs[:, 0], return_index=True, return_counts=True)
        for key, start, count in zip(keys.tolist(), starts.tolist(), times.tolist(), strict=True):
            if key and count >= MIN_PROMPTS:
                yield from first[start : start + min(count, COMPARED_PROMPTS)].tolist()

    def look_again(self, row: LintRow) -> None:
        self.words[row.answer_key].append(frozenset(words_of(row.sides.prompt)))

    def finish(self) -> Iterator[Hit]:
        answers, _ = self._keys()
        stock = {key for key, prompts in self.words.items() if _shared_words(prompts) <= MAX_SHARED_WORDS}
        first: dict[int, int] = {}
        for index in np.flatnonzero(np.isin(answers, np.array(sorted(stock), dtype=np.uint64))).tolist():
            key = int(answers[index])
            yield Hit(STOCK, index, other=first.get(key))
            first.setdefault(key, index)

    def _keys(self) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint64]], np.ndarray[tuple[int], np.dtype[np.uint64]]]:
        return np.frombuffer(self.answers, dtype=np.uint64), np.frombuffer(self.prompts, dtype=np.uint64)


def _shared_words(prompts: list[frozenset[str]]) -> float:
    """The mean share of words that two prompts have in common (Jaccard index).

    >>> _shared_words([frozenset({"green", "tea"}), frozenset({"black", "tea"})])
    0.3333333333333333
    """
    pairs = [(a, b) for i, a in enumerate(prompts) for b in prompts[:i]]
    return sum(len(a & b) / max(1, len(a | b)) for a, b in pairs) / max(1, len(pairs))


CHECK = Check((STOCK,), lambda settings: AnswerObserver())
