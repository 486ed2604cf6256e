"""The rules of C4 (Raffel et al., 2020, arXiv 1910.10683, section 2.2).

C4 takes lines out of pages. A training row is taken whole or not at all, so lines are left out only to judge what is
left of it. Not here: the list of bad words, which is not ours to ship, the language detector, and the removal of
repeated spans of three sentences, which compares pages (ZIP and `entropylaw lint` see copies).
"""

from __future__ import annotations

import re

from selection.web_rules.page import Page, Rule

# "We only retained lines that ended in a terminal punctuation mark (i.e. a period, exclamation mark, question mark, or
# end quotation mark)"; an ellipsis is none in the authors' program.
TERMINAL = (".", "!", "?", '"', "”")
ELLIPSES = ("...", "…")
# "We discarded any page with fewer than 3 sentences and only retained lines that contained at least 5 words."
MIN_SENTENCES = 3
MIN_WORDS = 5
# "Any lines containing the strings ..." (boilerplate policy notices)
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")

_SENTENCE_ENDS = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s|$)")


def has_lorem_ipsum(page: Page) -> bool:
    """ "We removed any page where the phrase 'lorem ipsum' appeared."

    >>> has_lorem_ipsum(Page("Lorem Ipsum dolor")), has_lorem_ipsum(Page("Ipsum."))
    (True, False)
    """
    return "lorem ipsum" in page.folded


def has_curly_bracket(page: Page) -> bool:
    """ "Since the curly bracket '{' appears in many programming languages ... we removed any pages that contained" one.

    >>> has_curly_bracket(Page("int main() {")), has_curly_bracket(Page("f(x) = [1]"))
    (True, False)
    """
    return "{" in page.text


def has_few_sentences(page: Page) -> bool:
    """Whether the lines that C4 retains have fewer than three sentences.

    >>> has_few_sentences(Page("This is a first sentence. This is a second. And here is a third one."))
    False
    >>> has_few_sentences(Page("This is a first sentence. This is a second.\\nAnd a third that does not end"))
    True
    """
    return _count_sentences(page, needs_terminal=True) < MIN_SENTENCES


def has_few_sentences_anyhow(page: Page) -> bool:
    """The same without the need of terminal punctuation: FineWeb left that part out, "as it removed the most" text.

    >>> has_few_sentences_anyhow(Page("This is a first sentence. This is a second.\\nAnd a third that does not end"))
    False
    """
    return _count_sentences(page, needs_terminal=False) < MIN_SENTENCES


def count_sentences(line: str) -> int:
    """The ends of sentences in a line that has text, and one more for a last one without an end.

    >>> count_sentences("Is it 3.5? Yes (it is.) So"), count_sentences("no end")
    (3, 1)
    """
    ends = list(_SENTENCE_ENDS.finditer(line))
    is_open = not ends or ends[-1].end() < len(line)
    return len(ends) + is_open


def is_retained(line: str, needs_terminal: bool = True) -> bool:
    """Whether C4 keeps a line.

    >>> lines = ("Four words are few.", "Five words are just enough.", "Please enable Javascript now, dear.")
    >>> [is_retained(line) for line in lines]
    [False, True, False]
    """
    if needs_terminal and (not line.endswith(TERMINAL) or line.endswith(ELLIPSES)):
        return False
    folded = line.lower()
    # "We removed any line with the word Javascript."
    if "javascript" in folded or any(phrase in folded for phrase in POLICY):
        return False
    return len(line.split()) >= MIN_WORDS


def _count_sentences(page: Page, needs_terminal: bool) -> int:
    return sum(count_sentences(line) for line in page.lines if is_retained(line, needs_terminal))


LOREM_IPSUM = Rule("C4: lorem ipsum", has_lorem_ipsum)
CURLY_BRACKET = Rule("C4: curly bracket", has_curly_bracket)
RULES = (LOREM_IPSUM, CURLY_BRACKET, Rule("C4: fewer than 3 sentences", has_few_sentences))
# As FineWeb uses them (Penedo et al., 2024, section 3.5).
RULES_OF_FINEWEB = (LOREM_IPSUM, CURLY_BRACKET, Rule("C4: fewer than 3 sentences", has_few_sentences_anyhow))
