"""Data files: what is written is read back, and what cannot be read is one clear error."""

from __future__ import annotations

import datetime
import gzip
import json
import pickle
import random
import re
import tracemalloc
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import DataError
from corpus.files import SUFFIXES, copy_rows, read_rows, write_rows

ROWS = [
    {"id": 1, "text": "plain", "turns": [{"role": "user", "content": "Hi"}], "score": 0.5},
    {"id": 2, "text": "snow ☃, astral 😀, a line\nbreak, \u2028 and \x85", "turns": [], "score": -1e-9},
    {"id": 3, "text": "", "turns": [{"role": "user", "content": "a\tb\\"}], "score": 3.0},
]
# Floats may be any finite number; text is any that UTF-8 can hold, so no surrogates.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def write(folder: Path, content: bytes, name: str = "data.jsonl") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def failure(path: Path, **limits: int) -> str:
    """The message without the folder; it must be one line."""
    with pytest.raises(DataError) as caught:
        list(read_rows(path, **limits))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_come_back_from_every_file_type_with_their_numbers(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    write_rows(path, ROWS)
    assert list(read_rows(path)) == list(enumerate(ROWS, start=1))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.dictionaries(TEXT, VALUES, max_size=4), min_size=1, max_size=5))
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".json.gz"])
def test_any_json_object_comes_back_unchanged(tmp_path_factory: pytest.TempPathFactory, suffix: str, rows) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    write_rows(path, rows)
    assert [row for _, row in read_rows(path)] == rows


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_files_written_by_the_json_module_are_read(tmp_path: Path, suffix: str) -> None:
    # ASCII with surrogate-pair escapes, which is how json.dump writes by default.
    text = "\n".join(map(json.dumps, ROWS)) if suffix == ".jsonl" else json.dumps(ROWS, indent=2)
    assert "\\ud83d\\ude00" in text
    path = write(tmp_path, text.encode(), f"data{suffix}")
    assert [row for _, row in read_rows(path)] == ROWS


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_rows_give_equal_bytes(tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    write_rows(first, ROWS)
    write_rows(second, ROWS)
    assert first.read_bytes() == second.read_bytes()


def test_blank_lines_are_skipped_but_counted(tmp_path: Path) -> None:
    path = write(tmp_path, b'\n{"a": 1}\r\n  \n\n{"a": 2}')
    assert list(read_rows(path)) == [(2, {"a": 1}), (5, {"a": 2})]


@pytest.mark.parametrize(("name", "content"), [("data.jsonl", b'{"a": 1}\n'), ("data.json", b'[{"a": 1}]')])
def test_a_byte_order_mark_is_accepted(tmp_path: Path, name: str, content: bytes) -> None:
    assert list(read_rows(write(tmp_path, b"\xef\xbb\xbf" + content, name))) == [(1, {"a": 1})]


LINE_ERRORS = {
    "text": (b'{"a": 1}\nhello\n', ", line 2: not JSON: Expecting value \\(column 1\\)"),
    "cut": (b'{"a": 1}\n{"a": "tw', ", line 2: not JSON: .*cut short"),
    "two objects": (b'{"a": 1} {"a": 2}\n', ", line 1: not JSON: Extra data"),
    "list": (b'{"a": 1}\n\n[1]\n', ", line 3: expected a JSON object, found a list"),
    "string": (b'"a"\n', ", line 1: expected a JSON object, found a string"),
    "number": (b"1\n", ", line 1: expected a JSON object, found a number"),
    "boolean": (b"true\n", ", line 1: expected a JSON object, found a boolean"),
    "null": (b"null\n", ", line 1: expected a JSON object, found null"),
    "latin-1": (b'{"a": 1}\n{"a": "caf\xe9"}\n', r", line 2: invalid UTF-8 at byte 11 \(0xe9\)"),
    "utf-16": ('{"a": 1}\n'.encode("utf-16"), r", line 1: invalid UTF-8 at byte 1 \(0xff\)"),
    "raw surrogate": (b'{"a": "\xed\xa0\x80"}\n', r", line 1: invalid UTF-8 at byte 8 \(0xed\)"),
    "escaped surrogate": (b'{"a": "x\\uD83D"}\n', r", line 1: lone surrogate \\ud83d"),
    "nested surrogate": (b'{"a": 1}\n{"a": [{"b": "\\udc00"}]}\n', r", line 2: lone surrogate \\udc00"),
    "surrogate key": (b'{"\\udc00": 1}\n', r", line 1: lone surrogate \\udc00"),
    "reversed pair": (b'{"a": "\\ude00\\ud83d"}\n', r", line 1: lone surrogate \\ude00"),
    "nan": (b'{"a": NaN}\n', ", line 1: not JSON: NaN is not a JSON number"),
    "infinity": (b'{"a": [-Infinity]}\n', ", line 1: not JSON: -Infinity is not a JSON number"),
    "overflow": (b'{"a": 1e999}\n', ", line 1: not JSON: 1e999 is too large for a number"),
    "huge integer": (b'{"a": ' + b"9" * 5000 + b"}\n", ", line 1: not JSON: Exceeds the limit"),
    "deep": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", ", line 1: not JSON: nested too deeply"),
    "only blank": (b"\n \n\n", ": holds no rows"),
}


@pytest.mark.parametrize("case", LINE_ERRORS)
@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz"])
def test_a_bad_line_is_named_with_its_cause(tmp_path: Path, name: str, case: str) -> None:
    content, expected = LINE_ERRORS[case]
    message = failure(write(tmp_path, content, name))
    assert re.match(expected, message), message


ARRAY_ERRORS = {
    "object": (b'{"a": 1}\n{"a": 2}\n', ": expected an array of objects; .*named .jsonl"),
    "empty array": (b" [ ]\n", ": holds no rows"),
    "cut": (b'[{"a": 1},\n{"a": "tw', r", row 2: not JSON: .* \(line 2, column 7\); .*cut short"),
    "cut after a row": (b'[{"a": 1}', ", row 1: not JSON: .*cut short"),
    "no comma": (b'[{"a": 1} {"a": 2}]', ", row 1: not JSON: Expecting ',' or ']'"),
    "last comma": (b'[{"a": 1},]', ", row 2: not JSON: Expecting value"),
    "more": (b'[{"a": 1}] {}', ": not JSON: more text after the end of the array"),
    "row type": (b'[{"a": 1}, 2]', ", row 2: expected a JSON object, found a number"),
    "latin-1": (b'[{"a": 1},\n{"a": "caf\xe9"}]', ", line 2: invalid UTF-8"),
    "surrogate": (b'[{"a": 1},\n{"a": "\\ud800"}]', r", row 2: lone surrogate \\ud800"),
    "nan": (b'[{"a": NaN}]', ", row 1: not JSON: NaN"),
    "deep": (b"[" * 100_000, ", row 1: not JSON: nested too deeply"),
    "long": (b'[{"a": 1}, {"a": "' + b"x" * 100 + b'"}]', ", row 2: longer than 100 bytes"),
}


@pytest.mark.parametrize("case", ARRAY_ERRORS)
@pytest.mark.parametrize("name", ["data.json", "data.json.gz"])
def test_a_bad_row_of_an_array_is_named_with_its_cause(tmp_path: Path, name: str, case: str) -> None:
    content, expected = ARRAY_ERRORS[case]
    message = failure(write(tmp_path, content, name), max_row_bytes=100)
    assert re.match(expected, message), message


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_empty_and_unreadable_files_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    assert failure(path) == ": no such file"
    path.touch()
    assert failure(path) == ": is empty"
    path.unlink()
    path.mkdir()
    assert failure(path) == ": is a directory; give a data file"
    assert failure(path / f"below{suffix}") == ": no such file"


def test_a_path_through_a_file_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, b"{}\n")
    assert failure(tmp_path / "data.jsonl" / "data.jsonl") == ": cannot be read: Not a directory"


