"""Numbers of many rows looked up portion by portion: the same answers as at once."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus import key_lookup, row_hashes, side_facts
from corpus.key_lookup import is_among
from corpus.records import Conversation, HashedRecord, Message, content_hash
from corpus.row_hashes import RowHashes
from corpus.side_facts import choose_by_sides, side_facts_of

numbers = st.lists(st.sampled_from([0, 1, 2, 7, 2**63, 2**64 - 1]), max_size=20)
in_portions = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@in_portions
@given(numbers, numbers, st.integers(1, 5))
def test_a_value_is_among_the_few_or_not(
    monkeypatch: pytest.MonkeyPatch, values: list[int], few: list[int], portion: int
) -> None:
    monkeypatch.setattr(key_lookup, "PORTION", portion)
    found = is_among(np.array(values, dtype=np.uint64), np.array(few, dtype=np.uint64))
    assert found.tolist() == [value in few for value in values]


@in_portions
@given(st.lists(st.sampled_from(["a" * 32, "a" * 31 + "b", "b" + "a" * 31]), max_size=12), st.integers(1, 4))
def test_first_copies_are_flagged_whatever_the_portion(
    monkeypatch: pytest.MonkeyPatch, hashes: list[str], portion: int
) -> None:
    monkeypatch.setattr(row_hashes, "PORTION", portion)
    found = RowHashes.of(hashes).flag_first().tolist()
    assert found == [one not in hashes[:i] for i, one in enumerate(hashes)]


@pytest.mark.parametrize("portion", [1, 3, 100])
def test_rows_are_chosen_by_the_keys_of_their_sides(monkeypatch: pytest.MonkeyPatch, portion: int) -> None:
    monkeypatch.setattr(side_facts, "PORTION", portion)
    records = [
        Conversation((Message("user", f"Question {i % 4}?"), Message("assistant", f"Answer {i}."))) for i in range(10)
    ]
    rows = [HashedRecord(record, content_hash(record)) for record in records]
    facts = side_facts_of(rows)
    wanted = np.arange(10) != 5
    chosen, prompt, answer = choose_by_sides(
        rows, wanted, lambda i, prompt, answer: (prompt == facts.prompt[1]) | (answer == facts.answer[2]) | (i == 0)
    )
    assert chosen.tolist() == [0, 1, 2, 9]
    assert prompt.tolist() == facts.prompt[chosen].tolist() and answer.tolist() == facts.answer[chosen].tolist()
    assert choose_by_sides(rows, np.zeros(10, dtype=bool), lambda i, *_: i >= 0)[0].size == 0
