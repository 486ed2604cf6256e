"""Compressed files: read by what they are, whatever they are called, and never beyond what is damaged."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from data_files import ROWS, failure, pack, rows_of, write

from corpus.errors import DataError
from corpus.files import read_rows, write_rows


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".json.gz", ".jsonl.zst", ".json.zst"])
def test_a_packed_file_cut_short_is_an_error_wherever_it_is_cut(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    write_rows(path, ROWS)
    content = path.read_bytes()
    for end in range(4, len(content)):  # of less, nobody can say that it was compressed
        path.write_bytes(content[:end])
        assert re.match(", (line|row) \\d: the (gzip|zstd) data ends early", failure(path)), end


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


def test_gzip_data_that_fails_its_checksum_is_an_error(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(b'{"a": 1}\n'))
    content[-6] ^= 1
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(content)
    assert "not gzip, or damaged" in failure(path)


CONTENT = json.dumps(ROWS[0]).encode() + b"\n"


@pytest.mark.parametrize("packed_as", ["x", "x.gz", "x.zst"])
@pytest.mark.parametrize("name", ["data.jsonl", "data.json.gz", "data.jsonl.zst"])
def test_a_file_is_unpacked_by_what_it_is(tmp_path: Path, name: str, packed_as: str) -> None:
    path = tmp_path / name
    path.write_bytes(pack(CONTENT, packed_as))
    assert rows_of(path) == [ROWS[0]]


@pytest.mark.parametrize("name", ["data.jsonl.gz", "data.jsonl.zst"])
def test_packed_files_put_together_are_read_to_the_end(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(pack(CONTENT, name) * 3)
    assert rows_of(path) == [ROWS[0]] * 3


@pytest.mark.parametrize("name", ["data.jsonl.gz", "data.jsonl.zst"])
def test_a_file_compressed_twice_is_refused(tmp_path: Path, name: str) -> None:
    assert failure(write(tmp_path, pack(CONTENT, "x.gz"), name)) == ": is compressed twice; unpack it once"


def test_zstd_data_that_is_damaged_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl.zst"
    write_rows(path, ROWS)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "not zstd, or damaged" in failure(path)


def test_zstd_data_of_a_long_window_is_read(tmp_path: Path) -> None:
    import zstandard

    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    path = tmp_path / "data.jsonl.zst"
    path.write_bytes(zstandard.ZstdCompressor(compression_params=parameters).compress(CONTENT * 100))
    assert len(rows_of(path)) == 100
