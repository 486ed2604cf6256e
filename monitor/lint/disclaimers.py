"""Answers that speak of themselves as a language model: what cleaners of instruction data remove first."""

from __future__ import annotations

import re
from collections.abc import Iterator

from monitor.lint.check import Hit, row_check
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow

DISCLAIMER = Issue(
    "N310",
    "model-disclaimer",
    "Answers that speak as a language model",
    'An answer says "as an AI language model" or says which company trained it. A model '
    "that is "
    "trained on it says so of itself.",
    "Keep them if your model is meant to say that. If not, write these answers anew, or remove them.",
)

_DISCLAIMER = re.compile(
    r"\bas an? (?:ai (?:language )?(?:model|assistant)|(?:large )?language model)\b"
    r"|\bi(?:'m| am) (?:just |only )?an? (?:ai |large )?language model\b"
    r"|\bi(?:'m| am| was)\b.{0,40}\b(?:trained|developed|created|made) by "
    r"(?:openai|anthropic|google|meta ai|deepseek|mistral)\b"
    r"|\bmy (?:knowledge|training data) cut-?off\b"
)
# Every pattern above has one of these; looking for them first is faster.
_WORDS = ("language model", "as an ai", "as a large", "ed by ", "made by ", "my knowledge", "my training")


def look(row: LintRow) -> Iterator[Hit]:
    """Every answer of the dialogue."""
    for message in row.dialogue:
        if message.role != "assistant":
            continue
        lower = message.content.lower()
        if any(word in lower for word in _WORDS) and (found := _DISCLAIMER.search(lower)):
            yield Hit(DISCLAIMER, row.index, "", message.content, found.start())
            return


CHECK = row_check((DISCLAIMER,), look)
