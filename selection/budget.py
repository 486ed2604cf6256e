"""How much may be selected: a number of rows or a number of tokens, counted the same way for every method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from corpus.errors import EntropylawError


@dataclass(frozen=True)
class Budget:
    """How much to select: a number of ``rows`` or a number of ``tokens``, exactly one of the two.

    The paper compares its methods at equal tokens (section 5.1.1), because equal rows favour methods that pick long
    rows. Raises EntropylawError when both or none is given, or a negative number.
    """

    rows: int | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        if (self.rows is None) == (self.tokens is None):
            raise EntropylawError("a selection needs a number of rows or a number of tokens: give one of the two")
        if self.limit < 0:
            raise EntropylawError(f"cannot select {self.limit} {self.unit}: give a number of at least 0")

    @property
    def limit(self) -> int:
        """The number, in ``unit``."""
        return next(number for number in (self.rows, self.tokens) if number is not None)

    @property
    def unit(self) -> str:
        """What ``limit`` counts: "rows" or "tokens"."""
        return "rows" if self.tokens is None else "tokens"


class Spending:
    """Rows taken one after the other until the budget is spent.

    A row that does not fit ends the selection: going on to a shorter one would favour short rows. ``token_counts``: the
    tokens of every row of the pool, which only a budget in tokens needs. Raises EntropylawError when it lacks them.

    >>> spending = Spending(Budget(tokens=10), token_counts=[6, 5, 4, 1])
    >>> spending.take_all([2, 1, 0, 3])
    >>> spending.rows, spending.spent
    ([2, 1], 9)
    """

    def __init__(self, budget: Budget, token_counts: Sequence[int] | None = None) -> None:
        if budget.tokens is not None and token_counts is None:
            raise EntropylawError("a budget in tokens needs the token count of every row")
        self.limit = budget.limit
        self._costs = None if budget.tokens is None else token_counts
        self.rows: list[int] = []
        self.spent = 0
        self.is_over = self.limit == 0

    def take(self, row: int) -> bool:
        """Take the row if the selection is not over and the row fits; say whether it was taken."""
        cost = 1 if self._costs is None else int(self._costs[row])
        if self.is_over or self.spent + cost > self.limit:
            self.is_over = True
            return False
        self.rows.append(row)
        self.spent += cost
        self.is_over = self.spent == self.limit
        return True

    def take_all(self, order: Iterable[int]) -> None:
        """Take rows in this order until one does not fit."""
        for row in order:
            if not self.take(row):
                return


def spend(budget: Budget, order: Iterable[int], token_counts: Sequence[int] | None = None) -> tuple[int, ...]:
    """The rows of an order, best first, that the budget pays for.

    >>> spend(Budget(rows=2), [7, 0, 5])
    (7, 0)
    """
    spending = Spending(budget, token_counts)
    spending.take_all(order)
    return tuple(spending.rows)
