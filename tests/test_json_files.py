"""JSON files: lines, arrays, and what else JSON is written as; what cannot be read is one clear error."""

from __future__ import annotations

import gzip
import io
import json
import re
import tracemalloc
from pathlib import Path

import pytest
from data_files import ROWS, failure, read_all, rows_of, write
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import DataError
from corpus.files import read_rows, write_rows
from corpus.files.json_stream import read_array

# Floats may be any finite number; text is any that UTF-8 can hold, so no surrogates.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


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


def test_blank_lines_are_skipped_but_counted(tmp_path: Path) -> None:
    path = write(tmp_path, b'\n{"a": 1}\r\n  \n\n{"a": 2}')
    assert list(read_rows(path)) == [(2, {"a": 1}), (5, {"a": 2})]


@pytest.mark.parametrize(("name", "content"), [("data.jsonl", b'{"a": 1}\n'), ("data.json", b'[{"a": 1}]')])
def test_a_byte_order_mark_is_accepted(tmp_path: Path, name: str, content: bytes) -> None:
    assert list(read_rows(write(tmp_path, b"\xef\xbb\xbf" + content, name))) == [(1, {"a": 1})]


LINE_ERRORS = {
    "text": (b'{"a": 1}\nhello\n', ", line 2: not JSON: Expecting value \\(column 1\\)"),
    "cut": (b'{"a": 1}\n{"a": "tw', ", line 2: not JSON: .*cut short"),
    "two objects": (b'{"a": 1} {"a": 2}\n', ", line 1: not JSON: Extra data.*; two objects stand on one line"),
    "list": (b'{"a": 1}\n\n[1]\n', ", line 3: expected a JSON object, found a list"),
    "string": (b'"a"\n', ", line 1: expected a JSON object, found a string"),
    "number": (b"1\n", ", line 1: expected a JSON object, found a number"),
    "boolean": (b"true\n", ", line 1: expected a JSON object, found a boolean"),
    "null": (b"null\n", ", line 1: expected a JSON object, found null"),
    "latin-1": (
        b'{"a": 1}\n{"a": "caf\xe9"}\n',
        ", line 2: not UTF-8: byte 0xe9 at byte 11 of the line; .*iconv -f WIN",
    ),
    "cut character": (b'{"a": 1}\n{"a": "caf\xc3', ", line 2: not UTF-8: .* a character is cut off here: was the file"),
    "raw surrogate": (b'{"a": "\xed\xa0\x80"}\n', ", line 1: a surrogate written as UTF-8: half a character"),
    "escaped surrogate": (b'{"a": "x\\uD83D"}\n', r", line 1: lone surrogate \\ud83d"),
    "nested surrogate": (b'{"a": 1}\n{"a": [{"b": "\\udc00"}]}\n', r", line 2: lone surrogate \\udc00"),
    "surrogate key": (b'{"\\udc00": 1}\n', r", line 1: lone surrogate \\udc00"),
    "reversed pair": (b'{"a": "\\ude00\\ud83d"}\n', r", line 1: lone surrogate \\ude00"),
    "commas": (b'{"a": 1},\n{"a": 2},\n', ", line 1: not JSON: Extra data .* the line ends in a comma"),
    "cut at a bracket": (b'{"a": [', ", line 1: not JSON: .*cut short"),
    "broken at a bracket": (b'{"a": [\n{"a": 1}\n', ", line 1: not JSON: "),
    "merge": (b'{"a": 1}\n<<<<<<< HEAD\n{"a": 2}\n', ", line 2: is a marker of a merge conflict; keep the rows"),
    "merge of two": (b'{"a": 1}\n=======\n{"a": 2}\n', ", line 2: is a marker of a merge conflict"),
    "python": (b"{'a': 1}\n", ", line 1: not JSON: .*; a Python dictionary"),
    "overflow": (b'{"a": 1e999}\n', ", line 1: not JSON: 1e999 is too large for a number"),
    "huge integer": (b'{"a": ' + b"9" * 5000 + b"}\n", ", line 1: not JSON: Exceeds the limit"),
    "deep": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", ", line 1: nested too deeply"),
    "only blank": (b"\n \n\n", ": holds no rows"),
}


@pytest.mark.parametrize("case", LINE_ERRORS)
@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz"])
def test_a_bad_line_is_named_with_its_cause(tmp_path: Path, name: str, case: str) -> None:
    content, expected = LINE_ERRORS[case]
    message = failure(write(tmp_path, content, name))
    assert re.match(expected, message), message


