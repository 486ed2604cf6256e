"""The repetition rules of Gopher (Rae et al., 2021, arXiv 2112.11446, table A1): pages that repeat themselves."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence

from selection.web_rules.page import Page, Rule

# Table A1: the largest share that a page may have.
MAX_DUPLICATE_LINES = 0.30
MAX_DUPLICATE_PARAGRAPHS = 0.30
MAX_DUPLICATE_LINE_CHARACTERS = 0.20
MAX_DUPLICATE_PARAGRAPH_CHARACTERS = 0.20
# By the number of words: of all characters, those of the most frequent n-gram, and those of all repeated n-grams.
MAX_TOP_NGRAM = {2: 0.20, 3: 0.18, 4: 0.16}
MAX_DUPLICATE_NGRAMS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}


def duplicate_share(items: Sequence[str]) -> float:
    """What share of the items says again what an earlier one said.

    >>> duplicate_share(["a", "b", "a", "a"])
    0.5
    """
    return (len(items) - len(set(items))) / len(items) if items else 0.0


def duplicate_characters(items: Sequence[str]) -> float:
    """The same share in characters.

    >>> duplicate_characters(["word", "a", "word", "a"])
    0.5
    """
    total = sum(map(len, items))
    return (total - sum(map(len, set(items)))) / total if total else 0.0


def top_ngram_characters(words: Sequence[str], n: int) -> float:
    """What share of the words' characters the most frequent n-gram covers; 0 where none occurs twice.

    Of n-grams that occur equally often, the one with the most characters counts.

    >>> top_ngram_characters("to be or not to be".split(), 2)
    0.6153846153846154
    """
    counts = _count_ngrams(words, n)
    if not counts or max(counts.values()) < 2:
        return 0.0
    top = max(counts, key=lambda ngram: (counts[ngram], sum(map(len, ngram)), ngram))
    return _cover(words, n, {top})


def repeated_ngram_characters(words: Sequence[str], n: int) -> float:
    """What share of the words' characters lies in n-grams that occur more than once, "taking care not to count
    characters that occur in overlapping n-grams more than once" (A.1.1).

    >>> repeated_ngram_characters("a b c a b d".split(), 2)
    0.6666666666666666
    """
    counts = _count_ngrams(words, n)
    return _cover(words, n, {ngram for ngram, count in counts.items() if count > 1})


def _count_ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(words[start:] for start in range(n)), strict=False))


def _cover(words: Sequence[str], n: int, ngrams: set[tuple[str, ...]]) -> float:
    """The share of characters of the words that belong to one of the n-grams."""
    if not ngrams:
        return 0.0
    covered = [False] * len(words)
    for start in range(len(words) - n + 1):
        if tuple(words[start : start + n]) in ngrams:
            covered[start : start + n] = [True] * n
    characters = sum(len(word) for word, is_covered in zip(words, covered, strict=True) if is_covered)
    return characters / sum(map(len, words))


def has_duplicate_lines(page: Page) -> bool:
    """More than 30% of the lines, or 20% of their characters, stood there before.

    >>> [has_duplicate_lines(Page("x\\nlong line\\n" + "x\\n" * count)) for count in (0, 1)]
    [False, True]
    """
    lines = page.lines
    return duplicate_share(lines) > MAX_DUPLICATE_LINES or duplicate_characters(lines) > MAX_DUPLICATE_LINE_CHARACTERS


def has_duplicate_paragraphs(page: Page) -> bool:
    """The same for paragraphs.

    >>> [has_duplicate_paragraphs(Page("one\\n\\n" * count)) for count in (1, 2)]
    [False, True]
    """
    parts = page.paragraphs
    return (
        duplicate_share(parts) > MAX_DUPLICATE_PARAGRAPHS
        or duplicate_characters(parts) > MAX_DUPLICATE_PARAGRAPH_CHARACTERS
    )


def has_top_ngram(page: Page, n: int) -> bool:
    """One n-gram takes too much of the page."""
    return top_ngram_characters(page.words, n) > MAX_TOP_NGRAM[n]


def has_repeated_ngrams(page: Page, n: int) -> bool:
    """Repeated n-grams take too much of the page."""
    return repeated_ngram_characters(page.words, n) > MAX_DUPLICATE_NGRAMS[n]


RULES = (
    Rule("Gopher: duplicate lines", has_duplicate_lines),
    Rule("Gopher: duplicate paragraphs", has_duplicate_paragraphs),
    *(Rule(f"Gopher: most frequent {n}-gram", functools.partial(has_top_ngram, n=n)) for n in MAX_TOP_NGRAM),
    *(Rule(f"Gopher: repeated {n}-grams", functools.partial(has_repeated_ngrams, n=n)) for n in MAX_DUPLICATE_NGRAMS),
)
