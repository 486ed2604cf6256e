"""FineWeb's own rules (Penedo et al., 2024, arXiv 2406.17557, section 3.6)."""

from __future__ import annotations

from selection.web_rules.gopher_repetition import duplicate_characters
from selection.web_rules.page import Page, Rule, share_of

# "documents where the fraction of lines ending with punctuation <= 0.12"
MIN_PUNCTUATED = 0.12
# "where the fraction of characters in duplicated lines >= 0.1"
MAX_DUPLICATE_CHARACTERS = 0.1
# "where the fraction of lines shorter than 30 characters >= 0.67"
SHORT_LINE = 30
MAX_SHORT = 0.67
# Ends of lines in the authors' program.
PUNCTUATION = (".", "'", '"', "!", "?")


def has_few_punctuated_lines(page: Page) -> bool:
    """At most 12% of the lines end with punctuation.

    >>> [has_few_punctuated_lines(Page("Yes.\\n" + "no\\n" * count)) for count in (7, 8)]
    [False, True]
    """
    return share_of(line.endswith(PUNCTUATION) for line in page.lines) <= MIN_PUNCTUATED


def has_duplicate_line_characters(page: Page) -> bool:
    """At least a tenth of the characters stand in lines that stood there before.

    >>> [has_duplicate_line_characters(Page("a\\na\\n" + "b" * count)) for count in (8, 9)]
    [True, False]
    """
    return duplicate_characters(page.lines) >= MAX_DUPLICATE_CHARACTERS


def has_many_short_lines(page: Page) -> bool:
    """At least 67% of the lines are shorter than 30 characters.

    >>> [has_many_short_lines(Page("\\n".join(["x" * 30] * 33 + ["short"] * count))) for count in (66, 67)]
    [False, True]
    """
    return share_of(len(line) < SHORT_LINE for line in page.lines) >= MAX_SHORT


RULES = (
    Rule("FineWeb: few lines end with punctuation", has_few_punctuated_lines),
    Rule("FineWeb: characters in duplicate lines", has_duplicate_line_characters),
    Rule("FineWeb: many short lines", has_many_short_lines),
)
