"""A disk that is full and a folder that cannot be written: one line that names the file, and what was there stays."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import RULES, Place, make_place

from corpus.artifacts import atomic_writer, write_json
from corpus.errors import EntropylawError
from corpus.files import write_rows

pytestmark = pytest.mark.slow

WAIVE = ("waive", RULES[0], "--reason", "meant", "--owner", "ana", "--expires", "2999-12-31")
# Each command and the file that it is about to write.
WRITING = [
    (("prepare", "rows.jsonl", "--out", "results/out.jsonl"), "results/out.jsonl"),
    (("consistency", "prepared.jsonl", "--rows", "results/rows.npy"), "results/rows.npy"),
    # Rows that are not prepared go to a temporary file first.
    (("consistency", "rows.jsonl", "--rows", "results/rows.npy"), f"{tempfile.gettempdir()} (temporary rows of rows."),
    pytest.param(
        ("compress", "rows.jsonl", "--out", "results/out.json"), "results/out.json", marks=pytest.mark.torture
    ),
    pytest.param(
        ("select", "random", "rows.jsonl", "--out", "results/some.parquet", "--rows", "900"),
        "results (temporary texts of the pool)",
        marks=pytest.mark.torture,
    ),
    pytest.param(
        ("select", "random", "rows.jsonl", "--out", "results/some.jsonl.gz", "--rows", "900"),
        "results (temporary texts of the pool)",
        marks=pytest.mark.torture,
    ),
    pytest.param(("report",), "results/plots/", marks=pytest.mark.torture),
    pytest.param(WAIVE, "waivers.yaml", marks=pytest.mark.torture),
    pytest.param(("score", "x1", "--benchmark", "a", "--value", "1"), "history/x1", marks=pytest.mark.torture),
]


def allow_no_bytes() -> None:
    """Files of this process cannot grow: what a full disk is, and needs no rights. Output goes through pipes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = make_place(tmp_path_factory.mktemp("place"))
    made.run(*WAIVE)
    made.run("prepare", "rows.jsonl", "--out", "prepared.jsonl")
    return made


@pytest.mark.parametrize(("words", "file"), WRITING)
def test_a_command_names_the_file_that_has_no_room(place: Place, words: tuple[str, ...], file: str) -> None:
    before = {path: path.read_bytes() for path in place.folder.rglob("*") if path.is_file()}
    done = place.run(*words, before=allow_no_bytes)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"entropylaw: {file}"), done.stderr
    assert done.stderr.endswith(": cannot be written: File too large\n"), done.stderr
    assert {path: path.read_bytes() for path in place.folder.rglob("*") if path.is_file()} == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte, where this machine lets us mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a disk needs rights that this user lacks; others here limit the size of files")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_keeps_the_old_file_and_nothing_else(small_disk: Path) -> None:
    write_json(small_disk / "result.json", {"r": 2.5})
    (small_disk / "filler").write_bytes(bytes(900_000))
    with pytest.raises(EntropylawError, match=r"result\.json: cannot be written: No space left on device"):
        write_json(small_disk / "result.json", {"r": "x" * 500_000})
    for name in ("rows.jsonl", "rows.jsonl.gz", "rows.parquet", "rows.csv"):
        with pytest.raises(EntropylawError, match=rf"{name}: cannot be written: No space left on device"):
            write_rows(small_disk / name, ({"prompt": os.urandom(100).hex()} for _ in range(5_000)))
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", "result.json"]
    assert (small_disk / "result.json").read_text() == '{\n  "r": 2.5\n}\n'


def test_a_full_disk_while_data_is_written_is_no_fault_of_what_is_read(small_disk: Path) -> None:
    """An error of reading, inside the same block, keeps its own name."""
    with pytest.raises(FileNotFoundError, match="missing"), atomic_writer(small_disk / "out", "wb") as handle:
        handle.write(np.zeros(10).tobytes())
        (small_disk / "missing").read_bytes()
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (WAIVE, "waivers.yaml"),
        pytest.param(("report",), "results/", marks=pytest.mark.torture),
        pytest.param(
            ("compress", "rows.jsonl", "--out", "results/out.json"), "results/out.json", marks=pytest.mark.torture
        ),
    ],
)
def test_a_folder_that_cannot_be_written_is_named(small_disk: Path, words: tuple[str, ...], file: str) -> None:
    place = make_place(small_disk / "place")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = place.run(*words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"entropylaw: {file}")
    assert "Read-only file system" in done.stderr
    # What only reads goes on as ever.
    assert place.run("check").returncode == 1
