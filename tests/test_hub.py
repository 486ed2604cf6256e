"""Datasets on the Hub, by the library `datasets`: a local folder of the same name stands for the Hub."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
from data_files import read_all, rows_of

from corpus.errors import DataError, EntropylawError
from corpus.files import copy_rows, locate_row, read_rows, row_error, write_rows
from corpus.files.hub import HubDataset, parse_hub_name
from entropylaw.repository.committed_data import hash_present

ROWS = [{"messages": [{"role": "user", "content": f"Hi {n}"}], "image": b"\x89"} for n in range(5)]
NAME = "hf://owner/name@0123abc"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    folder = Path("owner/name/data")
    write_rows(folder / "train-00000-of-00002.parquet", ROWS[:3])
    write_rows(folder / "train-00001-of-00002.parquet", ROWS[3:])
    write_rows(folder / "test-00000-of-00001.parquet", ROWS[1:2])
    return folder


def test_the_rows_of_a_dataset_are_those_of_its_files(hub: Path) -> None:
    assert list(read_rows(NAME)) == list(enumerate(ROWS, start=1))
    assert rows_of(f"{NAME}#test") == ROWS[1:2]
    # As the command line hands it on: a Path has lost one of the slashes.
    assert rows_of(Path(NAME)) == ROWS


def test_rows_are_located_and_copied(hub: Path) -> None:
    assert locate_row(Path(NAME), 4) == (NAME, 4)
    assert str(row_error(Path(NAME), "odd", 4)) == f"{NAME}, row 4: odd"
    copy_rows(NAME, "chosen.parquet", [5, 2])
    assert rows_of("chosen.parquet") == [ROWS[4], ROWS[1]]


def test_rows_too_long_are_told_and_passed_over(hub: Path) -> None:
    for shard in hub.iterdir():
        write_rows(shard, [{"a": "x"}, {"a": "x" * 2000}])
    assert read_all(f"{NAME}#test") == ([1], [(2, "too long")])
    with pytest.raises(DataError, match="row 2: longer than 1,000 bytes"):
        list(read_rows(f"{NAME}#test", 1000))


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("hf://owner/name", "names no revision, .* such as hf://owner/name@0123abc$"),
        ("hf://owner/name#test", "names no revision"),
        ("hf://", "not the name of a dataset on the Hub; expected hf://OWNER/NAME@REVISION"),
        (f"{NAME}#none", 'cannot be had from the Hub .*Unknown split "none"'),
        (f"{NAME}/other", "cannot be had from the Hub .*BuilderConfig 'other' not found"),
    ],
)
def test_what_cannot_be_had_is_one_line(hub: Path, name: str, cause: str) -> None:
    with pytest.raises(DataError, match=cause) as caught:
        list(read_rows(name))
    assert str(caught.value).startswith(name) and "\n" not in str(caught.value)


def test_the_hub_has_no_past_versions_in_a_repository() -> None:
    with pytest.raises(EntropylawError, match=f"^{NAME}: lies on the Hub"):
        hash_present(Path(NAME).as_posix())


def test_every_part_of_a_name_is_read() -> None:
    assert parse_hub_name("hf://datasets/a/b@refs-pr-1/c-d#validation") == HubDataset(
        "a/b", "refs-pr-1", "c-d", "validation"
    )
    assert parse_hub_name("hf:///mirror/a/b@main") == HubDataset("/mirror/a/b", "main")
