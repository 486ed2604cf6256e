"""Rows of a version that are near copies of rows kept for evaluation: what `prepare` writes down of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LeakedRow:
    """A row that says again what a row of an evaluation set says.

    ``row``: its number in the input file, from 1; ``hash``: its content hash. ``set``: the name of the evaluation set;
    ``set_row``: the number of the row there, from 1. ``share``: how much of that row's text it has, 0 to 1.
    """

    row: int
    hash: str
    set: str
    set_row: int
    share: float


@dataclass(frozen=True)
class SetLeaks:
    """One evaluation set. ``rows``: distinct ones; ``too_short``: those that say too little to be told from small talk;
    ``leaked``: those of which the version has a near copy.
    """

    rows: int
    too_short: int
    leaked: int


@dataclass(frozen=True)
class LeakReport:
    """Near copies of evaluation sets among the rows of a version.

    - ``rows``: that were looked at. ``leaked``: that are near copies. ``asked_only``: that have the question of a row
      of a set, and another answer than it; no rule counts these.
    - ``sets``: by name, in the order in which they are named.
    - ``listed``: the leaked rows by their numbers; where there are more than LISTED_LEAKS,
      those with the lowest hashes.
    """

    rows: int
    leaked: int
    asked_only: int
    sets: dict[str, SetLeaks]
    listed: tuple[LeakedRow, ...] = ()


# So many leaked rows are listed, so that prepare.json stays small enough for Git. More would say no more of a version.
LISTED_LEAKS = 1000
