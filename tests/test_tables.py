"""Tables: parquet, Arrow, CSV and TSV."""

from __future__ import annotations

import datetime
import random
import re
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest
from data_files import ROWS, TEXT_ROWS, failure, read_all, rows_of, write
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import DataError
from corpus.files import TABLE_SUFFIXES, copy_rows, read_rows, write_rows


@pytest.mark.parametrize("content", [b"PAR1 this is not parquet PAR1", b"no", b'{"a": 1}\n' * 100])
def test_a_file_that_only_claims_to_be_parquet_is_an_error(tmp_path: Path, content: bytes) -> None:
    assert failure(write(tmp_path, content, "data.parquet")).startswith(", row 1: not parquet, or damaged: ")


def test_a_damaged_or_shortened_parquet_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    write_rows(path, [{"text": f"row {n}"} for n in range(1000)])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "not parquet, or damaged" in failure(path)
    # One flipped bit in the first column's values, which only the page's checksum can notice.
    path.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    assert "not parquet, or damaged" in failure(path)


def test_invalid_utf8_in_parquet_names_its_row(tmp_path: Path) -> None:
    offsets = pyarrow.py_buffer(bytes(byte for end in (0, 2, 4, 6) for byte in end.to_bytes(4, "little")))
    column = pyarrow.StringArray.from_buffers(3, offsets, pyarrow.py_buffer(b"ab\xff\xfecd"))
    pyarrow.parquet.write_table(pyarrow.table({"text": column}), tmp_path / "data.parquet")
    assert failure(tmp_path / "data.parquet") == ", row 2: invalid UTF-8"


def test_an_over_long_parquet_row_is_named_across_batches(tmp_path: Path) -> None:
    rows = [{"text": "short"} for _ in range(300)] + [{"text": "x" * 5000}]
    write_rows(tmp_path / "data.parquet", rows)
    assert failure(tmp_path / "data.parquet", max_row_bytes=4000) == ", row 301: longer than 4,000 bytes"


def test_a_parquet_file_without_rows_is_an_error(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"text": pyarrow.array([], pyarrow.string())}), tmp_path / "data.parquet")
    assert failure(tmp_path / "data.parquet") == ": holds no rows"


def test_memory_of_parquet_does_not_grow_with_the_number_of_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    table = pyarrow.table({"text": [random.Random(n).randbytes(4000).hex() for n in range(2000)]})
    pyarrow.parquet.write_table(table, path, row_group_size=100, compression="none", use_dictionary=False)
    del table
    before = pyarrow.total_allocated_bytes()
    peak = max(pyarrow.total_allocated_bytes() for _ in read_rows(path)) - before
    assert peak < 4e6  # of 16 MB of text


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_parquet_file_with_any_byte_changed_is_rows_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.parquet"
    write_rows(path, ROWS)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        assert all(isinstance(row, dict) for _, row in read_rows(path))
    except DataError as error:
        assert "\n" not in str(error)


def test_a_copied_parquet_keeps_its_schema(tmp_path: Path) -> None:
    schema = pyarrow.schema(
        {
            "text": pyarrow.large_string(),
            "when": pyarrow.timestamp("us", "UTC"),
            "label": pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
            "small": pyarrow.int8(),
            "vector": pyarrow.list_(pyarrow.float32()),
            "missing": pyarrow.string(),
        },
        metadata={"owner": "data team"},
    )
    when = datetime.datetime(2024, 5, 17, 12, 30, tzinfo=datetime.UTC)
    rows = [
        {"text": f"t{n}", "when": when, "label": "a", "small": n, "vector": [0.1, n], "missing": None} for n in range(5)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), tmp_path / "pool.parquet")
    pool = pyarrow.parquet.read_table(tmp_path / "pool.parquet")
    assert pool.schema.metadata[b"owner"] == b"data team"
    copy_rows(tmp_path / "pool.parquet", tmp_path / "chosen.parquet", [4, 2])
    copied = pyarrow.parquet.read_table(tmp_path / "chosen.parquet")
    assert copied.schema.equals(pool.schema, check_metadata=True)
    assert copied.equals(pool.take([3, 1]))


def test_columns_of_later_rows_are_written_to_parquet(tmp_path: Path) -> None:
    write_rows(tmp_path / "data.parquet", [{"a": 1}, {"b": "x"}])
    assert [row for _, row in read_rows(tmp_path / "data.parquet")] == [{"a": 1, "b": None}, {"a": None, "b": "x"}]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_rows_too_long_of_a_typed_table_are_told_and_passed_over(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    write_rows(path, [{"text": "short"}, {"text": "x" * 5000}, {"text": "short"}])
    assert read_all(path) == ([1, 3], [(2, "too long")])


def test_both_layouts_of_arrow_are_read_and_copied(tmp_path: Path) -> None:
    table = pyarrow.table({"text": ["a", "b", "c"], "n": pyarrow.array([1, 2, 3], pyarrow.int8())})
    pyarrow.feather.write_feather(table, tmp_path / "file.arrow", compression="zstd")
    with pyarrow.ipc.new_stream(tmp_path / "stream.arrow", table.schema) as writer:
        writer.write_table(table)
    for name in ("file.arrow", "stream.arrow"):
        assert rows_of(tmp_path / name) == table.to_pylist()
        copy_rows(tmp_path / name, tmp_path / "copy.arrow", [3, 1])
        assert pyarrow.ipc.open_stream(tmp_path / "copy.arrow").read_all().equals(table.take([2, 0]))


def test_arrow_data_cut_short_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "data.arrow"
    write_rows(path, [{"text": f"row {n}"} for n in range(1000)])
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="not Arrow, or damaged"):
        rows_of(path)


