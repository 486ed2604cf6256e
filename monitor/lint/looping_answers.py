"""Answers that repeat themselves, as a model does that has lost its way, and answers that only repeat the prompt."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

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
# The longest loop that is looked for: a paragraph of some sentences.
MAX_PERIOD_WORDS = 60
# A text is looked at where a piece of so many characters stands in it nearly MIN_TIMES times. Such pieces are taken at
# steps half as long as the shortest loop, so that one lies in every loop.
PIECE_CHARACTERS = 12
# A loop goes on to the end of an answer as a rule, and so much of it is enough to see one.
READ_CHARACTERS = 20_000
# A shorter prompt, such as "Say hello", may well be its answer.
MIN_PROMPT_WORDS = 8

_HAS_LETTER = re.compile(r"[^\W\d_]")


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
    """Where words begin to repeat themselves MIN_TIMES or more in direct succession; None where they do not.

    Only repetitions with letters count: rows of zeros and rulers are tables and drawings.

    >>> find_loop("Tea is good. " + "I like it very much. " * 5)
    13
    >>> find_loop("Tea is good. " * 3)
    """
    skipped = max(0, len(text) - READ_CHARACTERS)
    text = text[skipped:]
    if not _may_loop(text):
        return None
    words = list(re.finditer(r"\S+", text))
    said = [word[0] for word in words]
    for period in range(1, min(MAX_PERIOD_WORDS, len(said) // MIN_TIMES) + 1):
        run = 0
        for i in range(len(said) - period + 1):
            if i < len(said) - period and said[i] == said[i + period]:
                run += 1
                continue
            first, last = i - run, i + period - 1
            long_enough = words[last].end() - words[first].start() >= MIN_CHARACTERS
            if run >= (MIN_TIMES - 1) * period and long_enough and _is_said(said[first : first + period]):
                return skipped + words[first].start()
            run = 0
    return None


def _may_loop(text: str) -> bool:
    starts = range(0, len(text) - PIECE_CHARACTERS, MIN_CHARACTERS // 2)
    return any(text.count(text[i : i + PIECE_CHARACTERS]) >= MIN_TIMES - 1 for i in starts)


def _is_said(unit: Sequence[str]) -> bool:
    """Whether most words of a unit are words: not numbers, signs or cells of a table."""
    return 2 * sum(1 for word in unit if _HAS_LETTER.search(word)) > len(unit)


def _says_the_same(prompt: str, answer: str) -> bool:
    # Compared by length first: taking texts apart into words is the slow part.
    if not prompt or not 0.8 <= len(answer.strip()) / max(1, len(prompt.strip())) <= 1.25:
        return False
    words = words_of(prompt)
    return len(words) >= MIN_PROMPT_WORDS and words == words_of(answer)


CHECK = row_check((LOOP, REPEATED_PROMPT), look)