ARRAY_ERRORS = {
    "empty array": (b" [ ]\n", ": holds no rows"),
    "cut": (b'[{"a": 1},\n{"a": "tw', r", row 2: not JSON: .* \(line 2, column 7\); .*cut short"),
    "cut after a row": (b'[{"a": 1}', ", row 1: not JSON: .*cut short"),
    "no comma": (b'[{"a": 1} {"a": 2}]', ", row 1: not JSON: Expecting ',' or ']'"),
    "merge": (b'[{"a": 1},\n<<<<<<< HEAD\n{"a": 2}\n', ", line 2: is a marker of a merge conflict"),
    "merge later": (b'[{"a": 1},\n{"a": 2}\n=======\n{"a": 2}\n]', ", line 3: is a marker of a merge conflict"),
    "lists": (b'[{"a": 1}]\n[{"a": 2}]', ", line 1: expected a JSON object, found a list"),
    "last comma": (b'[{"a": 1},]', ", row 2: not JSON: Expecting value"),
    "more": (b'[{"a": 1}] {}', ", row 1: not JSON: more text after the end of the array"),
    "row type": (b'[{"a": 1}, 2]', ", row 2: expected a JSON object, found a number"),
    "latin-1": (b'[{"a": 1},\n{"a": "caf\xe9"}]', ", line 2: not UTF-8: byte 0xe9 at byte 11 of the line"),
    "surrogate": (b'[{"a": 1},\n{"a": "\\ud800"}]', r", row 2: lone surrogate \\ud800"),
    "deep": (b"[" * 100_000, ", row 1: nested too deeply"),
    "long": (b'[{"a": 1}, {"a": "' + b"x" * 100 + b'"}]', ", row 2: longer than 100 bytes"),
}


@pytest.mark.parametrize("case", ARRAY_ERRORS)
@pytest.mark.parametrize("name", ["data.json", "data.json.gz"])
def test_a_bad_row_of_an_array_is_named_with_its_cause(tmp_path: Path, name: str, case: str) -> None:
    content, expected = ARRAY_ERRORS[case]
    message = failure(write(tmp_path, content, name), max_row_bytes=100)
    assert re.match(expected, message), message


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


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".json.gz"])
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
    assert peak < 3e6  # of 15 MB of text


@pytest.mark.parametrize(
    "content", [b'{"a": NaN, "b": [-Infinity, Infinity]}', b'[{"a": NaN, "b": [-Infinity, Infinity]}]']
)
def test_what_is_no_number_is_null(tmp_path: Path, content: bytes) -> None:
    assert rows_of(write(tmp_path, content)) == [{"a": None, "b": [None, None]}]


PRETTY = json.dumps(ROWS[0], indent=2) + "\n" + json.dumps(ROWS[1], indent=2) + "\n" + json.dumps(ROWS[2], indent=2)
LAYOUTS = {
    "lines": "\n".join(map(json.dumps, ROWS)),
    "array": json.dumps(ROWS),
    "indented array": json.dumps(ROWS, indent=2),
    "array that begins with a break": "\n\n [\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n",
    "pretty objects": PRETTY,
    "pretty objects, bracket alone": "{\n" + PRETTY[1:],
    "wrapper": json.dumps({"version": "1", "sizes": [3], "data": ROWS, "meta": {"a": [1, {"b": "]"}]}}),
    "indented wrapper": json.dumps({"rows": ROWS, "license": "a \\"}, indent=1),
    "wrapper named after a split": json.dumps({"train": ROWS}, indent=4),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["data.jsonl", "data.json", "data.ndjson.gz", "data.json.zst"])
def test_every_layout_is_read_under_every_name(tmp_path: Path, name: str, layout: str) -> None:
    assert rows_of(write(tmp_path, LAYOUTS[layout].encode(), name)) == ROWS


@pytest.mark.parametrize("key", ["examples_2024", "chats"])
def test_a_wrapper_may_have_any_key_in_a_document(tmp_path: Path, key: str) -> None:
    assert rows_of(write(tmp_path, json.dumps({key: [{"text": "a"}]}).encode(), "data.json")) == [{"text": "a"}]


SINGLE_ROWS = [
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]},
    {"contents": [{"parts": [{"text": "Hi"}]}]},
    {"prompt": "Hi", "completion": "Ho", "tools": [{"name": "search", "parameters": {}}]},
    {"data": ["Hi", "Ho"]},
]


