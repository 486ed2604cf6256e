"""What became of every row from one version to another: against a brute-force diff, on every kind of file."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.files import write_rows
from corpus.progress import ignore_stages
from corpus.row_hashes import RowHashes
from corpus.row_pairs import flag_moved, pair_copies, pair_rows
from entropylaw.diff.versions import VersionPair, read_pair
from entropylaw.repository.revisions import DataFile
from monitor.row_diff import RowChanges, diff_rows
from reports.row_diff.marked_words import mark_words, shorten

# Few words, so that copies, equal prompts, equal answers and rows that differ only in case are frequent.
WORDS = st.sampled_from(["tea", "Tea!", "milk", "sugar", "warm", "?"])
ROWS = st.lists(st.tuples(WORDS, WORDS, st.sampled_from(["", "id-1", "id-2"])), min_size=1, max_size=14)
Row = tuple[str, str, str]


def to_object(row: Row) -> dict[str, Any]:
    prompt, answer, mark = row
    return {"prompt": prompt, "completion": answer, **({"id": mark} if mark else {})}


def write(path: Path, rows: list[Row]) -> DataFile:
    write_rows(path, (to_object(row) for row in rows))
    return DataFile(path.name, path)


def compare(a: DataFile, b: DataFile) -> tuple[VersionPair, RowChanges]:
    pair = read_pair(a, b, ignore_stages)
    changes = diff_rows(
        pair.a.parsed.rows,
        pair.b.parsed.rows,
        pair.same,
        lambda gone, new: pair.find_contents(gone, new, ignore_stages),
    )
    return pair, changes


def content(row: Row) -> tuple[str, str]:
    return row[0], row[1]


def words_of(text: str) -> str:
    found = "".join(c.lower() if c.isalnum() else " " for c in text).split()
    return " ".join(found) or text


def count_edits(a: list[Row], b: list[Row]) -> Counter[str]:
    """How many rows were edited, and how, found pair by pair with nothing but loops."""
    contents_a, contents_b = {content(row) for row in a}, {content(row) for row in b}
    old = [content(row) for row in a if content(row) not in contents_b]
    new = list(dict.fromkeys(content(row) for row in b if content(row) not in contents_a))
    found: Counter[str] = Counter()

    def take(kind: str, keys: Any, only: bool = False) -> None:
        before_key, now_key = keys
        for row in list(new):
            partners = [other for other in old if before_key(other) == now_key(row)]
            rivals = [other for other in new if now_key(other) == now_key(row)]
            if partners and not (only and (len(partners) > 1 or len(rivals) > 1)):
                candidates.append((row, partners))
        for row, partners in candidates:
            partner = next((other for other in partners if old.count(other) > 0), None)
            if partner is not None:
                old.remove(partner)
                new.remove(row)
                found[kind] += 1
        candidates.clear()

    candidates: list[Any] = []
    both = lambda row: (words_of(row[0]), words_of(row[1]))  # noqa: E731
    take("form", (both, both))
    take("exchanged", (both, lambda row: both(row)[::-1]))
    take("answer", (lambda row: words_of(row[0]),) * 2)
    take("prompt", (lambda row: words_of(row[1]),) * 2, only=True)
    return found


@pytest.mark.slow
@settings(max_examples=120)
@given(ROWS, ROWS)
def test_every_row_is_counted_as_a_brute_force_diff_counts_it(
    tmp_path_factory: pytest.TempPathFactory, a: list[Row], b: list[Row]
) -> None:
    folder = tmp_path_factory.mktemp("diff")
    _, changes = compare(write(folder / "a.jsonl", a), write(folder / "b.jsonl", b))
    counts_a, counts_b = Counter(map(content, a)), Counter(map(content, b))
    kept = (counts_a & counts_b).total()
    assert changes.kept == kept
    edits = count_edits(a, b)
    assert Counter(changes.changed.tolist()) == edits
    # What is not the first of its content, and not a copy that A had as well, is a copy.
    copied = sum(count - max(counts_a[row], 1) for row, count in counts_b.items() if count > max(counts_a[row], 1))
    assert len(changes.copied) == copied
    assert len(changes.added) == len(b) - kept - copied - edits.total()
    assert len(changes.removed) == len(a) - kept - edits.total()


@pytest.mark.slow
@settings(max_examples=40)
@given(ROWS, ROWS)
def test_lines_and_tables_give_the_same_changes(
    tmp_path_factory: pytest.TempPathFactory, a: list[Row], b: list[Row]
) -> None:
    # Lines are compared as bytes first, rows of parquet are all parsed: two ways that share nothing but the end.
    folder = tmp_path_factory.mktemp("diff")
    plain = [[(p, c, "") for p, c, _ in rows] for rows in (a, b)]
    lines = compare(*(write(folder / f"{name}.jsonl", rows) for name, rows in zip("ab", plain, strict=True)))
    table = compare(*(write(folder / f"{name}.parquet", rows) for name, rows in zip("ab", plain, strict=True)))

    def describe(found: tuple[VersionPair, RowChanges]) -> Any:
        pair, changes = found
        a, b = (side.parsed.rows.facts.numbers for side in (pair.a, pair.b))
        return [
            changes.kept,
            changes.moved.a.tolist(),
            changes.moved.b.tolist(),
            b[changes.added].tolist(),
            a[changes.removed].tolist(),
            [*zip(b[changes.edited].tolist(), a[changes.past].tolist(), changes.changed.tolist(), strict=True)],
            [*zip(b[changes.copied].tolist(), changes.twin.tolist(), changes.twin_past.tolist(), strict=True)],
        ]

    assert describe(lines) == describe(table)


@pytest.mark.slow
@settings(max_examples=40)
@given(ROWS, ROWS)
def test_a_twin_says_the_same_as_its_copy(tmp_path_factory: pytest.TempPathFactory, a: list[Row], b: list[Row]) -> None:
    folder = tmp_path_factory.mktemp("diff")
    pair, changes = compare(write(folder / "a.jsonl", a), write(folder / "b.jsonl", b))
    numbers = pair.b.parsed.rows.facts.numbers
    for i, twin, past in zip(changes.copied.tolist(), changes.twin.tolist(), changes.twin_past.tolist(), strict=True):
        row = int(numbers[i])
        assert content(b[row - 1]) == content(b[twin - 1]) and twin != row
        assert (content(b[row - 1]) in map(content, a)) == (past > 0)
        assert not past or content(a[past - 1]) == content(b[row - 1])


@given(st.lists(st.integers(0, 6), max_size=12), st.lists(st.integers(0, 6), max_size=12))
def test_the_nth_copy_is_paired_with_the_nth(a: list[int], b: list[int]) -> None:
    hashes = [RowHashes.of([f"{n:032x}" for n in rows]) for rows in (a, b)]
    found = [*zip(*(side.tolist() for side in pair_copies(*hashes)), strict=True)]
    expected = []
    for j, value in enumerate(b):
        which = b[:j].count(value)
        places = [i for i, other in enumerate(a) if other == value]
        if which < len(places):
            expected.append((places[which], j))
    assert found == expected


@given(st.lists(st.integers(0, 4), max_size=12), st.lists(st.integers(0, 4), max_size=12))
def test_as_many_copies_are_paired_whatever_stands_around_them(a: list[int], b: list[int]) -> None:
    hashes = [RowHashes.of([f"{n:032x}" for n in rows]) for rows in (a, b)]
    in_a, in_b = (side.tolist() for side in pair_rows(*hashes))
    assert [a[i] for i in in_a] == [b[j] for j in in_b] and in_b == sorted(in_b)
    assert len(set(in_a)) == len(in_a) == (Counter(a) & Counter(b)).total()


def test_a_copy_put_in_front_does_not_take_the_place_of_its_row(tmp_path: Path) -> None:
    rows = [(f"question {i}", f"answer {i}", "") for i in range(50)]
    for suffix in ("jsonl", "parquet"):
        later = [*rows[:10], rows[30], *rows[10:]]
        _, changes = compare(write(tmp_path / f"a.{suffix}", rows), write(tmp_path / f"b.{suffix}", later))
        assert (changes.kept, len(changes.moved.b), len(changes.copied)) == (50, 0, 1)
        assert (changes.twin.tolist(), changes.twin_past.tolist()) == ([32], [31])


@given(st.permutations(range(9)))
def test_as_few_rows_as_possible_are_said_to_have_moved(places: list[int]) -> None:
    moved = flag_moved(np.array(places, dtype=np.int64))
    stays = [place for place, flag in zip(places, moved.tolist(), strict=True) if not flag]
    assert stays == sorted(stays)
    longest = [0] * len(places)
    for i, place in enumerate(places):
        longest[i] = 1 + max((longest[j] for j in range(i) if places[j] < place), default=0)
    assert len(stays) == max(longest)


def test_a_row_that_was_put_first_is_the_only_one_that_moved(tmp_path: Path) -> None:
    rows = [(f"question {i}", f"answer {i}", "") for i in range(50)]
    _, changes = compare(
        write(tmp_path / "a.jsonl", rows), write(tmp_path / "b.jsonl", [rows[30], *rows[:30], *rows[31:]])
    )
    assert (changes.moved.a.tolist(), changes.moved.b.tolist(), changes.kept) == ([31], [1], 50)


def test_equal_lines_are_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(f"question {i}", f"answer {i}", "") for i in range(1000)]
    changed = [*rows[:500], ("question 500", "another", ""), *rows[501:]]
    pair, changes = compare(write(tmp_path / "a.jsonl", rows), write(tmp_path / "b.jsonl", changed))
    assert (len(pair.a.parsed.rows), len(pair.b.parsed.rows)) == (1, 1)
    assert changes.changed.tolist() == ["answer"]
    assert pair.b.parsed.rows[0].record.row == 501


def test_a_damaged_line_is_named_by_its_number_in_the_file(tmp_path: Path) -> None:
    from corpus.errors import DataError

    rows = [(f"question {i}", f"answer {i}", "") for i in range(300)]
    a, b = write(tmp_path / "a.jsonl", rows), write(tmp_path / "b.jsonl", rows)
    lines = b.path.read_text(encoding="utf-8").splitlines(keepends=True)
    b.path.write_text("".join([*lines[:249], "nonsense\n", *lines[250:]]), encoding="utf-8")
    with pytest.raises(DataError, match=r"^b.jsonl, line 250: not JSON"):
        compare(a, b)


TEXTS = st.text(alphabet="ab c.\n语文数据ไทย", max_size=40)


@given(TEXTS, TEXTS)
def test_marked_words_read_as_either_text(old: str, new: str) -> None:
    parts = mark_words(old, new)
    assert "".join(part.text for part in parts if part.mark != "new") == old
    assert "".join(part.text for part in parts if part.mark != "old") == new


def test_one_changed_character_of_chinese_is_marked_alone() -> None:
    parts = mark_words("今天天气很好", "今天天气不好")
    assert [(part.mark, part.text) for part in parts if part.mark != "same"] == [("old", "很"), ("new", "不")]


def test_long_texts_that_differ_throughout_are_marked_in_bounded_time() -> None:
    random.seed(1)
    old, new = (" ".join(random.choice("abcdefgh") for _ in range(20_000)) for _ in range(2))
    assert "".join(part.text for part in mark_words(old, new) if part.mark != "old") == new


@given(TEXTS, TEXTS)
def test_shortening_leaves_every_edit(old: str, new: str) -> None:
    parts = mark_words(old, new)
    edits = [part for part in shorten(parts, 1) if part.mark != "same"]
    assert edits == [part for part in parts if part.mark != "same"]