def test_binary_columns_are_given_as_they_are(tmp_path: Path) -> None:
    table = pyarrow.table({"text": pyarrow.array([b"caf\xc3\xa9"], pyarrow.binary())})
    pyarrow.parquet.write_table(table, tmp_path / "data.parquet")
    assert rows_of(tmp_path / "data.parquet") == [{"text": b"caf\xc3\xa9"}]


@pytest.mark.parametrize("suffix", TABLE_SUFFIXES)
def test_texts_come_back_from_every_table_with_their_numbers(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    write_rows(path, TEXT_ROWS)
    assert list(read_rows(path)) == list(enumerate(TEXT_ROWS, start=1))


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@settings(max_examples=60, deadline=None)
@given(cells=st.lists(st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]))] * 2), min_size=1, max_size=4))
def test_any_text_comes_back_from_a_table(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, cells: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    rows = [{"a b": first or None, "c": second or None} for first, second in cells if (first, second) != ("a b", "c")]
    if rows:
        write_rows(path, rows)
        assert rows_of(path) == rows


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_another_delimiter_of_a_csv_file_is_seen(tmp_path: Path, delimiter: str) -> None:
    content = f'prompt{delimiter}completion\n"a,b"{delimiter}c\n'.encode()
    assert rows_of(write(tmp_path, content, "data.csv")) == [{"prompt": "a,b", "completion": "c"}]


def test_what_excel_is_told_of_the_delimiter_is_no_header(tmp_path: Path) -> None:
    path = write(tmp_path, b"sep=|\r\nprompt|completion\r\na,b|c\r\n", "data.csv")
    assert rows_of(path) == [{"prompt": "a,b", "completion": "c"}]


def test_a_table_may_begin_with_a_mark_and_end_its_lines_as_windows_does(tmp_path: Path) -> None:
    path = write(tmp_path, '\ufeffprompt,completion\r\n"a\r\nb",\r\n\r\n1,02\r\n'.encode(), "data.csv")
    assert list(read_rows(path)) == [
        (1, {"prompt": "a\r\nb", "completion": None}),
        (2, {"prompt": "1", "completion": "02"}),
    ]


def test_a_column_without_a_name_is_called_as_pandas_calls_it(tmp_path: Path) -> None:
    assert rows_of(write(tmp_path, b",prompt\n0,a\n", "data.csv")) == [{"Unnamed: 0": "0", "prompt": "a"}]


TABLE_ERRORS = {
    "header twice": (b"a,b,a\n1,2,3\n", ", line 1: the header names the column 'a' twice"),
    "no header": (b"x" * 300 + b",y\n1,2\n", ", line 1: the first line must name the columns"),
    "blank header": (b",,\n1,2,3\n", ", line 1: the first line must name the columns"),
    "more cells": (b"a,b\n1,2\n1,2,3\n", r", row 2: 3 cells, but the header names 2 columns; .* \(up to line 3\)"),
    "fewer cells": (b"a,b\n1\n", ", row 1: 1 cells, but the header names 2 columns"),
    "open quote": (b'a,b\n1,"2\n3,4\n', ", row 1: not a table: unexpected end of data; quotes within"),
    "bare quote": (b'a,b\n1,"2" or 3\n', ", row 1: not a table: .*; quotes within a cell must be doubled"),
    "header again": (b"a,b\n1,2\na,b\n3,4\n", r", row 2: repeats the header \(line 3\); two files put together"),
    "latin-1": (b"a,b\n1,caf\xe9\n", ", line 2: not UTF-8: byte 0xe9 at byte 6 of the line"),
    "json": (b'{"a": 1}\n', ": holds JSON, not a table; call it .jsonl or .json"),
    "only a header": (b"a,b\n", ": holds no rows"),
    "blank": (b"\n\n", ": holds no rows"),
}


@pytest.mark.parametrize("case", TABLE_ERRORS)
@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz"])
def test_what_is_wrong_with_a_table_is_named_with_its_place(tmp_path: Path, name: str, case: str) -> None:
    content, expected = TABLE_ERRORS[case]
    message = failure(write(tmp_path, content, name))
    assert re.match(expected, message), message


def test_cells_may_be_far_longer_than_the_library_expects(tmp_path: Path) -> None:
    path = write(tmp_path, b"a,b\n" + b"x" * 500_000 + b',"' + b"\n" * 500_000 + b'"\n1,2\n', "data.csv")
    assert [len(row["a"]) for row in rows_of(path)] == [500_000, 1]
    assert read_all(path, 999_999) == ([2], [(1, "too long")])


@pytest.mark.parametrize("value", [1, True, ["a"], {"a": 1}])
def test_only_texts_are_written_to_a_table(tmp_path: Path, value: object) -> None:
    with pytest.raises(DataError, match="row 1: cannot be written as a table: 'a' is "):
        write_rows(tmp_path / "data.csv", [{"a": value}])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", [pyarrow.parquet.write_table, pyarrow.feather.write_feather])
def test_a_long_text_that_every_row_has_is_no_hostile_table(tmp_path: Path, write: Any) -> None:
    rows, prompt = 5_000, "Be brief. " * 2_000
    numbers = pyarrow.array(range(rows))
    system = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, pyarrow.int32()), pyarrow.array([prompt]))
    path = tmp_path / ("data.parquet" if write is pyarrow.parquet.write_table else "data.arrow")
    write(pyarrow.table({"system": system, "prompt": numbers}), path)
    assert rows * len(prompt) > 2**26 + 200 * path.stat().st_size
    assert sum(row["system"] == prompt for _, row in read_rows(path)) == rows
