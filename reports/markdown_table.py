"""A table in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """A Markdown table of cells already escaped; ``align`` has one of l, r for each column.

    >>> print(table(["name", "R"], [["x1", "2.861"]], "lr"))
    | name | R |
    | :--- | ---: |
    | x1 | 2.861 |
    """
    rule = [{"l": ":---", "r": "---:"}[column] for column in align]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))
