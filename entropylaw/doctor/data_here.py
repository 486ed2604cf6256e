"""The data files that a repository without a pipeline has, as the command that would set it up."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from corpus.errors import EntropylawError
from corpus.files import TABLE_SUFFIXES, find_suffix, list_files, read_rows
from corpus.formats import Kind, detect_format, kind_of
from entropylaw.repository import layout
from entropylaw.repository.git import run_git
from entropylaw.repository.lockfile import read_outputs

# So many files are opened; a repository may have thousands.
MOST_OPENED = 20
# A dataset is told by the first rows that have the keys of a format.
FIRST_ROWS = 3


def suggest_init() -> str:
    """The command that would set up this repository, with the data that is in it.

    Data whose first row is of a known format is named by its kind. Where none is, the words stand for the user's own.
    """
    found: dict[str, str] = {}
    for path in islice(_list_candidates(), MOST_OPENED):
        kind = _tell_kind(path)
        name = {"conversations": layout.SFT, "preferences": layout.PREFERENCES}.get(kind or "")
        if name is not None and name not in found:
            found[name] = path.as_posix()
    if not found:
        return f"run `entropylaw init --dataset {layout.SFT}=PATH`, PATH being your conversations"
    options = " ".join(
        f"--dataset {shlex.quote(f'{name}={path}')}" for name, path in sorted(found.items(), reverse=True)
    )
    return f"run `entropylaw init {options}`"


def _list_candidates() -> Iterator[Path]:
    """What DVC tracks here, then the data files that Git does, then those that nobody tracks yet."""
    yield from _list_tracked_by_dvc()
    tracked = run_git("ls-files", "-z").split("\0")
    others = run_git("ls-files", "-z", "--others", "--exclude-standard").split("\0")
    for name in (*tracked, *others):
        suffix = find_suffix(name) if name else None
        # A table of text may be anything; .json is mostly configuration, and its first row tells.
        if suffix and suffix not in TABLE_SUFFIXES:
            yield Path(name)


def _list_tracked_by_dvc() -> Iterator[Path]:
    """The files and folders that the .dvc files here and below name; a .dvc file that is damaged names none."""
    for name in run_git("ls-files", "-z", "--", "*.dvc").split("\0"):
        note = Path(name)
        if name and note.is_file():
            try:
                outputs = read_outputs(note, note.read_text(encoding="utf-8"), "")
            except (EntropylawError, OSError, ValueError):
                continue
            yield from (output.path for output in outputs)


def _tell_kind(path: Path) -> Kind | None:
    """What a file or folder holds by its first rows; None where that cannot be told."""
    try:
        file = list_files(path)[0]
        for _, row in islice(read_rows(file, bad_rows=lambda bad: None), FIRST_ROWS):
            if isinstance(row, dict) and (format := detect_format(row)) is not None:
                return kind_of(format)
    except (EntropylawError, OSError, ValueError, IndexError):
        return None
    return None
