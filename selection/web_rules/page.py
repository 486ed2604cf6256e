"""A text as the rules for web pages read it: its lines, its paragraphs, its words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

_PARAGRAPHS = re.compile(r"\n{2,}")


@dataclass(frozen=True)
class Page:
    """One text. ``words`` are what white space separates; ``lines`` are those with anything in them, stripped.

    >>> page = Page("One line.  \\n\\nAnd two.")
    >>> page.lines, page.paragraphs, page.words
    (['One line.', 'And two.'], ['One line.', 'And two.'], ['One', 'line.', 'And', 'two.'])
    """

    text: str

    @cached_property
    def words(self) -> list[str]:
        return self.text.split()

    @cached_property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.text.split("\n") if line.strip()]

    @cached_property
    def paragraphs(self) -> list[str]:
        return [part.strip() for part in _PARAGRAPHS.split(self.text) if part.strip()]

    @cached_property
    def folded(self) -> str:
        """The text in lower case."""
        return self.text.lower()


@dataclass(frozen=True)
class Rule:
    """One rule of a paper: its name, as reports show it, and whether it removes a page."""

    name: str
    removes: Callable[[Page], bool]


def share_of(items: Iterable[bool]) -> float:
    """What share of the items is true; 0 of no items.

    >>> share_of([True, False]), share_of([])
    (0.5, 0.0)
    """
    answers = list(items)
    return sum(answers) / len(answers) if answers else 0.0
