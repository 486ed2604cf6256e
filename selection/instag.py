"""InsTag: rows with many tags first, and of these the ones that bring a tag not seen yet (Lu et al., 2023)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from selection.budget import Budget, Spending


def select_instag(
    tags: Sequence[Iterable[str]], budget: Budget, token_counts: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Complexity-first diverse sampling, Algorithm 1 of https://arxiv.org/abs/2308.07074.

    The rows are looked at from the one with most tags to the one with fewest; of rows with equally many, the one that
    comes first in the pool. A row is taken when it has a tag that no row of this round had. At the end a new round
    begins, with no tags seen, over the rows that are left.

    ``tags``: of each row; the same tag twice counts once. A row without tags is never taken, so the budget may not be
    spent. Returns indices of rows in the pool, from 0, in the order of selection.

    The first row takes maths and proof; the second brings nothing new and waits for the next round:

    >>> select_instag([["maths", "proof"], ["maths"], ["poem"], []], Budget(rows=4))
    (0, 2, 1)
    """
    waiting: dict[frozenset[str], deque[int]] = {}
    for row, names in enumerate(tags):
        if distinct := frozenset(names):
            waiting.setdefault(distinct, deque()).append(row)
    spending = Spending(budget, token_counts)
    while waiting and not spending.is_over:
        _take_round(waiting, spending)
    return tuple(spending.rows)


def _take_round(waiting: dict[frozenset[str], deque[int]], spending: Spending) -> None:
    """One round. Of rows with the same tags only the first can be taken in it, so only that one is looked at."""
    seen: set[str] = set()
    for names in sorted(waiting, key=lambda names: (-len(names), waiting[names][0])):
        if names <= seen:
            continue
        if not spending.take(waiting[names][0]):
            return
        seen |= names
        waiting[names].popleft()
        if not waiting[names]:
            del waiting[names]
