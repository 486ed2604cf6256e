"""A data file written again without some rows: what stays keeps its bytes, or its values where there are no lines."""

import gzip
import json
from pathlib import Path

import pytest

from corpus.errors import DataError
from corpus.files import read_rows, write_rows
from corpus.files.changing import read_stored, show_stored, write_changed

# Spaces, escapes and an order of keys of their own, a blank line, a last line without an end.
LINES = [
    b'{"prompt":  "Tea\\u003f", "n": 1.0, "completion": "Yes."}\n',
    b"\n",
    b'{"completion": "Nein \xc3\xa4", "prompt": "Kaffee?"}\r\n',
    b'{"prompt": "Water?", "completion": "Now."}',
]
ROWS = [{"prompt": f"What is {n}?", "completion": f"It is {n}."} for n in range(1, 6)]


def test_lines_that_stay_keep_their_bytes(tmp_path: Path) -> None:
    file, target = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    file.write_bytes(b"".join(LINES))
    write_changed(file, target, {1}, {4: b'{"prompt": "Old?", "completion": "So."}'})
    assert target.read_bytes() == LINES[1] + LINES[2] + b'{"prompt": "Old?", "completion": "So."}'
    assert file.read_bytes() == b"".join(LINES)
    assert read_stored(file, [3]) == {3: LINES[2].rstrip()}


def test_packed_lines_stay_packed(tmp_path: Path) -> None:
    file, target = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"
    file.write_bytes(gzip.compress(b"".join(LINES)))
    write_changed(file, target, {1, 4}, {})
    assert gzip.decompress(target.read_bytes()) == LINES[1] + LINES[2]


@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.tsv", "a.parquet", "a.arrow", "a.json.gz", "a.jsonl.zst"])
def test_rows_of_any_file_stay_as_they_were(tmp_path: Path, name: str) -> None:
    file, target = tmp_path / name, tmp_path / f"changed-{name}"
    write_rows(file, ROWS)
    old = {"prompt": "What was 3?", "completion": "It was 3."}
    write_changed(file, target, {2, 5}, {3: json.dumps(old).encode()})
    assert [row for _, row in read_rows(target)] == [ROWS[0], old, ROWS[3]]
    assert json.loads(show_stored(read_stored(file, [4])[4])) == ROWS[3]


def test_nothing_is_lost_in_silence(tmp_path: Path) -> None:
    file, target = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    file.write_bytes(b"".join(LINES))
    with pytest.raises(DataError, match="no row would be left"):
        write_changed(file, target, {1, 2, 3, 4}, {})
    with pytest.raises(DataError, match="no such row"):
        read_stored(file, [9])
    table = tmp_path / "a.json"
    table.write_text('[{"prompt": "a", "completion": "\\ud800"}, {"prompt": "b", "completion": "c"}]')
    with pytest.raises(DataError, match="cannot be read"):
        write_changed(table, tmp_path / "b.json", {2}, {})
    assert not target.exists() and not (tmp_path / "b.json").exists()
