"""Small data files for tests, and what reading them says."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard

from corpus.errors import BadRow, DataError
from corpus.files import Row, Source, read_rows

ROWS: list[Row] = [
    {"id": 1, "text": "plain", "turns": [{"role": "user", "content": "Hi"}], "score": 0.5},
    {"id": 2, "text": "snow ☃, astral 😀, a line\nbreak, \u2028 and \x85", "turns": [], "score": -1e-9},
    {"id": 3, "text": "", "turns": [{"role": "user", "content": "a\tb\\"}], "score": 3.0},
]
# What a table can hold: texts and nothing.
TEXT_ROWS: list[Row] = [
    {"prompt": "plain", "completion": 'say "hi", twice'},
    {"prompt": "snow ☃ 😀", "completion": "a line\nbreak\tand a tab"},
    {"prompt": "no answer", "completion": None},
]


def pack(content: bytes, name: str) -> bytes:
    """The bytes as a file of this name holds them."""
    if name.endswith(".gz"):
        return gzip.compress(content)
    return zstandard.compress(content) if name.endswith(".zst") else content


def write(folder: Path, content: bytes, name: str = "data.jsonl") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pack(content, name))
    return path


def rows_of(source: Source) -> list[Row]:
    return [row for _, row in read_rows(source)]


def read_all(source: Source, max_row_bytes: int = 1000) -> tuple[list[int], list[tuple[int, str]]]:
    """The numbers of the rows that can be read, and the numbers of the others with the reasons."""
    bad: list[BadRow] = []
    good = [number for number, _ in read_rows(source, max_row_bytes, bad.append)]
    return good, [(row.number, row.reason) for row in bad]


def failure(path: Path, **limits: int) -> str:
    """The message without the path; it must be one line."""
    with pytest.raises(DataError) as caught:
        list(read_rows(path, **limits))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path)), message
    return message.removeprefix(str(path))