def test_another_file_type_is_refused_with_those_accepted(tmp_path: Path) -> None:
    assert failure(write(tmp_path, b"a,b\n", "data.csv")).startswith(": unknown file type; accepted are .jsonl, .json,")


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".json.gz"])
def test_a_gzip_file_cut_short_is_an_error_wherever_it_is_cut(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    write_rows(path, ROWS)
    content = path.read_bytes()
    for end in range(2, len(content)):  # of one byte alone, nobody can say that it was gzip
        path.write_bytes(content[:end])
        assert re.match(", (line|row) \\d: the gzip data ends early", failure(path)), end


def test_lines_before_the_cut_of_a_gzip_file_are_delivered_and_counted(tmp_path: Path) -> None:
    content = gzip.compress("\n".join(json.dumps({"n": n * n}) for n in range(40_000)).encode())
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(content[: len(content) // 2])
    seen: list[int] = []
    with pytest.raises(DataError) as caught:
        seen.extend(row["n"] for _, row in read_rows(path))
    assert seen == [n * n for n in range(len(seen))]
    assert len(seen) > 1000
    assert caught.value.line == len(seen) + 1


def test_plain_text_under_a_gzip_name_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(b'{"a": 1}\n')
    assert failure(path).startswith(", line 1: not gzip, or damaged: ")


def test_gzip_data_that_fails_its_checksum_is_an_error(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(b'{"a": 1}\n'))
    content[-6] ^= 1
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(content)
    assert "not gzip, or damaged" in failure(path)


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


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_line_may_be_exactly_as_long_as_the_limit(tmp_path: Path, ending: str) -> None:
    line = json.dumps({"text": "x" * 100})
    path = write(tmp_path, f'{{"a": 1}}\n{line}{ending}'.encode())
    assert len(list(read_rows(path, max_row_bytes=len(line)))) == 2
    assert failure(path, max_row_bytes=len(line) - 1).startswith(f", line 2: longer than {len(line) - 1} bytes")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz"])
def test_a_100_mb_line_is_refused_without_being_held(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with gzip.open(path, "wb", compresslevel=1) if name.endswith(".gz") else path.open("wb") as handle:
        handle.write(b'{"a": 1}\n{"text": "')
        for _ in range(100):
            handle.write(b"x" * 1_000_000)
    tracemalloc.start()
    try:
        message = failure(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert message == ", line 2: longer than 33,554,432 bytes; are line breaks missing?"
    assert peak < 80e6


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    write_rows(path, ({"n": n, "text": f"{n} " * 1000} for n in range(3000)))
    tracemalloc.start()
    try:
        for _ in read_rows(path):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1e6  # of 15 MB of text


def test_memory_of_parquet_does_not_grow_with_the_number_of_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    table = pyarrow.table({"text": [random.Random(n).randbytes(4000).hex() for n in range(2000)]})
    pyarrow.parquet.write_table(table, path, row_group_size=100, compression="none", use_dictionary=False)
    del table
    before = pyarrow.total_allocated_bytes()
    peak = max(pyarrow.total_allocated_bytes() for _ in read_rows(path)) - before
    assert peak < 4e6  # of 16 MB of text


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=60) | st.text('[]{}",:\\ud8n1e9 \n', max_size=30).map(str.encode))
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_arbitrary_bytes_are_rows_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / f"noise{suffix}"
    path.write_bytes(content)
    try:
        assert all(isinstance(row, dict) for _, row in read_rows(path))
    except DataError as error:
        assert "\n" not in str(error)


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


def test_an_error_survives_the_way_from_a_worker_process() -> None:
    error = DataError("data/sft.parquet", "no assistant turn", 7, "row")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    assert str(DataError("a\nb.jsonl", "first\r\nsecond")) == "a b.jsonl: first second"
