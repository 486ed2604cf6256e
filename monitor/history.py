"""The history of accepted versions: one small JSON file each, in a folder that Git keeps."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from corpus.artifacts import sweep_temporary_files
from corpus.errors import EntropylawError
from monitor.history_entry import DatasetReference, HistoryEntry
from monitor.history_file import STATUSES, read_file, write_file
from monitor.lineage import accepted_since, anchor_of, comparable, find_own, list_ends, parent_of

__all__ = [
    "DatasetReference",
    "HistoryEntry",
    "accepted_since",
    "anchor_of",
    "comparable",
    "find_own",
    "list_ends",
    "parent_of",
    "place_entry",
    "read_history",
    "record_score",
    "replace_entry",
    "write_entry",
]

HISTORY_FOLDER = "history"
# Digits of a hash in a file's name, and behind a name that two versions have: as many as a verdict shows.
SHORT_HASH = 8


def read_history(folder: str | Path = HISTORY_FOLDER) -> tuple[HistoryEntry, ...]:
    """Every accepted version, each after those that it follows: sorted by number, then by name and hash.

    Branches that were merged may both have a version of one number, and of one name. Where a name belongs to different
    data, the hash is added to it, as in ``x3-1a2b3c4d``. A missing folder is an empty history. Raises EntropylawError
    naming the file when one is damaged.
    """
    return tuple(entry for _, entry in _tell_apart(_read_files(folder)))


def write_entry(folder: str | Path, entry: HistoryEntry) -> Path:
    """Add a version after all that are there, as ``x3-1a2b3c4d-5e6f7a8b.json``: name, hash of the data, id.

    Two branches so write different files. Raises EntropylawError when the version was not accepted, is there already,
    or has a name taken by other data. A version that is there may begin anew, as a baseline.
    """
    is_let_through = entry.waived or entry.anchor
    if entry.status not in STATUSES or (entry.status == "risky" and not is_let_through):
        raise EntropylawError(f"{entry.name}: {entry.status} versions do not enter the history; only accepted ones do")
    files = _read_files(folder)
    ends = list_ends([past for _, past in files])
    for path, past in files:
        begun = past.status == "baseline" and any(past is end for end in ends)
        same = (past.data_hash, past.config_fingerprint) == (entry.data_hash, entry.config_fingerprint)
        if same and (begun or entry.status != "baseline"):
            raise EntropylawError(
                f"{path}: this data version is in the history already; if an `accept` was stopped before its end, "
                "`dvc repro` writes the reports that it did not"
            )
        if past.name == entry.name and past.data_hash != entry.data_hash:
            raise EntropylawError(f"{path}: the name {entry.name!r} belongs to other data; choose another")
    placed = place_entry([past for _, past in files], entry)
    path = _entry_path(folder, placed)
    write_file(path, placed)
    return path


def place_entry(history: Sequence[HistoryEntry], entry: HistoryEntry) -> HistoryEntry:
    """The entry as the next one of a history: it follows every end, so it joins branches that were merged."""
    number = max((past.number for past in history), default=0) + 1
    return replace(entry, number=number, parents=tuple(sorted({end.id for end in list_ends(history)})))


def record_score(folder: str | Path, name: str, benchmark: str, value: float) -> Path:
    """Record Z of the latest version of that name on a benchmark. It replaces an earlier value.

    Raises EntropylawError when no version has the name or the value is not a finite number.
    """
    if not math.isfinite(value):
        raise EntropylawError(f"score of {name} on {benchmark}: expected a finite number, found {value}")
    files = _read_files(folder)
    told = _tell_apart(files)
    named = [i for i, (_, entry) in enumerate(told) if entry.name == name]
    if not named:
        meant = [entry.name for (_, stored), (_, entry) in zip(files, told, strict=True) if stored.name == name]
        if meant:
            raise EntropylawError(f"{folder}: {len(meant)} versions are named {name!r}; say {' or '.join(meant)}")
        known = ", ".join(dict.fromkeys(entry.name for _, entry in told)) or "none yet"
        raise EntropylawError(f"{folder}: no version is named {name!r}; known are: {known}")
    path, entry = files[named[-1]]
    write_file(path, replace(entry, scores={**entry.scores, benchmark: value}))
    return path


def replace_entry(folder: str | Path, entry: HistoryEntry) -> Path:
    """Write an entry that `read_history` gave again, in its own file and under the name that it has there.

    Raises EntropylawError when there is none.
    """
    files = _read_files(folder)
    for (path, stored), (_, told) in zip(files, _tell_apart(files), strict=True):
        if (told.number, told.id, told.name) == (entry.number, entry.id, entry.name):
            write_file(path, replace(entry, name=stored.name))
            return path
    raise EntropylawError(f"{folder}: {entry.name} is not in the history")


def _read_files(folder: str | Path) -> list[tuple[Path, HistoryEntry]]:
    """The entries under the names that they were accepted by, with their files, in the history's order."""
    # DVC takes every file in the folder for a part of the history, also what a killed run left.
    sweep_temporary_files(folder)
    files = [(path, read_file(path)) for path in sorted(Path(folder).glob("*.json"))]
    return sorted(files, key=lambda file: (file[1].number, file[1].name, file[1].data_hash, file[1].id))


def _tell_apart(files: Sequence[tuple[Path, HistoryEntry]]) -> list[tuple[Path, HistoryEntry]]:
    """The same entries, with the hash added to a name that belongs to different data."""
    hashes: dict[str, set[str]] = defaultdict(set)
    for _, entry in files:
        hashes[entry.name].add(entry.data_hash)

    def name(entry: HistoryEntry) -> str:
        return entry.name if len(hashes[entry.name]) == 1 else f"{entry.name}-{entry.data_hash[:SHORT_HASH]}"

    return [(path, replace(entry, name=name(entry))) for path, entry in files]


def _entry_path(folder: str | Path, entry: HistoryEntry) -> Path:
    """The file of an entry.

    >>> entry = HistoryEntry(name="Mai & Juni/2", data_hash="1a2b3c4d" * 4, config_fingerprint="", status="pass",
    ...     rows=0, measurements={}, datasets={}, tool_version="")
    >>> _entry_path("history", entry).as_posix()
    'history/Mai-Juni-2-1a2b3c4d-6dfa20e7.json'
    """
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", entry.name)[:60].strip("-.") or "version"
    return Path(folder) / f"{slug}-{entry.data_hash[:SHORT_HASH]}-{entry.id[:SHORT_HASH]}.json"
