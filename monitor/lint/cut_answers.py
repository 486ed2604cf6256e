"""Answers that were cut short: they end where nobody would end a text."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator

import numpy as np

from monitor.lint.check import Check, Hit, Observer
from monitor.lint.code_text import looks_like_code
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow, text_key

CUT = Issue(
    "W307",
    "cut-answer",
    "Answers that end in the middle",
    "The last answer ends with a comma or an open bracket, inside a block of code that is never closed, or with a word "
    'that never ends a sentence in these files, such as "the". Where there are several of these, answers without any '
    "full stop or other sign at their end count as well. A cut behind a full stop is not seen.",
    "Look for a limit of length where the answers were generated or exported. Restore them, or remove the rows.",
)

# A shorter answer may be a label, a greeting or a fragment on purpose.
MIN_WORDS = 20
# The words that end no sentence are learned from so many characters of answers, from the first row on.
LEARNED_CHARACTERS = 2_000_000
# A word ends no sentence where it does so in less than this share of all cases, even with DOUBT more cases than were
# seen. "The" does in 0.1% by mistake, "take" in 1%; and a word must be met 300 times before anything is said of it.
MAX_LAST_SHARE = 0.01
# No case in n trials leaves room for three in n, at a confidence of 95% (the rule of three).
DOUBT = 3
# Where cuts are known by so many such words at least, the other answers that end with a word were cut as well.
MIN_KNOWN_CUTS = 5
# But only where answers have an end as a rule: where no more of them than this end with a word.
MAX_OPEN_SHARE = 0.25
# Of answers in prose that were cut at any word, 24% to 54% of those that end with a word end with such a one; of chats
# whose authors do without full stops, 2%. Below this share of all answers that end with a word, none is reported.
MIN_CUT_SHARE = 0.1
# They end no sentence in any English text; enough for files too small to learn from. None of them is a word that may
# end a sentence in German, French, Spanish, Italian or Dutch.
ENGLISH = frozenset({"the", "and", "of", "my", "your", "because"})

_WORD = re.compile(r"[^\W\d_]+")
# Bounded, so that a text without blanks, such as a gene, is read in one go.
_LAST_WORD = re.compile(r"\b([^\W\d_]{1,40})(?:[\"'’”)\]]*[.!?…。！？:;]|[ \t]*(?:\n|\Z))")
# ":(" and the like are faces.
_OPEN = re.compile(r"[\w\s][,({\[]\Z|，\Z")
_FENCE = re.compile(r"^\s*(?:```|~~~)", re.MULTILINE)


class CutObserver(Observer):
    def __init__(self) -> None:
        self.left_to_learn = LEARNED_CHARACTERS
        self.judged = 0
        self.times: Counter[str] = Counter()
        self.last: Counter[str] = Counter()
        # Rows whose answer ends with a word, and that word.
        self.rows, self.words = array("Q"), array("Q")

    def look(self, row: LintRow) -> Iterator[Hit]:
        answer = row.final_answer
        text = answer.content.rstrip()
        if self.left_to_learn > 0:
            self._learn(text)
        # What comes after the words of an answer that calls a tool is the call.
        if answer.tool_calls or len(text.split(None, MIN_WORDS)) < MIN_WORDS:
            return
        self.judged += 1
        if "```" in text and len(_FENCE.findall(text)) % 2:
            yield Hit(CUT, row.index, "inside a block of code", text, len(text))
        elif _OPEN.search(text[-2:]) and not looks_like_code(text):
            yield Hit(CUT, row.index, "with an open bracket or a comma", text, len(text))
        elif text[-1].isalpha() and not looks_like_code(text):
            self.rows.append(row.index)
            self.words.append(text_key(_WORD.findall(text[-60:])[-1]))

    def _learn(self, text: str) -> None:
        text = text[: self.left_to_learn].lower()
        self.left_to_learn -= len(text)
        self.times.update(_WORD.findall(text))
        # The last word of the whole answer is what is judged, so it teaches nothing.
        self.last.update(_LAST_WORD.findall(text[:-1]))

    def finish(self) -> Iterator[Hit]:
        never_last = ENGLISH | {
            word for word, times in self.times.items() if self.last[word] + DOUBT <= MAX_LAST_SHARE * times
        }
        keys = np.array([text_key(word) for word in sorted(never_last)], dtype=np.uint64)
        ends = np.isin(np.frombuffer(self.words, dtype=np.uint64), keys)
        if np.count_nonzero(ends) < MIN_CUT_SHARE * len(ends):
            return
        known = np.count_nonzero(ends) >= MIN_KNOWN_CUTS and len(ends) <= MAX_OPEN_SHARE * self.judged
        for i in np.flatnonzero(ends | known).tolist():
            yield Hit(CUT, self.rows[i], "with a word that ends no sentence" if ends[i] else "without an end")


CHECK = Check((CUT,), lambda settings: CutObserver())
