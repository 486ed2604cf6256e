"""Row tables: what they keep, that both ends of an edit are sampled alike, and that damage is seen."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.artifacts import to_json
from corpus.records import Conversation, HashedRecord, Message, content_hash
from corpus.row_sides import side_key, split_sides
from corpus.shapes import parse_shape
from corpus.side_facts import NO_KEY, measure_sides
from monitor.measures.row_table import (
    ALL_KEYS,
    MAX_SHARED_KEY,
    PackedTable,
    RowTable,
    content_keys,
)
from monitor.measures.side_features import FEATURE_NAMES, measure_side_features


def make_row(prompt: str, answer: str, source: str = "forum") -> HashedRecord:
    record = Conversation((Message("user", prompt), Message("assistant", answer)), source)
    return HashedRecord(record, content_hash(record))


def make_rows(count: int, seed: int = 0) -> list[HashedRecord]:
    return [make_row(f"Prompt {seed} {i}?", f"Answer {seed} {i} is this.") for i in range(count)]


def make_table(rows: list[HashedRecord], max_rows: int = 2_000) -> RowTable:
    return RowTable.of(rows, np.arange(len(rows), dtype=np.float64), max_rows)


def test_a_small_version_is_in_the_table_row_by_row() -> None:
    rows = [make_row("Tea?", "Yes."), make_row("Milk?", "No.", "mail"), make_row("Tea?", "Yes."), make_row("", "Hm.")]
    table = make_table(rows)
    assert (table.rows, table.limit) == (3, ALL_KEYS)
    assert table.position.tolist() == [0, 1, 3]
    assert table.loss.tolist() == [0, 1, 3]
    assert [table.sources[i] for i in table.source] == ["forum", "mail", "forum"]
    assert table.content.tolist() == [int(rows[i].hash[:16], 16) for i in (0, 1, 3)]
    assert table.prompt.tolist() == [side_key("Tea?"), side_key("Milk?"), NO_KEY]
    assert table.features == FEATURE_NAMES
    expected = measure_side_features([split_sides(rows[i].record) for i in (0, 1, 3)])
    np.testing.assert_allclose(table.values.astype(float), expected, rtol=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 300), st.integers(1, 50), st.integers(0, 5))
def test_json_gives_the_table_back(count: int, max_rows: int, seed: int) -> None:
    table = make_table(make_rows(count, seed), max_rows)
    packed = parse_shape(json.loads(to_json(table.pack())), PackedTable)
    assert RowTable.unpack(packed) == table
    np.testing.assert_array_equal(RowTable.unpack(packed).values, table.values)
    assert table.content.size <= max_rows


@pytest.mark.parametrize("count", [100, 1_000, 5_000])
def test_a_row_that_was_edited_on_one_side_is_covered_by_the_other_at_every_size(count: int) -> None:
    table = make_table(make_rows(count), max_rows=200)
    kept = set(table.position.tolist())
    fresh = make_rows(count, seed=9)
    # Row i with a new answer is covered by its prompt exactly where the table has the row of that prompt.
    pairs = zip(make_rows(count), fresh, strict=True)
    sides = [split_sides(old.record)._replace(answer=split_sides(new.record).answer) for old, new in pairs]
    covered = np.flatnonzero(table.covers_key(measure_sides(sides).prompt))
    assert covered.size
    assert set(covered.tolist()) <= kept
    assert covered.size == pytest.approx(count * table.limit / ALL_KEYS, rel=0.3)


@pytest.mark.parametrize("count", [150, 3_000])
def test_the_table_has_exactly_the_rows_that_it_covers(count: int) -> None:
    rows = make_rows(count)
    table = make_table(rows, max_rows=200)
    covered = table.covers(*measure_sides(split_sides(row.record) for row in rows)[:2])
    assert np.flatnonzero(covered).tolist() == table.position.tolist()
    assert table.content.size == min(count, 200)


@pytest.mark.parametrize("max_rows", [200, 50, 1])
def test_a_thinned_table_is_the_smaller_table_of_the_same_rows(max_rows: int) -> None:
    rows = make_rows(1_000)
    assert make_table(rows, 400).thinned(max_rows) == make_table(rows, max_rows)


def test_a_prompt_that_very_many_rows_share_neither_fills_the_table_nor_empties_it() -> None:
    # Its key is among the lowest of all.
    common = min((f"Go on {i}." for i in range(20_000)), key=side_key)
    rows = [make_row(common, f"Answer {i}.") for i in range(20 * MAX_SHARED_KEY)]
    table = make_table(rows, max_rows=300)
    assert table.content.size == 300
    assert table.crowded == (side_key(common),)
    assert not table.covers_key(np.array([side_key(common)], dtype=np.uint64)).any()
    assert RowTable.unpack(table.pack()) == table


def test_rows_without_a_prompt_are_sampled_by_their_answers() -> None:
    table = make_table([make_row("", f"Answer {i}.") for i in range(1_000)], max_rows=100)
    assert table.content.size == 100
    assert not table.covers_key(np.array([NO_KEY], dtype=np.uint64)).any()


def test_order_and_copies_of_rows_do_not_change_which_rows_are_in_the_table() -> None:
    rows = make_rows(800)
    once, again = make_table(rows, 100), make_table(rows[::-1] + rows, 100)
    assert set(once.content.tolist()) == set(again.content.tolist())
    assert once.rows == again.rows


def test_the_written_form_never_changes() -> None:
    # Histories outlive releases. The words of zlib may change with its version, what it packs may not.
    table = make_table(make_rows(300), max_rows=100)
    parts = [getattr(table, name).tobytes() for name in ("content", "prompt", "answer", "position", "source", "loss")]
    assert hashlib.blake2b(b"".join(parts), digest_size=8).hexdigest() == "9802d94ad60693f2"


def broken(**damage: object) -> PackedTable:
    return dataclasses.replace(make_table(make_rows(100), 40).pack(), **damage)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "damage",
    [
        {"packed": "AAAA"},
        {"packed": "not base64"},
        {"packed": "é"},
        {"packed": ""},
        {"kept": 41},
        {"kept": 39},
        {"kept": -1},
        {"kept": 2**64},
        {"limit": 1},
        {"limit": -1},
        {"limit": 2**64 + 1},
        {"crowded": (-1,)},
        {"rows": 10},
        {"format": 2},
        {"features": ("one",)},
        {"sources": ()},
    ],
)
def test_a_damaged_table_is_an_error(damage: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="row table"):
        RowTable.unpack(broken(**damage))


def test_a_small_file_that_unpacks_without_end_is_refused_early() -> None:
    import base64
    import zlib

    packed = base64.b64encode(zlib.compress(bytes(50_000_000), 9)).decode()
    with pytest.raises(ValueError, match="promised"):
        RowTable.unpack(broken(packed=packed))


def test_tables_of_different_rows_are_not_equal() -> None:
    table = make_table(make_rows(50))
    assert table == make_table(make_rows(50))
    assert table != dataclasses.replace(table, loss=table.loss + 1)
    assert table != make_table(make_rows(50, seed=1))
    assert table != "table"


def test_content_keys_are_the_first_half_of_a_hash() -> None:
    assert content_keys(["00000000000000ff" + "1" * 16]).tolist() == [255]
