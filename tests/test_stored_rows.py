"""Rows of a prepared file that are read when they are asked for: the same as a list of them, in constant memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.errors import PreparedRowsError
from corpus.prepare import PrepareParams, prepare_file, read_prepared
from corpus.row_facts import characters_of, hashes_of, numbers_of, sources_of
from corpus.row_hashes import RowHashes
from corpus.stored_rows import BLOCK_BYTES, StoredRows

HASHES = st.lists(st.integers(0, 5).map(lambda i: f"{i * 7:08x}" * 4), max_size=40)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Rows of all lengths, one of them longer than a block; two copies, tools, a mask, characters beyond 16 bits."""
    texts = ["tea " * i for i in range(1, 200)] + ["x" * (2 * BLOCK_BYTES), "🍵 ü", "tea "]
    rows = [
        {
            "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": f"{text}, yes"}],
            "source": f"source {i % 3}",
        }
        for i, text in enumerate(texts)
    ]
    rows[5]["messages"].append({"role": "assistant", "content": "not this", "weight": 0})  # type: ignore[attr-defined]
    rows[7]["tools"] = [{"name": "search", "parameters": {}}]
    source, target = tmp_path / "data.jsonl", tmp_path / "prepared.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    # Longer ones are left out by default.
    prepare_file(source, target, PrepareParams(max_characters=10**7))
    return target


def test_they_are_the_rows_of_the_file_one_by_one_and_in_order(prepared: Path) -> None:
    rows, oracle = StoredRows(prepared), list(read_prepared(prepared))
    assert len(rows) == len(oracle) == 202
    assert list(rows) == oracle and [rows[i] for i in range(len(rows))] == oracle
    assert rows[-1] == oracle[-1] and rows[3:9:2] == oracle[3:9:2] and rows[np.int64(4)] == oracle[4]
    with pytest.raises(IndexError):
        rows[202]


def test_two_loops_go_through_them_at_once(prepared: Path) -> None:
    rows = StoredRows(prepared)
    assert all(a == b == rows[i] for i, (a, b) in enumerate(zip(rows, rows, strict=True)))


def test_what_is_known_without_reading_them_is_what_reading_them_tells(prepared: Path) -> None:
    rows, oracle = StoredRows(prepared), list(read_prepared(prepared))
    assert list(hashes_of(rows)) == [row.hash for row in oracle] == list(hashes_of(oracle))
    assert numbers_of(rows).tolist() == list(range(1, 203)) == numbers_of(oracle).tolist()
    characters = [sum(len(message.text) for _, message in row.record.turns()) for row in oracle]
    assert characters_of(rows).tolist() == characters == characters_of(oracle).tolist()
    assert sources_of(rows) == [row.record.source for row in oracle] == sources_of(oracle)


def test_a_file_that_takes_its_place_changes_nothing(prepared: Path, tmp_path: Path) -> None:
    rows, oracle = StoredRows(prepared), list(read_prepared(prepared))
    other = tmp_path / "other.jsonl"
    other.write_text("{}\n")
    other.replace(prepared)
    assert list(rows) == oracle and rows[10] == oracle[10]


@pytest.mark.parametrize(
    ("content", "cause"), [("", "is empty"), ("{}\n", "not a prepared row"), (None, "no such file")]
)
def test_what_is_no_prepared_file_is_refused(content: str | None, cause: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PreparedRowsError, match=cause):
        StoredRows(path)


def test_a_file_that_changes_while_it_is_used_is_refused(prepared: Path) -> None:
    rows = StoredRows(prepared)
    prepared.write_bytes(b"\0" * prepared.stat().st_size)
    with pytest.raises(PreparedRowsError, match="line 3"):
        rows[2]
    with pytest.raises(PreparedRowsError, match="line 1:"):
        list(rows)


@given(HASHES)
def test_hashes_are_told_apart_and_kept_in_order(hashes: list[str]) -> None:
    found = RowHashes.of(hashes)
    assert list(found) == hashes == [found[i] for i in range(len(found))] and list(found[1:3]) == hashes[1:3]
    assert found.flag_first().tolist() == [one not in hashes[:i] for i, one in enumerate(hashes)]
    assert [hashes[i] for i in found.order()] == sorted(hashes)
    numbers = found.number().tolist()
    assert numbers == [sorted(set(hashes)).index(one) for one in hashes]
