"""What a file is: told from its content, with the remedy where it is no data."""

from __future__ import annotations

import bz2
import lzma
import pickle
import re
from pathlib import Path

import pytest
from data_files import failure, write
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import DataError
from corpus.files import SUFFIXES, TABLE_SUFFIXES, read_rows, row_error

ALL_SUFFIXES = (*SUFFIXES, *TABLE_SUFFIXES)


@pytest.mark.parametrize("suffix", ALL_SUFFIXES)
def test_missing_and_empty_files_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    assert failure(path) == ": no such file"
    path.touch()
    assert failure(path) == ": is empty"
    path.unlink()
    path.mkdir()
    assert failure(path) == ": is a folder that holds no data file"
    assert failure(path / f"below{suffix}") == ": no such file"


def test_a_path_through_a_file_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, b"{}\n")
    assert failure(tmp_path / "data.jsonl" / "data.jsonl") == ": cannot be read: Not a directory"


def test_another_file_type_is_refused_with_those_accepted(tmp_path: Path) -> None:
    assert failure(write(tmp_path, b"a,b\n", "data.xls")).startswith(
        ": unknown file type; accepted are .jsonl, .ndjson,"
    )


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123abcd\nsize 12345\n"
OTHER_THINGS = {
    "lfs": (POINTER, ": is a Git LFS pointer, not the data; run `git lfs pull`"),
    "html": (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", ": is a web page or XML, not data"),
    "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", ": is a web page or XML, not data"),
    "merge": (b'<<<<<<< HEAD\n{"a": 1}\n=======\n{"a": 2}\n>>>>>>> theirs\n', ", line 1: is a marker of a merge conf"),
    "utf-16": ('{"a": "é"}\n'.encode("utf-16"), ": is UTF-16, as `>` in Windows PowerShell .*iconv -f UTF-16 -t UTF-8"),
    "utf-16 without a mark": ('{"a": "b"}\n'.encode("utf-16-le"), ": is UTF-16, not UTF-8; `iconv -f UTF-16LE"),
    "other utf-16": ('{"a": "b"}\n'.encode("utf-16-be"), ": is UTF-16, not UTF-8; `iconv -f UTF-16BE"),
    "utf-32": ('{"a": "b"}\n'.encode("utf-32"), ": is UTF-32; `iconv"),
    "a part of html": (b"<head><title>403</title>", ": is a web page or XML, not data"),
    "zeros": (bytes(5000), ": holds zero bytes only, as a copy that was interrupted"),
    "zip": (b"PK\x03\x04" + bytes(50), ": is a zip archive or an Excel sheet; unpack it, or save"),
    "bzip2": (bz2.compress(b'{"a": 1}'), ": is compressed by bzip2; `bunzip2 data"),
    "xz": (lzma.compress(b'{"a": 1}'), ": is compressed by xz; `unxz data"),
    "sqlite": (b"SQLite format 3\x00" + bytes(50), ": is an SQLite database; export"),
    "tar": (bytes(257) + b"ustar" + bytes(250), ": is a tar archive; unpack it"),
    "pickle": (pickle.dumps({"a": 1}, 4), ": is a Python pickle"),
    "note of dvc": (b"outs:\n- md5: 0123\n  path: data.jsonl\n", ": is DVC's note about data, not the data"),
}


@pytest.mark.parametrize("suffix", ALL_SUFFIXES)
@pytest.mark.parametrize("thing", OTHER_THINGS)
def test_what_is_no_data_is_named_with_its_remedy(tmp_path: Path, thing: str, suffix: str) -> None:
    content, expected = OTHER_THINGS[thing]
    path = tmp_path / f"data{suffix}"
    path.write_bytes(content)
    message = failure(path)
    assert re.match(expected, message), message


def test_the_note_of_dvc_is_no_data_file(tmp_path: Path) -> None:
    path = write(tmp_path, b"outs:\n- md5: 0123\n", "data.jsonl.dvc")
    assert failure(path) == ": is DVC's note about the data, not the data; name data.jsonl and run `dvc pull`"


def test_data_that_dvc_has_not_fetched_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, b"outs: []", "data/chats.jsonl.dvc")
    assert failure(Path("data/chats.jsonl")) == ": no such file; DVC tracks it: run `dvc pull data/chats.jsonl`"
    write(tmp_path, b"outs: []", "sets.dvc")
    found = failure(Path("sets/a/chats.jsonl"))
    assert found == ": no such file; DVC tracks the folder sets, which may hold it: run `dvc pull sets/a/chats.jsonl`"
    assert failure(Path("sets")) == ": no such file; DVC tracks it: run `dvc pull sets`"


def test_a_link_without_its_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").symlink_to(tmp_path / "cache" / "ab")
    assert failure(tmp_path / "data.jsonl").startswith(": is a link to a file that is not there; `dvc checkout`")
    (tmp_path / "annexed.jsonl").symlink_to(".git/annex/objects/x/y")
    assert "run `git annex get " in failure(tmp_path / "annexed.jsonl")


@pytest.mark.parametrize("content", [b"PAR1\x00\x00", b"ARROW1\x00\x00"])
def test_a_table_is_known_by_its_content(tmp_path: Path, content: bytes) -> None:
    assert re.match(", row 1: not (parquet|Arrow), or damaged: ", failure(write(tmp_path, content, "data.jsonl")))


def test_rows_are_counted_in_what_the_file_has(tmp_path: Path) -> None:
    lines, array = write(tmp_path, b'{"a": 1}\n', "data.json"), write(tmp_path, b'[{"a": 1}]', "data.jsonl")
    assert str(row_error(lines, "odd", 1)) == f"{lines}, line 1: odd"
    assert str(row_error(array, "odd", 1)) == f"{array}, row 1: odd"
    assert str(row_error("none/data.jsonl", "odd", 1)) == "none/data.jsonl, line 1: odd"


@settings(max_examples=80, deadline=None)
@given(content=st.binary(max_size=60) | st.text('[]{}",:\\ud8n1e9 \n', max_size=30).map(str.encode))
@pytest.mark.parametrize("suffix", ALL_SUFFIXES)
def test_arbitrary_bytes_are_rows_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / f"noise{suffix}"
    path.write_bytes(content)
    try:
        assert all(isinstance(row, dict) for _, row in read_rows(path))
    except DataError as error:
        assert "\n" not in str(error)


def test_an_error_survives_the_way_from_a_worker_process() -> None:
    error = DataError("data/sft.parquet", "no assistant turn", 7, "row")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    assert str(DataError("a\nb.jsonl", "first\r\nsecond")) == "a b.jsonl: first second"
