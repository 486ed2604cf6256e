"""Artifacts: written whole or not at all, and the same bytes for the same result."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus import shapes
from corpus.artifacts import (
    atomic_writer,
    fingerprint,
    hash_folder,
    read_json,
    read_result,
    to_json,
    write_json,
    write_text,
)
from corpus.errors import DamagedResultError, EntropylawError, NotAssessedError
from corpus.shapes import ShapeError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
RESULTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("exists", [True, False])
def test_a_failed_block_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException], exists: bool
) -> None:
    path = tmp_path / "result.json"
    if exists:
        path.write_text("old")
    with pytest.raises(error), atomic_writer(path) as handle:
        handle.write("half")
        handle.flush()
        raise error
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == (
        [("result.json", "old")] if exists else []
    )


def test_the_old_file_stands_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")
    with atomic_writer(path) as handle:
        handle.write("new")
        handle.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")
    code = (
        "import os, signal, sys\n"
        "from corpus.artifacts import atomic_writer\n"
        "with atomic_writer(sys.argv[1]) as handle:\n"
        "    handle.write('half'); handle.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    finished = subprocess.run([sys.executable, "-c", code, path], cwd=Path(__file__).parent.parent, check=False)
    assert finished.returncode == -9
    assert path.read_text() == "old"


def test_folders_are_made_and_permissions_are_the_users(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "result.json"
    before = os.umask(0o027)
    try:
        write_text(path, "x")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    cached = tmp_path / "cache"
    cached.write_text("cached")
    (tmp_path / "out").symlink_to(cached)
    write_text(tmp_path / "out", "new")
    assert cached.read_text() == "cached"
    assert (tmp_path / "out").read_text() == "new"


def test_a_place_that_cannot_be_written_is_one_line_of_error(tmp_path: Path) -> None:
    with pytest.raises(EntropylawError, match=r"cannot be written: it is a directory$"):
        write_text(tmp_path, "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(EntropylawError, match=r"file/out: cannot be written: (Not a directory|File exists)$"):
        write_text(tmp_path / "file" / "out", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_line_ends_are_written_as_they_are(tmp_path: Path) -> None:
    write_text(tmp_path / "out", "a\nb\r\nü")
    assert (tmp_path / "out").read_bytes() == "a\nb\r\nü".encode()


def rounded(value: object) -> object:
    """What a result should read back as: floats to nine digits, null for what JSON has no number for."""
    if isinstance(value, float):
        return float(f"{value:.8e}") if math.isfinite(value) else None
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return {key: rounded(item) for key, item in value.items()} if isinstance(value, dict) else value


@given(result=RESULTS)
def test_results_read_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, result: object) -> None:
    path = tmp_path_factory.getbasetemp() / "result.json"
    write_json(path, result)
    assert read_json(path) == rounded(result)
    assert to_json(read_json(path)) == path.read_text(encoding="utf-8")


@dataclasses.dataclass(frozen=True)
class Point:
    r: float
    rows: tuple[int, ...]
    inner: object = None


def test_dataclasses_and_numpy_values_become_plain_json() -> None:
    result = Point(np.float32(0.1), (1, 2), {1: Point(float("inf"), ()), "n": np.int64(3), "b": np.bool_(True)})
    assert json.loads(to_json(result)) == {
        "r": 0.100000001,
        "rows": [1, 2],
        "inner": {"1": {"r": None, "rows": [], "inner": None}, "n": 3, "b": True},
    }
    assert json.loads(to_json({"a": np.array([[1.0, np.nan]])})) == {"a": [[1.0, None]]}


def test_what_json_has_no_form_for_is_not_guessed() -> None:
    with pytest.raises(TypeError):
        to_json({"a": {1, 2}})


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"{", "not JSON: Expecting property name .*"),
        (b'{"r": 1', "not JSON: Expecting ',' delimiter.*"),
        (b"\xff", "not UTF-8 \\(byte 1\\)"),
        (b"\xef\xbb\xbf{}", "not JSON: Unexpected UTF-8 BOM.*"),
        (b'{"r": NaN}', "r: nan is no finite number"),
        (b'{"r": [1, -Infinity]}', "r\\[1\\]: -inf is no finite number"),
        (b'{"m": {"sft": {"r": 1e999}}}', "m.sft.r: inf is no finite number"),
        (b'{"rows": 36893488147419103232}', "rows: a whole number of more than 64 bits"),
        (b'{"rows": ' + b"9" * 5000 + b"}", "not JSON: a number with too many digits"),
        (b'{"status": "risky", "status": "pass"}', "not JSON: the key 'status' stands twice in an object"),
        (b'{"name": "\\ud83d"}', "name: a text with half a surrogate pair"),
        (b'{"\\ud83d": 1}', "a text with half a surrogate pair"),
        (b"[" * 101 + b"]" * 101, "nested deeper than 100 levels"),
        (b"[" * 10**6, "nested deeper than 100 levels"),
        (b'{"a":' * 10**5, "nested deeper than 100 levels"),
    ],
)
def test_an_unreadable_result_is_named_with_the_command_that_makes_it(
    tmp_path: Path, content: bytes, cause: str
) -> None:
    path = tmp_path / "verdict.json"
    with pytest.raises(NotAssessedError, match=r"verdict\.json: no such file; run `dvc repro assess` first$"):
        read_json(path, "dvc repro assess")
    path.write_bytes(content)
    with pytest.raises(DamagedResultError, match=rf"verdict\.json: {cause}; run `dvc repro --force assess`$"):
        read_json(path, "dvc repro assess")
    with pytest.raises(DamagedResultError, match=r"cannot be read: Is a directory; restore it from Git$"):
        read_json(tmp_path)


@dataclasses.dataclass(frozen=True)
class Inner:
    r: float
    kind: Literal["random", "topic"] = "random"
    name: str | None = None


@dataclasses.dataclass(frozen=True)
class Outer:
    rows: int
    runs: tuple[Inner, ...]
    by_name: dict[str, Inner] = dataclasses.field(default_factory=dict)
    schema_version: int = 2

    def __post_init__(self) -> None:
        if self.rows < 0:
            raise ValueError("rows must not be negative")


OUTER = Outer(3, (Inner(2.5), Inner(3, "topic", "a")), {"sft": Inner(1.0)})


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"rows": "3"}, "rows: expected int, found str"),
        ({"rows": True}, "rows: expected int, found bool"),
        ({"rows": 3.0}, "rows: expected int, found float"),
        ({"rows": None}, "rows: expected int, found null"),
        ({"rows": -1}, "rows must not be negative"),
        ({"runs": {}}, "runs: expected array, found object"),
        ({"runs": [[]]}, "runs[0]: expected object, found array"),
        ({"runs": [{"r": None}]}, "runs[0].r: expected float, found null"),
        ({"runs": [{"r": 1, "kind": "odd"}]}, "runs[0].kind: unknown value 'odd'"),
        ({"runs": [{"r": 1, "kind": []}]}, "runs[0].kind: expected str, found array"),
        ({"runs": [{"kind": "topic"}]}, "runs[0].r: missing key"),
        ({"runs": [{"r": 1, "R": 1}]}, "runs[0].R: unknown key; known are r, kind, name"),
        ({"by_name": {"sft": {"r": 1, "l": 5}}}, "by_name.sft.l: unknown key; known are r, kind, name"),
        ({"by_name": {"sft": {"r": "1"}}}, "by_name[...].r: expected float, found str"),
        ({"schema_version": 3}, "written by a newer entropylaw; update this one to read it"),
        ({"schema_version": 1}, "schema_version: expected 2, found 1"),
        ({"schema_version": "2"}, 'schema_version: expected 2, found "2"'),
        ({"schema_version": True}, "schema_version: expected 2, found true"),
    ],
)
def test_a_result_of_another_shape_is_named_with_the_place_in_it(
    tmp_path: Path, change: dict[str, object], cause: str
) -> None:
    path = tmp_path / "run.json"
    write_json(path, OUTER)
    assert read_result(path, Outer) == OUTER
    document = read_json(path)
    write_json(path, {**document, **change})
    with pytest.raises(DamagedResultError) as raised:
        read_result(path, Outer, "dvc repro probe")
    todo = "" if "newer" in cause else "; run `dvc repro --force probe`"
    assert str(raised.value) == f"{path}: {cause}{todo}"
    assert raised.value.exit_code == 3
    for key in ("rows", "runs", "schema_version"):
        write_json(path, {name: value for name, value in document.items() if name != key})
        with pytest.raises(DamagedResultError, match=f"{key}: missing key; restore it from Git$"):
            read_result(path, Outer)
    for whole in (None, [], 3, "text"):
        write_json(path, whole)
        with pytest.raises(DamagedResultError, match="expected object, found"):
            read_result(path, Outer)


def test_equal_configurations_have_equal_fingerprints() -> None:
    assert fingerprint({"a": 1, "b": (2, 3)}) == fingerprint({"b": [2, 3], "a": 1})
    assert fingerprint(Point(0.1 + 0.2, ())) == fingerprint(Point(0.3, ()))
    assert len({fingerprint(value) for value in (Point(0.1, ()), Point(0.2, ()), Point(0.1, (1,)), {}, [], None)}) == 6


def test_a_folder_is_its_names_and_bytes(tmp_path: Path) -> None:
    def folder(name: str, files: dict[str, str]) -> str:
        for path, text in files.items():
            write_text(tmp_path / name / path, text)
        return hash_folder(tmp_path / name)

    same = folder("one", {"a/b.bin": "x", "c": "y"})
    assert folder("two", {"c": "y", "a/b.bin": "x"}) == same
    others = [
        folder("bytes", {"a/b.bin": "x", "c": "z"}),
        folder("names", {"a/b.bin": "x", "d": "y"}),
        folder("fewer", {"a/b.bin": "x"}),
        folder("swapped", {"a/b.bin": "y", "c": "x"}),
        folder("flat", {"b.bin": "x", "c": "y"}),
    ]
    assert len({same, *others}) == 6
    with pytest.raises(EntropylawError, match=r"missing: no such folder$"):
        hash_folder(tmp_path / "missing")


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": {"b": "x", "b": "x"}, "c": ""}',
        '{"a": {}, "a": {}}',
        "[1, NaN]",
        "[1e400]",
        "[18446744073709551617]",
        "[-9223372036854775809]",
        "[" * 101 + "]" * 101,
        '{"\xff": 1}',
        '"\xed\xa0\x80"',
        '["a\nb"]',
        "[1] 2",
    ],
)
def test_the_fast_way_to_decode_takes_nothing_that_the_exact_one_refuses(text: str) -> None:
    content = text.encode("latin-1")
    with pytest.raises(ShapeError):
        shapes._decode_exactly(content)
    assert shapes._decode_sound(content) is None


@given(result=RESULTS)
def test_both_ways_to_decode_give_the_same(result: object) -> None:
    content = to_json(result).encode()
    sound = shapes._decode_sound(content)
    assert sound is None if b"\\" in content else repr(sound) == repr((shapes._decode_exactly(content),))
