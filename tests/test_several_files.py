"""Datasets of several files: which files, in which order, with which numbers; and what is not one dataset."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path

import pytest
from data_files import pack, rows_of, write
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import BadRow, DataError
from corpus.files import (
    SUFFIXES,
    NumberedFile,
    belongs_to,
    copy_rows,
    describe_left_out,
    describe_other_shards,
    list_files,
    locate_row,
    name_row,
    number_files,
    read_rows,
    row_error,
    write_rows,
)
from corpus.files.names import natural_key


def refusal(source: object) -> str:
    with pytest.raises(DataError) as caught:
        list(read_rows(source))
    return str(caught.value)


def make(folder: Path, *names: str) -> None:
    """One row in each file: its name."""
    for name in names:
        write(folder, json.dumps([{"name": name}]).encode() if "json" in name else b"not data\n", name)


def names_in(source: object) -> list[str]:
    return [row["name"] for row in rows_of(source)]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("data")


def test_a_folder_is_its_data_files_in_natural_order(data: Path) -> None:
    parts = ["B.jsonl", "a-2.jsonl", "a-10.jsonl", "a-010.json.gz", "deep/er/1.ndjson", "é.jsonl"]
    make(data, *random.Random(1).sample(parts, len(parts)))
    make(data, "README.md", "notes.txt", "parts.py", ".hidden.jsonl", "_SUCCESS", "_temporary/0.jsonl")
    make(data, ".cache/a.jsonl")
    make(data, "dataset_info.json", "a-2.jsonl.dvc", ".gitignore", "cache-0123.arrow")
    assert names_in(data) == ["B.jsonl", "a-2.jsonl", "a-010.json.gz", "a-10.jsonl", "deep/er/1.ndjson", "é.jsonl"]
    assert names_in(str(data)) == names_in(data)
    assert describe_left_out(data) == "data: not read, as they are no data files by their names: notes.txt"
    make(data, "part-3.jsonl.bz2")
    assert str(describe_left_out(data)).endswith(": notes.txt, part-3.jsonl.bz2")
    assert describe_left_out(data / "B.jsonl") is None and describe_left_out(data / "deep") is None


def test_a_pattern_is_the_files_that_match_it(data: Path) -> None:
    make(data, "part-10.jsonl", "part-2.jsonl", "other.jsonl", "part-1.txt", ".part-3.jsonl", "deep/part-4.jsonl")
    assert names_in("data/part-*.jsonl") == ["part-2.jsonl", "part-10.jsonl"]
    assert names_in(Path("data/part-*")) == ["part-2.jsonl", "part-10.jsonl"]
    assert names_in("data/**/part-*.jsonl") == ["deep/part-4.jsonl", "part-2.jsonl", "part-10.jsonl"]
    assert names_in("data/part-[2-9].jsonl") == ["part-2.jsonl"]


def test_a_list_is_one_dataset_whatever_its_order(data: Path) -> None:
    make(data, "b.jsonl", "a.jsonl", "more/c.jsonl")
    assert names_in(["data/b.jsonl", Path("data/a.jsonl")]) == ["a.jsonl", "b.jsonl"]
    assert names_in([data / "more", "data/?.jsonl"]) == ["a.jsonl", "b.jsonl", "more/c.jsonl"]
    assert refusal(["data/a.jsonl", "data/*.jsonl"]).endswith("a.jsonl: is named twice in one dataset")


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(data: Path) -> None:
    make(data, "a[1].jsonl", "a1.jsonl")
    assert names_in("data/a[1].jsonl") == ["a[1].jsonl"]


@given(names=st.lists(st.text("ab01é9_-/.", min_size=1, max_size=8), unique=True))
def test_the_order_of_names_is_total_and_its_own(names: list[str]) -> None:
    paths = sorted({Path(name) for name in names})
    shuffled = random.Random(0).sample(paths, len(paths))
    assert sorted(shuffled, key=natural_key) == sorted(paths, key=natural_key)
    assert len({natural_key(path) for path in paths}) == len(paths)


PLACES = {
    "nothing": ([], "data: no such file"),
    "no data": (["README.md", "x.txt"], "data: is a folder that holds no data file"),
    "noted by dvc": (
        ["a.jsonl.dvc", ".gitignore"],
        "data: is a folder that holds no data file; DVC tracks files here: run",
    ),
    "splits": (
        ["train-1.jsonl", "train-2.jsonl", "test.jsonl"],
        r"data: holds several splits \(test: test.jsonl; train: train-1.jsonl, train-2.jsonl\); name one of them",
    ),
    "splits in folders": (
        ["train/a.jsonl", "validation/a.jsonl"],
        "data: holds several splits .* such as 'data/train/a",
    ),
    "an unnamed split": (["chats.jsonl", "eval.jsonl"], "data: holds several splits"),
    "the same rows twice": (["a.jsonl", "a.jsonl.gz"], "data: a.jsonl and a.jsonl.gz look like the same rows twice"),
    "missing shards": (
        ["train-00000-of-00004.jsonl", "train-00002-of-00004.jsonl"],
        "data: 2 of 4 shards are missing: data/train-00001-of-00004.jsonl and 1 more; download or `dvc pull` them",
    ),
    "the cache of the hub": (
        ["blobs/0123", "snapshots/abcd/a.jsonl"],
        "data: is the Hub's cache of a dataset; name one of its revisions: data/snapshots/abcd",
    ),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_folder_that_is_not_one_dataset_says_what_to_name(data: Path, case: str) -> None:
    names, expected = PLACES[case]
    make(data, *names)
    message = refusal(data)
    assert re.match(expected, message), message


def test_a_pattern_without_a_match_says_so(data: Path) -> None:
    assert refusal("data/*.jsonl") == "data: no such file"
    make(data, "a.txt", "b.jsonl.dvc")
    assert refusal("data/*.jsonl") == "data/*.jsonl: matches no file; DVC tracks files here: run `dvc pull`"
    assert refusal("data/a.*").startswith("data/a.*: matches no data file; data/a.txt is none")


def test_a_link_whose_file_is_gone_is_not_passed_over(data: Path) -> None:
    make(data, "a.jsonl")
    (data / "b.jsonl").symlink_to("nowhere")
    assert refusal(data).startswith("data/b.jsonl: is a link to a file that is not there")


def test_links_into_a_cache_are_files(data: Path) -> None:
    make(data, "blobs/0", "snapshots/abcd/none.jsonl")
    write(data, b'{"name": "linked"}\n', "blobs/1")
    (data / "snapshots/abcd/data").mkdir()
    (data / "snapshots/abcd/data/train.jsonl").symlink_to("../../../blobs/1")
    (data / "snapshots/abcd/none.jsonl").unlink()
    assert names_in(data / "snapshots" / "abcd") == ["linked"]


def test_one_shard_is_read_alone_and_the_others_are_told_of(data: Path) -> None:
    shards = [f"train-{i:05}-of-00003.jsonl" for i in range(3)]
    make(data, *shards, "train-00000-of-00001.parquet")
    assert names_in(data / shards[1]) == [shards[1]]
    assert describe_other_shards(data / shards[1]) == (
        "data/train-00001-of-00003.jsonl is one shard of a dataset, and 2 others are not read; "
        "all together are named 'data/train-*-of-00003.jsonl'"
    )
    assert names_in("data/train-*-of-00003.jsonl") == shards
    assert describe_other_shards(data / "train-00000-of-00001.parquet") is None
    (data / shards[2]).unlink()
    assert refusal("data/train-*-of-00003.jsonl").startswith("data/train-*-of-00003.jsonl: 1 of 3 shards are missing")
    assert names_in("data/train-0000[01]-of-00003.jsonl") == shards[:2]


def test_what_datasets_saved_is_read_in_its_own_order(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    rows = [{"prompt": f"p{n}", "turns": [{"role": "user", "content": str(n)}]} for n in range(7)]
    saved = datasets.Dataset.from_list(rows)
    saved.save_to_disk(tmp_path / "saved", num_shards=3)
    (tmp_path / "saved" / "cache-1.arrow").write_bytes(b"left over from map()")
    assert rows_of(tmp_path / "saved") == rows
    (tmp_path / "saved" / "state.json").write_text("{}")
    assert rows_of(tmp_path / "saved") == rows
    (tmp_path / "saved" / "data-00001-of-00003.arrow").unlink()
    with pytest.raises(DataError, match="1 of 3 shards are missing"):
        rows_of(tmp_path / "saved")
    datasets.DatasetDict(train=saved, test=saved).save_to_disk(tmp_path / "both")
    with pytest.raises(
        DataError, match=r"a saved DatasetDict of the splits test, train; name one, such as .*both/test"
    ):
        rows_of(tmp_path / "both")
    assert rows_of(tmp_path / "both" / "train") == rows


def test_rows_are_numbered_on_from_file_to_file(data: Path) -> None:
    write(data, b'\n{"n": 1}\n\n{"n": 2}\n\n\n', "1.jsonl")
    write(data, b'[{"n": 3}, 4, {"n": 5}, 6]', "2.json")
    write(data, b'{"n": 7}\n', "3.jsonl")
    bad: list[BadRow] = []
    begun: list[NumberedFile] = []
    numbers = [(number, row["n"]) for number, row in read_rows(data, bad_rows=bad.append, begin_file=begun.append)]
    assert numbers == [(2, 1), (4, 2), (5, 3), (7, 5), (9, 7)]
    assert [row.number for row in bad] == [6, 8]
    assert begun == [NumberedFile("data/1.jsonl", 1), NumberedFile("data/2.json", 5), NumberedFile("data/3.jsonl", 9)]
    assert number_files(data) == begun
    assert [locate_row(data, number) for number in (4, 5, 8, 9)] == [
        ("data/1.jsonl", 4),
        ("data/2.json", 1),
        ("data/2.json", 4),
        ("data/3.jsonl", 1),
    ]
    assert [name_row(data, 7), name_row("data/1.jsonl", 2)] == ["data/2.json:3", "2"]
    assert str(row_error(data, "odd", 4)) == "data/1.jsonl, line 4: odd"
    assert str(row_error(data, "odd", 7)) == "data/2.json, row 3: odd"


def test_an_error_names_the_file_it_is_in(data: Path) -> None:
    make(data, "1.jsonl", "2.jsonl")
    write(data, b'{"n": 1}\nnonsense\n', "2.jsonl")
    assert refusal(data).startswith("data/2.jsonl, line 2: not JSON")
    write(data, b"", "2.jsonl")
    assert refusal(data) == "data/2.jsonl: is empty"
    with pytest.raises(DataError, match=r"^data/1.jsonl, row 1: odd$"):
        raise row_error("data/*.jsonl", "odd", 1)


def test_rows_of_several_files_are_copied_into_one(data: Path) -> None:
    for part in range(3):
        write_rows(data / f"{part}.parquet", [{"n": part * 10 + n} for n in range(10)])
    for target in ("chosen.parquet", "chosen.jsonl"):
        copy_rows(data, target, [25, 1, 11])
        assert rows_of(target) == [{"n": 24}, {"n": 0}, {"n": 10}]
    with pytest.raises(DataError, match=r"data/2.parquet, row 11: no such row"):
        copy_rows("data/*.parquet", "chosen.jsonl", [31])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_dataset_reads_the_same_however_it_is_split_and_packed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """The law of several files: names, suffixes, compressions and cuts change nothing but where a row stands."""
    folder = tmp_path_factory.getbasetemp() / "split"
    shutil.rmtree(folder, ignore_errors=True)
    rows = [{"n": n, "text": f"é{n}\u2028"} for n in range(data.draw(st.integers(1, 12)))]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(rows) - 1), max_size=4)) if len(rows) > 1 else ())
    parts = [rows[start:end] for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    for i, part in enumerate(parts):
        write_rows(folder / f"part-{i}{data.draw(st.sampled_from(SUFFIXES))}", part)
    assert list(read_rows(folder)) == list(enumerate(rows, start=1))
    assert rows_of(list_files(folder)[::-1]) == rows
    place = {number: (file.as_posix(), i) for number, file, i in _places(folder, parts)}
    assert {number: locate_row(folder, number) for number in place} == place


def _places(folder: Path, parts: list[list[dict]]) -> list[tuple[int, Path, int]]:
    numbered = [
        (file, i) for file, part in zip(list_files(folder), parts, strict=True) for i in range(1, len(part) + 1)
    ]
    return [(number, file, i) for number, (file, i) in enumerate(numbered, start=1)]


@settings(max_examples=100, deadline=None)
@given(
    names=st.lists(
        st.text("ab*.", min_size=1, max_size=3).map(lambda text: text.replace("*", "c") + ".jsonl"),
        unique=True,
        max_size=6,
    ),
    pattern=st.text("ab*?[]", min_size=1, max_size=4),
    deep=st.booleans(),
)
def test_names_of_a_past_commit_are_chosen_as_files_are(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], pattern: str, deep: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "names"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in names:
        write(folder, pack(b"{}", name), name)
        write(folder / "sub", b"{}", name)
    present = [path.as_posix() for path in folder.rglob("*.jsonl")]
    for source in (folder, folder / ("**" if deep else ".") / f"{pattern}.jsonl"):
        try:
            listed = {path.as_posix() for path in list_files(source) if path.exists()}
        except DataError:
            listed = set()
        if Path(source) not in map(Path, present):
            assert {name for name in present if belongs_to(source, name)} == listed
