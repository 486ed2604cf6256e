"""Names of speakers and headings of templates inside texts: several rows, or a whole template, pasted into one text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from monitor.lint.check import Hit, row_check
from monitor.lint.code_text import without_code
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow

PASTED = Issue(
    "W504",
    "pasted-dialogue",
    "Headings of templates or further turns inside a text",
    "A prompt ends with `### Response:` or `Assistant:`, or an answer goes on with the next turn or the next row "
    "(`### Instruction:`, `Human:`, `Instruction:`), and the prompt asks for no dialogue.",
    "Cut answers at the first such line. Where a template was already applied, undo it.",
)

_HEADING = r"#{2,3} ?(?:instruction|response|input|human|assistant|user|system)s?\b:?"
# In an answer: what begins a further prompt. "Assistant:" at the very start is a template as well.
_NEXT_TURN = re.compile(
    rf"^[ \t]*(?:{_HEADING}|(?:human|user):|(?:\d+\. ?)?instruction:)|\A\s*(?:assistant|gpt|chatgpt|ai):",
    re.MULTILINE | re.IGNORECASE,
)
# What _NEXT_TURN begins with, looked for first because it is faster.
_WORDS = ("human:", "user:", "instruction:", "assistant:", "gpt:", "ai:")
# In a prompt: what asks for the answer.
_ASKS = re.compile(r"^[ \t]*(?:#{2,3} ?(?:response|assistant)|assistant):?\s*\Z", re.MULTILINE | re.IGNORECASE)
# A prompt with such a word may want a dialogue, or talks about templates.
_DIALOGUE = re.compile(
    r"dialog|conversation|chat|script|interview|transcript|template|format|prompt|instruction|role-?play|user|human"
    r"|assistant",
    re.IGNORECASE,
)


def look(row: LintRow) -> Iterator[Hit]:
    """Every message of the dialogue; the last of its user messages before an answer is a prompt."""
    asked = ""
    for message in row.dialogue:
        text = message.content
        if message.role == "user":
            asked = text
            found = _ASKS.search(text) if text.rstrip()[-1:] in (":", "e", "E", "t", "T") else None
            where = "in the prompt"
        elif message.role == "assistant" and _may_go_on(text) and not _DIALOGUE.search(asked):
            found = _NEXT_TURN.search(text) and _NEXT_TURN.search(without_code(text))
            where = "in the answer"
        else:
            continue
        if found:
            yield Hit(PASTED, row.index, where, text, max(0, text.find(found[0])))
            return


def _may_go_on(text: str) -> bool:
    lower = text.lower()
    return "##" in lower or any(word in lower for word in _WORDS)


CHECK = row_check((PASTED,), look)
