"""Excerpts of flagged rows' texts, as long as a report shows them."""

from __future__ import annotations

from dataclasses import dataclass

from reports.escaping import escape_lines

# Enough to recognise a row in a table of twenty.
START_CHARACTERS = 300
# Enough to see what is wrong with a row; the data file has the rest.
SHOWN_CHARACTERS = 2000


@dataclass(frozen=True)
class Excerpt:
    """The start of a text and more of it, with invisible characters as escapes; an ellipsis stands where it was cut."""

    start: str
    rest: str


def cut_excerpt(text: str) -> Excerpt:
    r"""The first 300 characters of a row's text, and those after them up to the 2,000th.

    >>> cut_excerpt("user: Hi\n\nassistant:\tHello!\x07\n")
    Excerpt(start='user: Hi\nassistant: Hello!\\x07', rest='')
    """
    shown = escape_lines(text, SHOWN_CHARACTERS)
    if len(shown) <= START_CHARACTERS:
        return Excerpt(shown, "")
    return Excerpt(shown[: START_CHARACTERS - 1] + "…", "…" + shown[START_CHARACTERS - 1 :])
