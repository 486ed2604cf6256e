"""Tokens with which chat templates mark turns, inside the texts themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator

from monitor.like_rows.traces import CONTROL_TOKEN, REASONING_TAG
from monitor.lint.check import Hit, row_check
from monitor.lint.code_text import without_code
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow

CONTROL = Issue(
    "W501",
    "control-token",
    "Control tokens of chat templates in texts",
    "A text outside of code has a token such as `<|im_end|>`, `[/INST]` or `</s>`. The template writes these "
    "itself; in a "
    "text they end a turn where none ends, or train the model to write them.",
    "Remove the tokens. If a template was already applied, undo it: keep role and content apart.",
)
OPEN_REASONING = Issue(
    "W503",
    "open-reasoning",
    "Reasoning tags without their partner",
    "An answer has `<think>` without `</think>`, or the other way round: the answer was cut inside the thoughts, "
    "or only "
    "one of the two tags was removed.",
    "Restore the missing tag, or remove the thoughts as a whole.",
)

# Every pattern above has one of these characters.
_HAS_BRACKET = re.compile(r"[<\[]")


def look(row: LintRow) -> Iterator[Hit]:
    """Tokens of known templates in any text, and reasoning tags in answers."""
    reported = False
    for role, text in row.texts:
        if not _HAS_BRACKET.search(text):
            continue
        if not reported and CONTROL_TOKEN.search(text) and (found := CONTROL_TOKEN.search(without_code(text))):
            reported = True
            yield Hit(CONTROL, row.index, found[0][:40], text, text.find(found[0]))
        if role == "assistant" and REASONING_TAG.search(text) and _is_open(text):
            yield Hit(OPEN_REASONING, row.index, "", text)
            return


def _is_open(text: str) -> bool:
    tags = [tag.lower() for tag in REASONING_TAG.findall(without_code(text))]
    return sum(1 for tag in tags if tag.startswith("</")) * 2 != len(tags)


CHECK = row_check((CONTROL, OPEN_REASONING), look)