@pytest.mark.parametrize("row", SINGLE_ROWS)
@pytest.mark.parametrize("name", ["data.jsonl", "data.json"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_single_row_is_no_wrapper_of_its_messages(tmp_path: Path, row: dict, name: str, indent: int | None) -> None:
    assert rows_of(write(tmp_path, json.dumps(row, indent=indent).encode(), name)) == [row]


def test_a_file_with_two_lists_of_rows_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({"train": [{"a": 1}], "test": [{"a": 2}]}).encode(), "d.json")
    assert failure(path) == (
        ": holds two lists of rows, 'train' and 'test'; write one of them into a file of its own with "
        """`jq -c '.["train"][]' d.json > d.train.jsonl`"""
    )


def test_a_wrapper_larger_than_what_tells_its_kind_is_read(tmp_path: Path) -> None:
    rows = [{"n": n, "text": "x" * 1000} for n in range(200)]
    for name in ("one.json", "one.jsonl"):
        assert rows_of(write(tmp_path, json.dumps({"data": rows}).encode(), name)) == rows
    assert rows_of(write(tmp_path, json.dumps({"about": "x" * 50_000, "data": rows}, indent=1).encode())) == rows


@pytest.mark.parametrize("layout", ["lines", "array", "objects", "wrapper"])
def test_rows_that_cannot_be_read_are_told_and_passed_over(tmp_path: Path, layout: str) -> None:
    long = json.dumps({"a": 'x"]}\\[' * 400})
    texts = ['{"a": 1}', '{"a": "\\ud83d"}', "[1]", long, "null", '{"a": 2}']
    content = {
        "lines": "\n".join(texts),
        "array": "[" + ", ".join(texts) + "]",
        "objects": '{\n"a": 1}' + " ".join(texts[1:]),
        "wrapper": '{"data": [' + ", ".join(texts) + '], "n": 6}',
    }[layout]
    path = write(tmp_path, content.encode(), "data.json")
    good, bad = read_all(path)
    assert good == [1, 6]
    assert bad == [(2, "half a character"), (3, "not an object"), (4, "too long"), (5, "not an object")]


@pytest.mark.parametrize("content", [b'{"a": 1}\n{"a": \n', b'[{"a": 1}, {"a": ]', b'{"a": 1}\n{"a": "\xe9"}\n'])
def test_a_broken_file_is_an_error_even_where_bad_rows_are_passed_over(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError):
        read_all(path)


def test_rows_none_of_which_can_be_read_are_told_of(tmp_path: Path) -> None:
    assert read_all(write(tmp_path, b"[1, 2]\n[3]")) == ([], [(1, "not an object"), (2, "not an object")])


@pytest.mark.parametrize("name", ["data.jsonl", "data.json"])
def test_two_files_put_together_are_read(tmp_path: Path, name: str) -> None:
    mark = b"\xef\xbb\xbf"
    path = write(tmp_path, mark + b'{"a": 1}\n' + mark + b'{"a": 2}\n' + mark + b"\n", name)
    assert list(read_rows(path)) == [(1, {"a": 1}), (2, {"a": 2})]


def test_an_error_in_an_array_names_its_line_however_far_down(tmp_path: Path) -> None:
    rows = [json.dumps({"n": n, "text": "x" * 900}) for n in range(1000)]
    rows[777] = rows[777].replace("xx", "\tx", 1)
    path = write(tmp_path, ("[\n" + ",\n".join(rows) + "\n]").encode(), "data.json")
    assert failure(path) == ", row 778: not JSON: Invalid control character at (line 779, column 21)"
    path.write_bytes(path.read_bytes().replace(b"\t", b"\xe9", 1))
    assert failure(path).startswith(", line 779: not UTF-8: byte 0xe9 at byte 21 of the line")


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.dictionaries(TEXT, VALUES, max_size=4), min_size=1, max_size=5), size=st.integers(1, 30))
def test_an_array_reads_the_same_wherever_a_piece_of_it_ends(rows: list[dict], size: int) -> None:
    text = json.dumps(rows, ensure_ascii=size % 2 == 0, indent=size % 3 or None).encode()

    class Trickle(io.BytesIO):
        def read(self, _: int | None = -1) -> bytes:
            return super().read(size)

    assert [row for _, row in read_array(Trickle(text), Path("data.json"), 10**6, None)] == rows
