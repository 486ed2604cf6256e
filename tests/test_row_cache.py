"""What is kept of the rows of a prepared file: found again by its content alone, and never another answer."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus import row_cache, stored_rows
from corpus.errors import PreparedRowsError
from corpus.prepared_rows import read_prepared, write_row
from corpus.records import Conversation, HashedRecord, Message, content_hash
from corpus.row_sides import normalise_text, question_key, side_key, split_sides
from corpus.side_facts import MOST_WORDS, NO_KEY, measure_sides, side_facts_of
from corpus.stored_rows import StoredRows

TEXTS = st.text(st.characters(exclude_categories=()), max_size=30)
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda content: content,
    "emptied": lambda content: b"",
    "cut in its first line": lambda content: content[:20],
    "cut in its columns": lambda content: content[:-100],
    "longer": lambda content: content + b"\0",
    "one bit of a column": lambda content: content[:-50] + bytes([content[-50] ^ 1]) + content[-49:],
    "one bit of the first line": lambda content: content[:15] + bytes([content[15] ^ 1]) + content[16:],
    "another dtype": lambda content: content.replace(b"<i8", b"<u8", 1),
    "something else": lambda content: b"{}\n" + content,
}


def make_row(i: int, text: str = "") -> HashedRecord:
    messages = (
        Message("user", f"{text}Tea {i}?"),
        Message("assistant", f"Yes, {i % 7} cups of it, ünd "),
        Message("user", ""),
    )
    record = Conversation(messages[: 2 + i % 2], f"source {i % 3}", i + 1)
    return HashedRecord(record, content_hash(record))


def write(path: Path, rows: int, text: str = "") -> Path:
    path.write_text("".join(write_row(*make_row(i, text)) for i in range(rows)), encoding="utf-8")
    return path


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where things are kept, of files of any size."""
    monkeypatch.setattr(stored_rows, "MIN_KEPT_BYTES", 0)
    monkeypatch.setenv(row_cache.FOLDER_VARIABLE, str(tmp_path / "kept"))
    return tmp_path / "kept" / "rows"


def describe(rows: StoredRows) -> list[object]:
    """All that is known of rows, as values that can be compared."""
    facts, sides = rows.facts, side_facts_of(rows)
    columns = [facts.numbers, facts.characters, facts.source, *sides[:3], sides.answers.digests, sides.answer_words]
    return [list(rows), list(facts.hashes), facts.sources, *((c.dtype.str, c.tolist()) for c in columns)]


def must_not_run(*_: object) -> None:
    raise AssertionError("the rows are read")


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on what is known has to come from what was kept."""
    monkeypatch.setattr(StoredRows, "_index", must_not_run)
    monkeypatch.setattr(stored_rows, "measure_sides", must_not_run)


def test_what_is_known_is_found_again_without_reading_a_row(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "rows.jsonl", 50)
    first = describe(StoredRows(path))
    assert len(list(kept.iterdir())) == 2
    forbid_reading(monkeypatch)
    # The content decides, and neither the name of the file nor its age.
    assert describe(StoredRows(shutil.copy(path, tmp_path / "copy.jsonl"))) == first


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_damaged_is_made_anew(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    path = write(tmp_path / "rows.jsonl", 50)
    first = describe(StoredRows(path))
    whole = {file: file.read_bytes() for file in kept.iterdir()}
    for file, content in whole.items():
        file.write_bytes(CHANGES[change](content))
    assert describe(StoredRows(path)) == first
    assert {file: file.read_bytes() for file in kept.iterdir()} == whole
    forbid_reading(monkeypatch)
    assert describe(StoredRows(path)) == first


def test_what_was_kept_of_another_file_is_not_taken_for_this_one(kept: Path, tmp_path: Path) -> None:
    path, other = write(tmp_path / "rows.jsonl", 50), write(tmp_path / "other.jsonl", 50, "Green ")
    describe(StoredRows(other))
    of_other = {file.suffix: file.read_bytes() for file in kept.iterdir()}
    first = describe(StoredRows(path))
    for file in kept.iterdir():
        file.write_bytes(of_other[file.suffix])
    assert describe(StoredRows(path)) == first


def test_another_file_under_the_same_name_and_of_the_same_size_is_another_one(kept: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", 50, "Red")
    describe(StoredRows(path))
    before = path.stat()
    write(path, 50, "Tan")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert describe(StoredRows(path)) == describe_alone(path)


def describe_alone(path: Path) -> list[object]:
    """The same without anything kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(row_cache.FOLDER_VARIABLE, "")
        return describe(StoredRows(path))


def test_a_file_that_changes_while_it_is_read_is_not_kept_under_its_old_content(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "rows.jsonl", 50, "Red")
    content, hash_content = path.read_bytes(), StoredRows._hash_content

    def hash_and_change(rows: StoredRows) -> str:
        found = hash_content(rows)
        write(path, 50, "Tan")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(StoredRows, "_hash_content", hash_and_change)
        changed = describe(StoredRows(path))
    assert changed == describe_alone(path)
    path.write_bytes(content)
    rows = StoredRows(path)
    assert list(rows.facts.hashes) == [row.hash for row in read_prepared(path)]
    write(path, 50, "Tan")  # between the index and the sides
    side_facts_of(rows)
    path.write_bytes(content)
    assert describe(StoredRows(path)) == describe_alone(path)


