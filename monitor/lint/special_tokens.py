"""Special tokens of the tokenizer that the user named, inside the texts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from monitor.lint.check import Check, Hit, LintSettings, Observer
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow

SPECIAL = Issue(
    "E502",
    "special-token",
    "Special tokens of the tokenizer in texts",
    "The tokenizer that was named reads a piece of a text as one of its special tokens, not as text.",
    "Remove the tokens, or write them otherwise.",
)
# So much of a token is shown.
SHOWN_CHARACTERS = 40


class SpecialTokenObserver(Observer):
    def __init__(self, tokens: tuple[str, ...]) -> None:
        # Longest first: of two tokens of which one begins with the other, the tokenizer takes the longer.
        self.pattern = re.compile("|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)))

    def look(self, row: LintRow) -> Iterator[Hit]:
        for _, text in row.texts:
            if found := self.pattern.search(text):
                yield Hit(SPECIAL, row.index, found[0][:SHOWN_CHARACTERS], text, found.start())
                return


def start(settings: LintSettings) -> Observer | str:
    if settings.tokenizer is None:
        return "it needs --tokenizer"
    # A token that is empty, or white space, would be found everywhere.
    tokens = tuple(token for token in settings.tokenizer.special_tokens if token.strip())
    return SpecialTokenObserver(tokens) if tokens else "the tokenizer has no special tokens"


CHECK = Check((SPECIAL,), start)
