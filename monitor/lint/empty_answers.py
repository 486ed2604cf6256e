"""Answers that say nothing, and placeholders that stand where a text should be."""

from __future__ import annotations

import re
from collections.abc import Iterator

from monitor.lint.check import Hit, row_check
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow

EMPTY = Issue(
    "E301",
    "empty-answer",
    "Empty answers",
    "The last answer, or the chosen one, has no text and calls no tool. `entropylaw prepare` leaves such rows out.",
    "Restore the answers, or remove the rows.",
)
NOTHING_TRAINED = Issue(
    "W302",
    "nothing-trained",
    "Conversations of which nothing is learned",
    "Every answer is masked (`weight: 0` or `train: false`), so the row costs time and teaches nothing.",
    "Remove the row, or the mask of the answer that is meant to be learned.",
)
PLACEHOLDER = Issue(
    "W303",
    "placeholder",
    "Placeholders instead of a text",
    "An answer, or the input of a prompt, is a word that a program writes where it has no text: nan, null, undefined, "
    "[object Object], <noinput>. An answer does not count where the prompt names the word.",
    "Look for the export that wrote it. Restore the text, or leave the field out.",
)

# What pandas, JavaScript, Lua and Go print for nothing, and what self-instruct data has for an empty input. "None" and
# "N/A" are not here: people answer so.
_WORD = r"nan|null|nil|undefined|\[object object\]|<?no[ _]?(?:input|output)>?|todo|tbd"
_PLACEHOLDER = re.compile(rf"\W*?({_WORD})\W*", re.IGNORECASE)
# A longer text is no placeholder.
MAX_CHARACTERS = 30


def look(row: LintRow) -> Iterator[Hit]:
    """The last answer, the last paragraph of every prompt, and the masks."""
    if not row.final_answer.text.strip():
        yield Hit(EMPTY, row.index)
    elif not any(message.trained for message in row.dialogue if message.role == "assistant"):
        yield Hit(NOTHING_TRAINED, row.index)
    word = _read_placeholder(row.final_answer.content)
    if word and word.strip("<>").lower() not in row.sides.prompt.lower():
        yield Hit(PLACEHOLDER, row.index, "as the answer", row.final_answer.content)
        return
    for message in row.dialogue:
        # An input follows its instruction after a blank line.
        if message.role == "user" and _read_placeholder(message.content.rpartition("\n\n")[2]):
            yield Hit(PLACEHOLDER, row.index, "in the prompt", message.content, len(message.content))
            return


def _read_placeholder(text: str) -> str | None:
    if len(text) > MAX_CHARACTERS:
        return None
    found = _PLACEHOLDER.fullmatch(text.strip())
    return found[1] if found else None


CHECK = row_check((EMPTY, NOTHING_TRAINED, PLACEHOLDER), look)
