"""Writing: what is written is read back, whole or not at all, in equal bytes."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from data_files import ROWS, write

from corpus.errors import DataError
from corpus.files import SUFFIXES, copy_rows, read_rows, write_rows


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_come_back_from_every_file_type_with_their_numbers(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    write_rows(path, ROWS)
    assert list(read_rows(path)) == list(enumerate(ROWS, start=1))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_rows_give_equal_bytes(tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    write_rows(first, ROWS)
    write_rows(second, ROWS)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_copied_rows_keep_order_and_every_field(tmp_path: Path, suffix: str) -> None:
    source, target = tmp_path / f"pool{suffix}", tmp_path / f"chosen{suffix}"
    write_rows(source, ROWS)
    copy_rows(source, target, [3, 1])
    assert [row for _, row in read_rows(target)] == [ROWS[2], ROWS[0]]


def test_copied_rows_are_found_by_their_line_number(tmp_path: Path) -> None:
    source, target = write(tmp_path, b'\n{"a": 1}\n\n{"a": 2}\n'), tmp_path / "chosen.jsonl"
    copy_rows(source, target, [4])
    assert target.read_text() == '{"a": 2}\n'
    with pytest.raises(DataError, match="line 3: no such row"):
        copy_rows(source, target, [4, 3])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    write_rows(path, ROWS)
    before = path.read_bytes()
    # No file type holds a complex number.
    with pytest.raises(DataError, match="cannot be written as"):
        write_rows(path, [{"text": "good"}, {"text": 1j}])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_date_from_parquet_cannot_become_json_unnoticed(tmp_path: Path) -> None:
    write_rows(tmp_path / "data.parquet", [{"when": datetime.date(2024, 5, 17)}])
    with pytest.raises(DataError, match=r"line 1: cannot be written as JSON: .* date"):
        copy_rows(tmp_path / "data.parquet", tmp_path / "data.jsonl", [1])
