"""Hostile and broken data files, of every format, given to the commands that read data.

Each is read, or refused in one line with exit code 2 or 3: never a traceback, never an exit code of 1, which says that
the data is risky, and never more than ten seconds.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from hostile_folders import FOLDERS
from hostile_packed import files_packed
from hostile_tables import files_of_tables
from hostile_texts import LINES, files_of_dialects, files_of_text
from typer.testing import CliRunner

from corpus.errors import DataError, EntropylawError
from corpus.prepare import PrepareParams, prepare_file, read_prepared
from corpus.records import content_hash
from entropylaw.cli import app
from training.mt_bench_questions import read_questions

Files = Callable[[], Iterator[tuple[str, bytes]]]

FAMILIES: dict[str, Files] = {"text": files_of_text, "packed": files_packed, "tables": files_of_tables}
# No file of a few kilobytes may take longer.
SECONDS, SECONDS_OF_WAITING = 10, 120
# A message is a line that is read in a terminal or a log.
LONGEST_MESSAGE = 1500


class TookTooLong(Exception):
    """A file was still being read after SECONDS."""


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TookTooLong

    before = [signal.signal(kind, stop) for kind in (signal.SIGPROF, signal.SIGALRM)]
    # Of the processor's time: the machine may be busy. What waits for something takes none of it.
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(SECONDS_OF_WAITING)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        signal.signal(signal.SIGPROF, before[0])
        signal.signal(signal.SIGALRM, before[1])


def require_read_or_refused(source: Path, out: Path) -> None:
    """Prepare a file whatever share of it is unreadable. What is kept must come back with the same hash."""
    try:
        with in_time():
            report = prepare_file(source, out, PrepareParams(max_dropped_share=1.0))
    except EntropylawError as error:
        assert error.exit_code in (2, 3)
        assert "\n" not in str(error)
        assert len(str(error)) < LONGEST_MESSAGE + len(str(source))
        assert not out.exists(), "a file that was refused left something behind"
        return
    kept = [(content_hash(record), row_hash) for record, row_hash in read_prepared(out)]
    assert len(kept) == report.rows_kept
    assert all(now == then for now, then in kept)
    out.unlink()


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.torture)])
@pytest.mark.parametrize("family", FAMILIES)
def test_any_file_is_read_or_refused_in_one_line(
    in_tmp_path: Path, family: str, every: int, tally: Callable[..., None]
) -> None:
    files = list(islice(FAMILIES[family](), 0, None, every))
    assert len({name for name, _ in files}) == len(files) > 600 // every
    for name, content in files:
        path = Path(name)
        path.write_bytes(content)
        require_read_or_refused(path, Path("out.jsonl"))
        path.unlink()
    tally("hostile files", len(files))


@pytest.mark.parametrize("every", [100, pytest.param(1, marks=pytest.mark.torture)])
def test_any_value_in_any_column_of_any_dialect_is_read_or_refused_in_one_line(
    in_tmp_path: Path, every: int, tally: Callable[..., None]
) -> None:
    files = list(islice(files_of_dialects(), 0, None, every))
    assert len(files) > 14_000 // every
    path = Path("data.jsonl")
    for name, content in files:
        path.write_bytes(content)
        try:
            require_read_or_refused(path, Path("out.jsonl"))
        except Exception as error:
            error.add_note(name)
            raise
    tally("hostile files", len(files))


@pytest.mark.parametrize("case", FOLDERS)
def test_any_folder_name_or_link_is_read_or_refused_in_one_line(
    in_tmp_path: Path, case: str, tally: Callable[..., None]
) -> None:
    Path("place").mkdir()
    require_read_or_refused(FOLDERS[case](Path("place").absolute()), Path("out.jsonl"))
    tally("hostile files")


# Every command that reads data by itself; a model or a calibration is met by none of them before the data.
COMMANDS: dict[str, list[str]] = {
    "prepare": ["prepare", "FILE", "--out", "out.jsonl", "--report", "report.json", "--json"],
    "prepare, held out": ["prepare", "good.jsonl", "--held-out", "FILE", "--out", "out.jsonl"],
    "compress": ["compress", "FILE", "--json"],
    "consistency": ["consistency", "FILE", "--json"],
    "lint": ["lint", "FILE", "--json", "--show-text"],
    "lint, beside another": ["lint", "good.jsonl", "FILE", "--format", "sarif"],
    "compare": ["compare", "good.jsonl", "FILE", "--no-probe", "--json"],
    "select": ["select", "random", "FILE", "--rows", "2", "--out", "selected.jsonl"],
    "select, by ZIP": ["select", "zip", "FILE", "--rows", "2", "--out", "selected.jsonl"],
    "rate": ["rate", "FILE", "--dry-run"],
}


def _sample(every: int) -> list[tuple[str, bytes]]:
    return [file for files in FAMILIES.values() for file in islice(files(), 3, None, every)]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("every", [1000, pytest.param(30, marks=pytest.mark.torture)])
def test_no_command_ends_badly_on_any_file(
    in_tmp_path: Path, every: int, command: str, tally: Callable[..., None]
) -> None:
    Path("good.jsonl").write_bytes(LINES)
    Path("params.yaml").write_text("judge:\n  endpoint: http://localhost:9/v1\n  model: none\n", encoding="utf-8")
    files = _sample(every)
    for name, content in files:
        Path(name).write_bytes(content)
        with in_time():
            result = CliRunner().invoke(app, [name if word == "FILE" else word for word in COMMANDS[command]])
        assert result.exception is None or isinstance(result.exception, SystemExit), (name, result.exception)
        # What `lint` finds in rows that it can read is an exit code of 1.
        allowed = (0, 1, 2, 3) if command.startswith("lint") else (0, 2, 3)
        assert result.exit_code in allowed, (name, result.output)
        if result.exit_code in (2, 3):
            assert result.stderr.splitlines()[-1].startswith("entropylaw: "), (name, result.stderr)
        Path(name).unlink()
    tally("commands given a hostile file", len(files))


@pytest.mark.parametrize("every", [400, pytest.param(3, marks=pytest.mark.torture)])
def test_questions_of_a_benchmark_are_read_or_refused_in_one_line(
    in_tmp_path: Path, every: int, tally: Callable[..., None]
) -> None:
    files = _sample(every)
    for name, content in files:
        Path(name).write_bytes(content)
        with in_time(), contextlib.suppress(DataError):
            read_questions(name, name)
        with in_time(), contextlib.suppress(DataError):
            read_questions(name)
        Path(name).unlink()
    tally("hostile files", len(files))
