"""The benchmark of the first verdict: its repository is as large as was asked for, and its table adds up."""

from pathlib import Path

import pytest

from benchmarks.corpora import Part
from benchmarks.first_verdict import load_rows, tabulate, write_shards
from benchmarks.timed_commands import Timing
from corpus.errors import EntropylawError
from corpus.files import list_files, write_rows
from corpus.formats import read_records


@pytest.fixture
def part(tmp_path: Path) -> Part:
    rows = [{"prompt": f"What is {i}?", "completion": f"It is {i}."} for i in range(30)]
    write_rows(tmp_path / "numbers.jsonl", rows)
    return Part(tmp_path / "numbers.jsonl")


@pytest.mark.parametrize("turns", [1, 3])
def test_the_shards_hold_the_rows_that_were_asked_for(part: Part, tmp_path: Path, turns: int) -> None:
    records = load_rows([part], 20, turns)
    write_shards(records, 4, tmp_path / "chats")
    assert len(list_files(tmp_path / "chats")) == 4
    read = list(read_records(tmp_path / "chats"))
    assert [record.messages for record in read] == [record.messages for record in records]
    assert {len(record.messages) for record in read} == {2 * turns}
    assert {record.source for record in read} == {"numbers"}
    assert len({record.messages for record in read}) == 20


def test_more_rows_than_the_data_has_are_refused(part: Part) -> None:
    with pytest.raises(EntropylawError, match="30 conversations, fewer than --rows 31"):
        load_rows([part], 31, 1)


def test_the_table_adds_up_what_each_version_took() -> None:
    first = [Timing("prepare", 2.0, 3.0, 40.0), Timing("calibration", 150.0, 80.0, 700.0)]
    lines = tabulate(first, [Timing("prepare", 3.0, 3.0, 40.0)], Timing("check", 0.8, 0.8, 50.0)).splitlines()
    assert lines[2:5] == [
        "| `prepare` | 2.0 s | 40 MB | 3.0 s |",
        "| `calibration` | 150.0 s | 700 MB | – |",
        "| **together** | **152 s** | | **3 s** |",
    ]
