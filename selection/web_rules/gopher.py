"""The quality rules of Gopher (Rae et al., 2021, arXiv 2112.11446, appendix A.1.1, "Quality Filtering")."""

from __future__ import annotations

import string

from selection.web_rules.page import Page, Rule, share_of

# "any document that does not contain between 50 and 100,000 words"
MIN_WORDS, MAX_WORDS = 50, 100_000
# "or whose mean word length is outside the range of 3 to 10 characters"
MIN_MEAN_LENGTH, MAX_MEAN_LENGTH = 3, 10
# "any document with a symbol-to-word ratio greater than 0.1 for either the hash symbol or the ellipsis"
MAX_SYMBOLS_A_WORD = 0.1
# "more than 90% of lines starting with a bullet point, or more than 30% ending with an ellipsis"
MAX_BULLETS = 0.9
MAX_ELLIPSES = 0.3
# "we require that 80% of words in a document contain at least one alphabetic character"
MIN_ALPHABETIC = 0.8
# "documents that do not contain at least two of the following English words"
MIN_STOP_WORDS = 2
STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})

# Signs that lists begin with, as in programs that rebuilt the filter; the paper names none.
BULLETS = ("•", "●", "○", "■", "□", "▪", "▫", "‣", "⁃", "-", "*")
ELLIPSES = ("...", "…")
_SIGNS = string.punctuation + "“”‘’…"


def has_odd_word_count(page: Page) -> bool:
    """Fewer than 50 words or more than 100,000.

    >>> [has_odd_word_count(Page("word " * count)) for count in (49, 50, 100_000, 100_001)]
    [True, False, False, True]
    """
    return not MIN_WORDS <= len(page.words) <= MAX_WORDS


def has_odd_word_length(page: Page) -> bool:
    """Words of fewer than 3 or more than 10 characters in the mean.

    >>> [has_odd_word_length(Page(text)) for text in ("a bcd", "abc def", "tenletters tenletters", "elevenchars")]
    [True, False, False, True]
    """
    mean = sum(map(len, page.words)) / max(len(page.words), 1)
    return not MIN_MEAN_LENGTH <= mean <= MAX_MEAN_LENGTH


def has_many_symbols(page: Page) -> bool:
    """More than one hash sign, or more than one ellipsis, for ten words.

    >>> [has_many_symbols(Page("word " * 9 + end)) for end in ("#tag", "#tag #tag", "so...", "so... and …")]
    [False, True, False, True]
    """
    most = MAX_SYMBOLS_A_WORD * len(page.words)
    ellipses = sum(page.text.count(sign) for sign in ELLIPSES)
    return page.text.count("#") > most or ellipses > most


def has_many_bullets(page: Page) -> bool:
    """More than 90% of the lines begin with a bullet.

    >>> [has_many_bullets(Page("- item\\n" * count + "line")) for count in (9, 10)]
    [False, True]
    """
    return share_of(line.startswith(BULLETS) for line in page.lines) > MAX_BULLETS


def has_many_ellipses(page: Page) -> bool:
    """More than 30% of the lines end with an ellipsis.

    >>> [has_many_ellipses(Page("so on...\\n" * count + "line\\n" * 7)) for count in (3, 4)]
    [False, True]
    """
    return share_of(line.endswith(ELLIPSES) for line in page.lines) > MAX_ELLIPSES


def has_few_letters(page: Page) -> bool:
    """Fewer than 80% of the words have a letter.

    >>> [has_few_letters(Page(text)) for text in ("one two three four 5", "one two three 4 5")]
    [False, True]
    """
    return share_of(any(map(str.isalpha, word)) for word in page.words) < MIN_ALPHABETIC


def has_few_stop_words(page: Page) -> bool:
    """Fewer than two of eight frequent English words, each counted once.

    >>> [has_few_stop_words(Page(text)) for text in ("The end of it.", "The end, the end.", "Das Ende.")]
    [False, True, True]
    """
    found = {word.strip(_SIGNS).lower() for word in page.words} & STOP_WORDS
    return len(found) < MIN_STOP_WORDS


RULES = (
    Rule("Gopher: not 50 to 100,000 words", has_odd_word_count),
    Rule("Gopher: mean word not of 3 to 10 characters", has_odd_word_length),
    Rule("Gopher: many # or ellipses", has_many_symbols),
    Rule("Gopher: many bullet lines", has_many_bullets),
    Rule("Gopher: many lines end in an ellipsis", has_many_ellipses),
    Rule("Gopher: few words with letters", has_few_letters),
    Rule("Gopher: few English stop words", has_few_stop_words),
)
