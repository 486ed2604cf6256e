"""Finds the data file that a user names: on disk, or as it was at a Git revision, from Git or from DVC."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from corpus.errors import DataError, EntropylawError
from corpus.files import SUFFIXES, file_suffix
from corpus.params import PARAMS_FILE
from corpus.progress import Progress, ignore_progress
from entropylaw.repository.git import find_root, resolve_commit

# A revision may itself hold colons, but only in braces, as in `HEAD@{2026-01-31 10:00}`.
_WITH_FILE = re.compile(r"((?:[^:{]|\{[^}]*\})+):(.+)")
_CHUNK = 2**20


@dataclass(frozen=True)
class DataFile:
    """``path`` can be read; ``name`` is what the user called it; ``commit``: of a file taken from Git, else None."""

    name: str
    path: Path
    commit: str | None = None

    @property
    def origin(self) -> Path:
        """The file as params.yaml may name it: of a copy from a revision, the file that was copied."""
        match = _WITH_FILE.fullmatch(self.name) if self.commit else None
        return Path(match[2]) if match else self.path


@dataclass(frozen=True)
class StoredData:
    """What a commit says of a data file without opening its data. ``content``: a hash of the data; ``size`` in bytes,
    None where it is not noted; ``here``: in Git or in DVC's cache, so that no remote is asked for it.
    """

    content: str
    size: int | None
    here: bool


def locate_data(
    argument: str,
    dataset: str,
    folder: Path,
    progress: Progress = ignore_progress,
) -> DataFile:
    """The data file that ``argument`` names: a file; a revision, for the file of ``dataset`` in params.yaml there; or
    ``REVISION:FILE``, with the file as seen from the current folder. A name that is both a file and a revision is the
    file. What is taken from a revision is copied into ``folder``; ``progress`` counts its MiB.

    Raises EntropylawError when it is neither, and when the data of a revision cannot be had here.
    """
    if Path(argument).is_file():
        return DataFile(argument, Path(argument))
    match = _WITH_FILE.fullmatch(argument)
    revision, file = match.groups() if match else (argument, None)
    commit = resolve_commit(revision)
    if commit is None:
        raise _unknown(argument, revision if file else None)
    if file is None:
        file = _dataset_file(dataset, argument)
    name = f"{revision}:{file}"
    file_suffix(file)
    # The name keeps its suffix, which tells the format.
    target = folder / Path(file).name
    _copy_from_revision(name, file, commit, target, progress)
    return DataFile(name, target, commit)


def _unknown(argument: str, revision: str | None) -> EntropylawError:
    if revision is not None:
        return EntropylawError(f"{argument}: no such file, and {revision!r} is no commit of a Git repository here")
    if Path(argument).is_dir():
        return DataError(argument, "is a directory; give a data file")
    if argument.lower().endswith(SUFFIXES):
        return DataError(argument, "no such file")
    return EntropylawError(f"{argument}: neither a data file nor a Git revision")


def _dataset_file(dataset: str, revision: str) -> str:
    from entropylaw.repository.datasets import read_datasets

    if not Path(PARAMS_FILE).exists():
        raise EntropylawError(f"{revision}: there is no {PARAMS_FILE} to name a data file; write {revision}:FILE")
    datasets = read_datasets()
    if dataset not in datasets:
        raise EntropylawError(f"{PARAMS_FILE}: no dataset {dataset!r}; there is {', '.join(datasets)}")
    return datasets[dataset].file.as_posix()


def describe_data(name: str, file: str, commit: str) -> StoredData | None:
    """What the commit has under this path, as seen from the current folder; None where it has no such file.

    Raises EntropylawError, about ``name``, when Git and DVC cannot tell.
    """
    with _at_commit(name, file, commit) as (files, path):
        found = _nearest_in_dvc(files, path)
        if found is None:
            return None
        info = files.info(found)
        if "fs_info" in info:
            with files.open(found, "rb") as handle:
                return StoredData(hashlib.file_digest(handle, "md5").hexdigest(), info["size"], here=True)
        # The second is what DVC 2 wrote, and kept in another part of the cache.
        caches = {"md5": info["repo"].cache.local, "md5-dos2unix": info["repo"].cache.legacy}
        for kind, cache in caches.items():
            if kind in info:
                return StoredData(info[kind], info["size"], here=found == path and cache.exists(info[kind]))
        return StoredData(commit, info["size"], here=False)


def _nearest_in_dvc(files: Any, path: str) -> str | None:
    """The file itself, or the folder that DVC tracks above it where the list of that folder is not here."""
    if files.isfile(path):
        return path
    # The list of a folder that DVC tracks is itself data, and may be missing.
    return next((str(parent) for parent in PurePosixPath(path).parents if files.isdvc(str(parent))), None)


@contextlib.contextmanager
def open_data(name: str, file: str, commit: str) -> Iterator[tuple[IO[bytes], int | None]]:
    """The data of a file at a commit, from Git, DVC's cache or its remote, and its size in bytes where it is known.

    Raises EntropylawError, about ``name``, when it cannot be had here.
    """
    with _at_commit(name, file, commit) as (files, path):
        if not files.isfile(path):
            folder = _nearest_in_dvc(files, path)
            hint = "; if it is in that folder of DVC's, run `dvc fetch --all-commits` first" if folder else ""
            raise EntropylawError(f"{name}: neither Git nor DVC tracks such a file at {commit[:7]}{hint}")
        size = files.info(path)["size"]
        with files.open(path, "rb") as source:
            yield source, size


@contextlib.contextmanager
def _at_commit(name: str, file: str, commit: str) -> Iterator[tuple[Any, str]]:
    """DVC's view of a commit, and the file's path in it."""
    from dvc.api import DVCFileSystem

    root = find_root()
    path = os.path.relpath(file, root or None).replace(os.sep, "/")
    if not root or path.startswith("../"):
        raise EntropylawError(f"{name}: lies outside the working tree of the Git repository here")
    try:
        # Rooted where Git is: the DVC repository may lie in a folder below.
        with contextlib.closing(DVCFileSystem(root, rev=commit, subrepos=True)) as files:
            yield files, path
    except FileNotFoundError:
        raise EntropylawError(
            f"{name}: its data is neither in the DVC cache nor on the remote; run `dvc fetch --all-commits {file}`"
        ) from None
    except EntropylawError:
        raise
    except Exception as error:  # every kind of DVC remote has errors of its own
        raise EntropylawError(
            f"{name}: cannot be read ({type(error).__name__}: {error}); try `dvc fetch --all-commits {file}`"
        ) from None


def _copy_from_revision(name: str, file: str, commit: str, target: Path, progress: Progress) -> None:
    with open_data(name, file, commit) as (source, size):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as copy:
            _copy(source, copy, lambda done: progress(done // _CHUNK, size // _CHUNK if size else None))


def _copy(source: IO[bytes], target: IO[bytes], progress: Callable[[int], None]) -> None:
    done = 0
    while chunk := source.read(_CHUNK):
        done += target.write(chunk)
        progress(done)
