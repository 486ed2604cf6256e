"""Texts in a temporary file against the same texts in a list."""

from __future__ import annotations

import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.errors import EntropylawError
from selection.stored_texts import StoredTexts


def store(texts: list[bytes], folder: Path | None = None) -> StoredTexts:
    stored = StoredTexts(folder)
    for text in texts:
        stored.append(text)
    return stored


@given(st.lists(st.binary(max_size=50), max_size=20), st.data())
def test_stored_texts_are_a_list_of_them(texts: list[bytes], data: st.DataObject) -> None:
    stored = store(texts)
    assert list(stored) == texts == stored[:] and len(stored) == len(texts)
    assert stored[1:5:2] == texts[1:5:2] and list(reversed(stored)) == texts[::-1]
    if texts:
        index = data.draw(st.integers(-len(texts), len(texts) - 1))
        assert stored[index] == texts[index]
    with pytest.raises(IndexError):
        stored[len(texts)]


def test_texts_may_be_added_after_some_were_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selection.stored_texts._READ_BYTES", 100)
    texts = [Random(number).randbytes(number) for number in range(0, 300, 7)]
    stored = StoredTexts()
    for count, text in enumerate(texts, start=1):
        stored.append(text)
        assert stored[count - 1] == text
    assert list(stored) == texts


def test_threads_read_at_the_same_time() -> None:
    texts = [Random(number).randbytes(3_000) for number in range(500)]
    stored = store(texts)
    order = Random(0).choices(range(500), k=4_000)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(stored.__getitem__, order)) == [texts[index] for index in order]


def test_the_folder_shows_no_file(tmp_path: Path) -> None:
    stored = store([b"text"], tmp_path)
    assert stored[0] == b"text" and list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_named(tmp_path: Path) -> None:
    stored = StoredTexts(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(EntropylawError, match="temporary texts of the pool"):
            for _ in range(40):
                stored.append(bytes(1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EntropylawError, match="none \\(temporary texts"):
        StoredTexts(tmp_path / "none")
