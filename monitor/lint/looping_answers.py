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
    "The same words, lines or sentences stand four times or more directly after one another, or the whole answer "
    "stands there twice. Generated answers loop when the model got lost, and training on them teaches it.",
    "Generate or write these answers anew.",
)
REPEATED_PROMPT = Issue(
    "W305",
    "answer-repeats-prompt",
    "Answers that repeat the prompt",
    "The answer begins with the whole message that it answers, of eight words or more, or says nothing else.",
    "Look for columns that were exchanged or filled twice, and for texts that were cut apart at the wrong place.",
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
        text = message.content
        if message.role != "assistant":
            before = text
            continue
        if not is_loop and (start := find_loop(text)) is not None:
            is_loop = True
            yield Hit(LOOP, row.index, "", text, start)
        elif not is_loop and stands_twice(text):
            is_loop = True
            yield Hit(LOOP, row.index, "the whole answer twice", text, len(text) // 2)
        if not is_prompt and _begins_with(text, before):
            is_prompt = True
            yield Hit(REPEATED_PROMPT, row.index, "", text)


def stands_twice(text: str) -> bool:
    """Whether a text is the same words twice, MIN_PROMPT_WORDS or more.

    >>> stands_twice("One can see the moon on a clear night. One can see the moon on a clear night.")
    True
    """
    # The second half begins within a few characters of the middle.
    text = text.strip()
    half = len(text) // 2
    if len(text) < MIN_CHARACTERS // 2 or text[:PIECE_CHARACTERS] not in text[half - 2 : half + PIECE_CHARACTERS + 4]:
        return False
    words = text.split()
    twice = words[: len(words) // 2] == words[len(words) // 2 :]
    return twice and len(words) >= 2 * MIN_PROMPT_WORDS and _is_said(text)


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


def _begins_with(answer: str, prompt: str) -> bool:
    # The first word is compared first: taking texts apart into words is the slow part.
    start = prompt.lstrip()[:PIECE_CHARACTERS].lower()
    if not start or not answer.lstrip().lower().startswith(start):
        return False
    words = words_of(prompt)
    return len(words) >= MIN_PROMPT_WORDS and words == words_of(answer)[: len(words)]


CHECK = row_check((LOOP, REPEATED_PROMPT), look)
