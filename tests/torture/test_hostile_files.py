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
from hostile_texts import files_of_dialects, files_of_text

from corpus.errors import EntropylawError
from corpus.prepare import PrepareParams, prepare_file, read_prepared
from corpus.records import content_hash

Files = Callable[[], Iterator[tuple[str, bytes]]]

FAMILIES: dict[str, Files] = {"text": files_of_text, "packed": files_packed, "tables": files_of_tables}
# No file of a few kilobytes may take longer.
SECONDS = 10
# A message is a line that is read in a terminal or a log.
LONGEST_MESSAGE = 1500


class TookTooLong(Exception):
    """A file was still being read after SECONDS."""


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


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


@pytest.mark.parametrize("family", FAMILIES)
def test_any_file_is_read_or_refused_in_one_line(in_tmp_path: Path, family: str, tally: Callable[..., None]) -> None:
    files = list(FAMILIES[family]())
    assert len({name for name, _ in files}) == len(files) > 600
    for name, content in files:
        path = Path(name)
        path.write_bytes(content)
        require_read_or_refused(path, Path("out.jsonl"))
        path.unlink()
    tally("hostile files", len(files))


@pytest.mark.parametrize("every", [50, pytest.param(1, marks=pytest.mark.torture)])
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
