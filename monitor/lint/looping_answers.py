"""Answers that repeat themselves, as a model does that has lost its way, and answers that only repeat the prompt."""

from __future__ import annotations

import re
from collections.abc import Iterator

from monitor.lint.check import Hit, row_check
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow, words_of

LOOP = Issue(
    "W304",
    "looping-answer",
    "Answers that repeat themselves",
    "The same words, lines or sentences stand four times or more directly after one another. Generated answers do that "
    "when the model got caught in a loop, and training on them teaches it.",
    "Generate or write these answers anew.",
)
REPEATED_PROMPT = Issue(
    "W305",
    "answer-is-prompt",
    "Answers that only repeat the prompt",
    "The answer has the same words as the message it answers, eight or more, and no others.",
    "Look for columns that were exchanged or filled twice. Restore the answers.",
)

# So often in direct succession is no figure of speech, chorus or table heading.
MIN_TIMES = 4
# All repetitions together are at least so long. "Ha ha ha ha ha" is no loop.
MIN_CHARACTERS = 80
# A loop is noticed by a piece of so many characters that stands in a text nearly MIN_TIMES times. Pieces are taken at
# steps half as long as the shortest loop, so that one lies in every loop.
PIECE_CHARACTERS = 12
# A loop goes on to the end of an answer as a rule, and so much of it is enough to see one.
READ_CHARACTERS = 20_000
# A shorter prompt, such as "Say hello", may well be its answer.
MIN_PROMPT_WORDS = 8

_LETTER = re.compile(r"[^\W\d_]")


def look(row: LintRow) -> Iterator[Hit]:
    """Every answer that somebody wrote or generated; of a preference the chosen one."""
    before = ""
    is_loop = is_prompt = False
    for message in row.dialogue:
        if message.role != "assistant":
            before = message.content
            continue
        if not is_loop and (start := find_loop(message.content)) is not None:
            is_loop = True
            yield Hit(LOOP, row.index, "", message.content, start)
        if not is_prompt and _says_the_same(before, message.content):
            is_prompt = True
            yield Hit(REPEATED_PROMPT, row.index, "", message.content)


def find_loop(text: str) -> int | None:
    """Where a text begins to repeat itself, MIN_TIMES times or more in direct succession; None where it does not.

    >>> find_loop("Tea is good. " + "I like it very much. " * 5)
    11
    >>> find_loop("Tea is good. " * 3)
    """
    skipped = max(0, len(text) - READ_CHARACTERS)
    text = text[skipped:]
    place = 0
    while place < len(text) - PIECE_CHARACTERS:
        start, end = _measure_repetition(text, place)
        if end and _is_said(text[start:end]):
            return skipped + start
        # What repeats itself and is no loop, such as a ruler, is left behind as a whole.
        place = max(place + MIN_CHARACTERS // 2, end - PIECE_CHARACTERS)
    return None


def _measure_repetition(text: str, place: int) -> tuple[int, int]:
    """Start and end of what repeats itself often enough around a place of a text; (0, 0) where nothing does."""
    piece = text[place : place + PIECE_CHARACTERS]
    again = text.find(piece, place + 1)
    if again < 0 or text.count(piece) < MIN_TIMES - 1:
        return 0, 0
    period = again - place
    start, end = place, again
    while start > 0 and text[start - 1] == text[start - 1 + period]:
        start -= 1
    while end < len(text) and text[end] == text[end - period]:
        end += 1
    # The last blank or full stop of a loop may be missing.
    whole = end - start + 1 >= MIN_TIMES * period and end - start >= MIN_CHARACTERS
    return (start, end) if whole else (0, 0)


def _is_said(text: str) -> bool:
    """Whether most of a text is letters: rows of zeros and rulers are tables and drawings."""
    return 2 * len(_LETTER.findall(text)) > len(text)


def _says_the_same(prompt: str, answer: str) -> bool:
    # Compared by length first: taking texts apart into words is the slow part.
    if not prompt or not 0.8 <= len(answer.strip()) / max(1, len(prompt.strip())) <= 1.25:
        return False
    words = words_of(prompt)
    return len(words) >= MIN_PROMPT_WORDS and words == words_of(answer)


CHECK = row_check((LOOP, REPEATED_PROMPT), look)