@pytest.mark.parametrize("place", ["", "not/absolute", "/dev/null/kept"])
def test_where_nothing_can_be_kept_the_rows_are_read(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv(row_cache.FOLDER_VARIABLE, place)
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "rows.jsonl", 50)
    assert describe(StoredRows(path)) == describe(StoredRows(path))
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_home_that_is_not_there_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(row_cache.FOLDER_VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    row_cache.keep_columns("name.rows", [np.arange(3)])
    assert not list(tmp_path.iterdir())
    (tmp_path / "nobody").mkdir()
    row_cache.keep_columns("name.rows", [np.arange(3)])
    assert [path.name for path in (tmp_path / "nobody/.cache/entropylaw/rows").iterdir()] == ["name.rows"]
    found = row_cache.read_columns("name.rows")
    assert found is not None and found[0].tolist() == [0, 1, 2] and found[0].flags.writeable


def test_another_edition_of_the_code_does_not_read_what_this_one_kept(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "rows.jsonl", 50)
    describe(StoredRows(path))
    monkeypatch.setattr(stored_rows, "code_edition", lambda: "another")
    describe(StoredRows(path))
    assert len(list(kept.iterdir())) == 4


def test_the_files_of_code_that_an_edition_names_are_there() -> None:
    folder = Path(row_cache.__file__).parent
    assert all((folder / name).is_file() for name in row_cache._CODE) and row_cache.code_edition()


def test_what_was_not_used_for_longest_goes_first(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    column = [np.zeros(1000, dtype=np.uint8)]
    monkeypatch.setattr(row_cache, "MOST_BYTES", 3500)
    kept.mkdir(parents=True)
    (kept / "diary.txt").write_bytes(bytes(9000))
    os.utime(kept / "diary.txt", (0, 0))
    for age, name in enumerate(["a.rows", "b.rows", "c.sides"]):
        row_cache.keep_columns(name, column)
        os.utime(kept / name, (age, age))
    assert row_cache.read_columns("a.rows") is not None  # so that "b" is the oldest now
    for name, size in (("d.rows", 1000), ("too large.rows", 10_000)):
        row_cache.keep_columns(name, [np.zeros(size, dtype=np.uint8)])
        assert sorted(file.name for file in kept.iterdir()) == ["a.rows", "c.sides", "d.rows", "diary.txt"]


def test_a_file_that_is_larger_than_all_that_is_kept_is_not_even_read(kept: Path) -> None:
    kept.mkdir(parents=True)
    with (kept / "name.rows").open("wb") as handle:
        handle.truncate(2**42)
    assert row_cache.read_columns("name.rows") is None


def test_many_that_open_one_file_at_once_find_the_same(kept: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", 200)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: describe(StoredRows(path)), range(24)))
    assert all(one == found[0] for one in found)
    assert len(list(kept.iterdir())) == 2


def words_of(text: str) -> str:
    """The definition: runs of what a regular expression takes for words."""
    return " ".join(re.findall(r"\w+", text.lower()))


@given(TEXTS)
def test_the_words_of_a_text_are_those_of_a_regular_expression(text: str) -> None:
    assert normalise_text(text) == words_of(text)


@pytest.mark.slow
def test_every_character_is_a_part_of_a_word_as_for_a_regular_expression() -> None:
    for start in range(0, 0x110000, 64):
        characters = list(map(chr, range(start, start + 64)))
        # Between words, within one, behind another letter, where it may lose its accent or its case.
        for text in (" ".join(characters), "".join(characters), "".join(f"aA{c}bΣ{c}. " for c in characters)):
            assert normalise_text(text) == words_of(text), hex(start)


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=5))
def test_the_facts_of_sides_are_those_of_single_rows(pairs: list[tuple[str, str]]) -> None:
    records = [Conversation((Message("user", a), Message("assistant", b))) for a, b in pairs]
    facts = measure_sides(map(split_sides, records))
    assert facts.question.tolist() == [question_key(record) for record in records]
    assert facts.prompt.tolist() == [side_key(a) if a else NO_KEY for a, _ in pairs]
    assert facts.answer.tolist() == [side_key(b) if b else NO_KEY for _, b in pairs]
    assert facts.answer_words.tolist() == [min(MOST_WORDS, len(b.split())) for _, b in pairs]
    answers = [b.strip() for _, b in pairs]
    same = [[one == other for other in answers] for one in answers]
    assert [[one == other for other in facts.answers] for one in facts.answers] == same
    some = np.flatnonzero(np.arange(len(pairs)) % 2)
    rows = [HashedRecord(record, content_hash(record)) for record in records] if not has_half_characters(pairs) else []
    if rows:
        assert side_facts_of(rows, some).prompt.tolist() == facts.take(some).prompt.tolist()


def has_half_characters(pairs: list[tuple[str, str]]) -> bool:
    """Whether a text has a lone surrogate, for which there is no content hash."""
    return any(0xD800 <= ord(c) < 0xE000 for pair in pairs for text in pair for c in text)


@given(st.integers(0, 5), st.data())
def test_a_damaged_row_is_refused_in_the_same_words_as_by_the_reader_of_records(
    tmp_path_factory: pytest.TempPathFactory, number: int, data: st.DataObject
) -> None:
    line = bytearray(write_row(*make_row(number)).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(line) - 2))
        line[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b"0", b'"', b"x", b"\xff"])
        )
    path = tmp_path_factory.getbasetemp() / "damaged.jsonl"
    path.write_bytes(line)

    def read(reader: Callable[[Path], Iterable[HashedRecord]]) -> object:
        try:
            return list(reader(path))
        except PreparedRowsError as error:
            return str(error)

    assert read(StoredRows) == read(read_prepared)
