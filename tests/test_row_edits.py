"""Edited rows: which past belongs to a row, on made-up versions whose edits are known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.records import Conversation, HashedRecord, Message, Preference, content_hash
from monitor.measures.row_edits import ANSWER, EXCHANGED, FORM, PROMPT, RowEdits, find_edits
from monitor.measures.row_sketch import RowSketch
from monitor.measures.row_split import split_rows
from monitor.measures.row_table import RowTable

Rows = list[HashedRecord]


def make_row(prompt: str, answer: str, system: str = "") -> HashedRecord:
    messages = (Message("user", prompt), Message("assistant", answer))
    record = Conversation((Message("system", system), *messages) if system else messages)
    return HashedRecord(record, content_hash(record))


def make_rows(count: int, seed: int = 0) -> Rows:
    return [make_row(f"Prompt {seed} {i}?", f"Answer {seed} {i} is this.") for i in range(count)]


def edit(row: HashedRecord, prompt: str | None = None, answer: str | None = None) -> HashedRecord:
    asked, said = row.record.messages[-2:]
    return make_row(asked.content if prompt is None else prompt, said.content if answer is None else answer)


def find(parent: Rows, rows: Rows, max_rows: int = 1_800, max_keys: int = 17_000) -> tuple[RowEdits, RowTable]:
    table = RowTable.of(parent, np.arange(len(parent), dtype=np.float64), max_rows)
    sketch = RowSketch.of([row_hash for _, row_hash in parent], max_keys)
    split = split_rows([row_hash for _, row_hash in rows], sketch)
    nothing_new = np.zeros(len(rows), dtype=bool)
    return find_edits(rows, split, np.full(len(rows), 7.0), nothing_new, table), table


def pairs(edits: RowEdits, table: RowTable) -> list[tuple[int, int, str]]:
    return list(zip(edits.rows.tolist(), table.position[edits.past].tolist(), edits.changed.tolist(), strict=True))


def test_each_kind_of_edit_is_found_beside_its_past() -> None:
    parent = make_rows(6)
    rows = [
        parent[0],
        edit(parent[1], answer="Something else."),
        edit(parent[2], prompt="Another question?"),
        edit(parent[3], answer="ANSWER 0 3, is  this"),
        make_row("Answer 0 4 is this.", "Prompt 0 4?"),
        make_row("Prompt 0 5?", "Answer 0 5 is this.", system="Be kind."),
        make_row("New?", "Yes."),
    ]
    edits, table = find(parent, rows)
    assert pairs(edits, table) == [(1, 1, ANSWER), (2, 2, PROMPT), (3, 3, FORM), (4, 4, EXCHANGED), (5, 5, FORM)]
    assert (edits.total, edits.coverage) == (5, 1)
    assert edits.loss.tolist() == [7] * 5
    assert edits.past_loss.tolist() == [1, 2, 3, 4, 5]


def test_what_an_edit_left_as_it_was_is_equal_to_its_past() -> None:
    parent = make_rows(40)
    edits, _ = find(parent, [edit(row, answer=row.record.messages[1].content.lower()) for row in parent])
    moved = {edits.features[i] for i in np.flatnonzero(np.any(edits.values != edits.past_values, axis=0))}
    assert moved == {"answer upper case", "answer compression ratio"} or moved == {"answer upper case"}


@pytest.mark.parametrize("parent_rows", [50, 1_800, 6_000])
def test_an_edit_of_one_side_is_found_and_counted_at_every_size(parent_rows: int) -> None:
    parent = make_rows(parent_rows)
    rows = [
        edit(row, answer=f"New {i}.") if i % 5 == 0 else edit(row, prompt=f"New {i}?") if i % 5 == 1 else row
        for i, row in enumerate(parent)
    ]
    # Neither table nor sketch hold all of the larger versions.
    edits, table = find(parent, rows, max_keys=2_000)
    assert all(now == before for now, before, _ in pairs(edits, table))
    assert set(edits.changed.tolist()) == {ANSWER, PROMPT}
    assert edits.total == pytest.approx(0.4 * parent_rows, rel=0.15)
    if parent_rows <= 1_800:
        assert edits.count == 0.4 * parent_rows


def test_a_row_of_unknown_standing_is_no_edit_where_the_table_does_not_cover_it() -> None:
    parent = make_rows(2_000)
    edits, table = find(parent, parent, max_rows=200, max_keys=100)
    assert edits.count == 0
    # Rows that share a prompt with a row that is gone, but were in the parent themselves.
    twins = [edit(row, answer=f"Twin {i}.") for i, row in enumerate(parent)]
    edits, table = find([*parent, *twins], twins, max_rows=200, max_keys=100)
    assert table.limit < 2**64
    assert edits.count == 0


def test_kept_rows_and_copies_of_kept_rows_are_no_edits() -> None:
    parent = make_rows(20)
    edits, _ = find(parent, [*parent[5:], *parent[5:], *make_rows(5, seed=1)])
    assert edits.count == 0 and edits.total == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.lists(st.integers(0, 3), max_size=12))
def test_every_row_has_one_past_at_most_however_many_prompts_are_equal(old: list[int], new: list[int]) -> None:
    parent = [make_row(f"Prompt {p}?", f"Old {i}.") for i, p in enumerate(old)]
    rows = [make_row(f"Prompt {p}?", f"New {i}.") for i, p in enumerate(new)]
    edits, _ = find(parent, rows)
    assert len(set(edits.rows.tolist())) == len(set(edits.past.tolist())) == edits.count
    assert edits.count == sum(min(old.count(p), new.count(p)) for p in range(4))
    for now, before in zip(edits.rows, edits.past, strict=True):
        assert new[now] == old[before]


def test_rows_that_share_a_prompt_are_matched_in_their_order() -> None:
    parent = [make_row("Tell a joke.", f"Old {i}.") for i in range(5)]
    edits, table = find(parent, [make_row("Tell a joke.", f"New {i}.") for i in range(4)])
    assert pairs(edits, table) == [(i, i, ANSWER) for i in range(4)]


def test_an_answer_that_several_questions_share_is_no_past() -> None:
    parent = [make_row(f"Is it {i}?", "Yes.") for i in range(5)]
    edits, _ = find(parent, [make_row(f"Was it {i}?", "Yes.") for i in range(5)])
    assert edits.count == 0


def test_empty_sides_are_no_past() -> None:
    parent = [make_row("", f"Text {i}.") for i in range(5)]
    edits, _ = find(parent, [make_row("", f"Other text {i}.") for i in range(5)])
    assert edits.count == 0


def test_answers_of_other_rows_are_traced_to_them() -> None:
    parent = make_rows(10)
    rows = [edit(parent[i], answer=parent[(i + 1) % 10].record.messages[1].content) for i in range(10)]
    edits, _ = find(parent, rows)
    assert edits.changed.tolist() == [ANSWER] * 10
    assert edits.moved_from.tolist() == [(i + 1) % 10 for i in range(10)]
    edits, _ = find(parent, [edit(row, answer=f"Fresh {i}.") for i, row in enumerate(parent)])
    assert edits.moved_from.tolist() == [-1] * 10


def test_answers_that_have_become_equal_are_shared() -> None:
    parent = make_rows(10)
    edits, _ = find(
        parent, [edit(row, answer="I cannot help." if i < 4 else f"New {i}.") for i, row in enumerate(parent)]
    )
    assert edits.shared.tolist() == [True] * 4 + [False] * 6
    assert not edits.past_shared.any()


def test_of_preferences_the_chosen_answer_is_the_answer() -> None:
    def pair(prompt: str, chosen: str, rejected: str) -> HashedRecord:
        record = Preference(
            (Message("user", prompt),), (Message("assistant", chosen),), (Message("assistant", rejected),)
        )
        return HashedRecord(record, content_hash(record))

    parent = [pair(f"Q {i}?", f"Good {i}.", f"Bad {i}.") for i in range(3)]
    rows = [parent[0], pair("Q 1?", "Better 1.", "Bad 1."), pair("Q 2?", "Good 2.", "Worse 2.")]
    edits, table = find(parent, rows)
    assert pairs(edits, table) == [(1, 1, ANSWER), (2, 2, FORM)]


def test_a_table_of_a_release_with_other_features_is_compared_by_those_that_both_have() -> None:
    parent = make_rows(30)
    table = RowTable.of(parent, np.zeros(30), 1_800)
    old = replace(table, features=("a feature of old", *table.features[1:]))
    rows = [edit(row, answer=f"New {i}.") for i, row in enumerate(parent)]
    split = split_rows([row_hash for _, row_hash in rows], RowSketch.of([row_hash for _, row_hash in parent]))
    edits = find_edits(rows, split, np.zeros(30), np.zeros(30, dtype=bool), old)
    assert edits.features == table.features[1:]
    np.testing.assert_array_equal(edits.past_values, table.values[:, 1:].astype(float))
    assert edits.spread.shape == (len(edits.features),)
