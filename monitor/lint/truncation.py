"""Truncation: rows that are longer than what training reads of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from monitor.lint.check import Check, Hit, LintSettings, Observer, TokenCounter
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow

CUT = Issue(
    "W601",
    "cut-row",
    "Rows that training cuts",
    "The texts of a row have more tokens than --max-length, so the end of its last answer is never trained on. "
    "Tokens of "
    "the chat template come on top and are not counted.",
    "Raise the maximal length in training, or split these rows.",
)
NO_ROOM = Issue(
    "W602",
    "no-room-for-answer",
    "Prompts that leave no room for an answer",
    "What stands before the last answer has at least --max-length tokens, so that answer is cut off as a whole.",
    "Raise the maximal length in training, or shorten the prompts.",
)

# Rows whose tokens are counted in one call, which is faster than one by one.
BATCH_ROWS = 256


class LengthObserver(Observer):
    def __init__(self, tokenizer: TokenCounter, max_length: int) -> None:
        self.tokenizer, self.max_length = tokenizer, max_length
        self.waiting: list[tuple[int, str, str]] = []
        self.hits: list[Hit] = []

    def look(self, row: LintRow) -> Iterable[Hit]:
        messages = row.dialogue
        last = max(i for i, message in enumerate(messages) if message.role == "assistant")
        before = "\n".join([row.record.tools, *(message.text for message in messages[:last])])
        answer = messages[last].text
        # No tokenizer makes more tokens than there are bytes, and one of a template's tokens is as good as a line
        # break.
        if len(before.encode()) + len(answer.encode()) > self.max_length:
            self.waiting.append((row.index, before, answer))
        return self._count() if len(self.waiting) >= BATCH_ROWS else ()

    def finish(self) -> Iterable[Hit]:
        return self._count()

    def _count(self) -> Iterator[Hit]:
        counts = self.tokenizer.count([text for _, before, answer in self.waiting for text in (before, answer)])
        for (index, *_), before, answer in zip(self.waiting, counts[::2], counts[1::2], strict=True):
            if before >= self.max_length:
                yield Hit(NO_ROOM, index)
            elif before + answer > self.max_length:
                yield Hit(CUT, index)
        self.waiting.clear()


def start(settings: LintSettings) -> Observer | str:
    if settings.tokenizer is None or settings.max_length is None:
        return "it needs --tokenizer and --max-length"
    return LengthObserver(settings.tokenizer, settings.max_length)


CHECK = Check((CUT, NO_ROOM), start)
