"""One budget for every selection method."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.errors import EntropylawError
from selection.budget import Budget, Spending, spend

costs = st.lists(st.integers(0, 20), max_size=30)


@given(costs, st.integers(0, 40))
def test_a_row_budget_takes_the_first_rows_of_the_order(tokens: list[int], limit: int) -> None:
    order = list(reversed(range(len(tokens))))
    assert spend(Budget(rows=limit), order, tokens) == tuple(order[:limit])


@given(costs, st.integers(0, 200))
def test_a_token_budget_takes_the_longest_beginning_of_the_order_that_fits(tokens: list[int], limit: int) -> None:
    taken = spend(Budget(tokens=limit), range(len(tokens)), tokens)
    assert taken == tuple(range(len(taken)))
    assert sum(tokens[: len(taken)]) <= limit
    # It stops only at the end, at a row that does not fit, or with nothing left to spend.
    if len(taken) < len(tokens):
        assert sum(tokens[: len(taken) + 1]) > limit or sum(tokens[: len(taken)]) == limit


def test_a_row_too_long_ends_the_selection_even_if_a_shorter_one_follows() -> None:
    spending = Spending(Budget(tokens=10), [6, 5, 1])
    assert spending.take(0)
    assert not spending.take(1)
    assert not spending.take(2)
    assert (spending.rows, spending.spent, spending.is_over) == ([0], 6, True)


def test_a_budget_of_nothing_is_over_from_the_start() -> None:
    assert Spending(Budget(rows=0)).is_over
    assert spend(Budget(tokens=0), [0, 1], [1, 1]) == ()


@pytest.mark.parametrize("wrong", [{}, {"rows": 1, "tokens": 1}])
def test_a_budget_is_in_rows_or_in_tokens(wrong: dict[str, int]) -> None:
    with pytest.raises(EntropylawError, match="one of the two"):
        Budget(**wrong)


@pytest.mark.parametrize(("wrong", "named"), [({"rows": -1}, "-1 rows"), ({"tokens": -5}, "-5 tokens")])
def test_a_negative_budget_is_refused(wrong: dict[str, int], named: str) -> None:
    with pytest.raises(EntropylawError, match=f"cannot select {named}"):
        Budget(**wrong)


def test_tokens_cannot_be_counted_without_token_counts() -> None:
    with pytest.raises(EntropylawError, match="token count of every row"):
        spend(Budget(tokens=3), [0])
