"""The data of a dataset as it was at a commit: from Git, from DVC's cache, or from its remote."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from corpus.errors import EntropylawError
from corpus.files import belongs_to, dataset_root, hub_name, is_hub_name, list_files
from corpus.progress import Progress
from entropylaw.repository.git import find_root

_CHUNK = 2**20


class NotTrackedError(EntropylawError):
    """A commit has no such data."""


@dataclass(frozen=True)
class StoredData:
    """What a commit says of a dataset without opening its data. ``content``: a hash of the data; ``size`` in bytes,
    None where it is not noted; ``here``: in Git or in DVC's cache, so that no remote is asked for it.
    """

    content: str
    size: int | None
    here: bool


def describe_data(name: str, source: str, commit: str) -> StoredData | None:
    """What the commit has of a dataset, as named from the current folder; None where it has nothing of it.

    Raises EntropylawError, about ``name``, when Git and DVC cannot tell.
    """
    root = dataset_root(source).as_posix()
    with _at_commit(name, root, commit) as (files, path):
        paths = {} if files.isfile(path) else _list_paths(files, path, source, root)
        if not paths:
            # The file itself; or a folder in DVC whose list is not here: all that is known is the hash of that list.
            found = path if _is_in_dvc(files, path) else _nearest_in_dvc(files, path)
            if found not in (None, path) and _has_list(files, found):
                return None
            return None if found is None else _describe_file(files, found, commit, files.isfile(path))
        parts = {below: _describe_file(files, found, commit) for below, found in paths.items()}
    sizes = [part.size for part in parts.values() if part.size is not None]
    return StoredData(
        combine_hashes((below, part.content) for below, part in parts.items()),
        sum(sizes) if len(sizes) == len(parts) else None,
        all(part.here for part in parts.values()),
    )


def hash_present(source: str) -> str:
    """The content of a dataset as it is in the current folder, by which ``StoredData`` names it.

    Raises DataError, with what to do, where its files are not here.
    """
    if is_hub_name(source):
        raise EntropylawError(f"{hub_name(source)}: lies on the Hub; this repository has no past versions of it")
    root = dataset_root(source)
    if not root.is_dir():
        [file] = list_files(source)
        if not file.is_file():
            # Its absence has a cause that reading it names.
            from corpus.files import read_rows

            next(read_rows(file))
        return _hash_file(file)
    return combine_hashes((file.relative_to(root).as_posix(), _hash_file(file)) for file in list_files(source))


def combine_hashes(parts: Iterable[tuple[str, str]]) -> str:
    """One hash of several files, by their names below the dataset's folder and the hashes of their contents."""
    lines = "".join(f"{content} {name}\n" for name, content in sorted(parts))
    return hashlib.md5(lines.encode(), usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def open_data(name: str, file: str, commit: str) -> Iterator[tuple[IO[bytes], int | None]]:
    """The data of a single file at a commit, and its size in bytes where it is known.

    Raises EntropylawError, about ``name``, when it cannot be had here.
    """
    with _at_commit(name, file, commit) as (files, path):
        if not files.isfile(path):
            raise _not_tracked(files, name, path, commit)
        size = files.info(path)["size"]
        with files.open(path, "rb") as source:
            yield source, size


def copy_data(name: str, source: str, commit: str, folder: Path, progress: Progress) -> Path:
    """Copy the data of a dataset at a commit into ``folder``; the copy of its file, or of the folder it lies in.

    ``progress`` counts MiB. Raises EntropylawError, about ``name``, when the data cannot be had here.
    """
    root = dataset_root(source).as_posix()
    target = folder / Path(root).name
    with _at_commit(name, root, commit) as (files, path):
        # The notes of `save_to_disk` are no data, but say which files are.
        paths = {"": path} if files.isfile(path) else _list_paths(files, path, source, root, ("state.json",))
        if not paths:
            raise _not_tracked(files, name, path, commit)
        sizes = [files.info(found)["size"] for found in paths.values()]
        total = None if None in sizes else sum(sizes) // _CHUNK
        before = 0

        def count(done: int) -> None:
            progress((before + done) // _CHUNK, total or None)

        for below, found in paths.items():
            copy = target / below if below else target
            copy.parent.mkdir(parents=True, exist_ok=True)
            with files.open(found, "rb") as content, copy.open("wb") as handle:
                before += _copy(content, handle, count)
    return target


def _list_paths(files: Any, path: str, source: str, root: str, notes: Sequence[str] = ()) -> dict[str, str]:
    """The dataset's files in a folder at a commit, and the ``notes`` there, by their names below the folder.

    Empty where there is no such folder, and where DVC's list of the folder is not here: it is data itself.
    """
    from dvc_data.index import DataIndexDirError

    try:
        found = {os.path.relpath(item, path).replace(os.sep, "/"): item for item in files.find(path)}
    except DataIndexDirError:
        return {}
    return {
        below: item for below, item in sorted(found.items()) if belongs_to(source, f"{root}/{below}") or below in notes
    }


def _describe_file(files: Any, path: str, commit: str, is_whole: bool = True) -> StoredData:
    """``is_whole``: it is the data itself, not a folder that may hold it."""
    info = files.info(path)
    if "fs_info" in info and files.isfile(path):
        with files.open(path, "rb") as handle:
            return StoredData(hashlib.file_digest(handle, "md5").hexdigest(), info["size"], here=True)
    # The second is what DVC 2 wrote, and kept in another part of the cache.
    repo = info.get("repo")
    for kind in ("md5", "md5-dos2unix"):
        if kind in info:
            cache = None if repo is None else repo.cache.local if kind == "md5" else repo.cache.legacy
            here = is_whole and cache is not None and cache.exists(info[kind])
            return StoredData(info[kind], info["size"], here=here)
    return StoredData(commit, info["size"], here=False)


def _nearest_in_dvc(files: Any, path: str) -> str | None:
    """The file itself, or the folder that DVC tracks above it where the list of that folder is not here."""
    if files.isfile(path):
        return path
    # The list of a folder that DVC tracks is itself data, and may be missing.
    return next((str(parent) for parent in PurePosixPath(path).parents if files.isdvc(str(parent))), None)


def _is_in_dvc(files: Any, path: str) -> bool:
    """Whether DVC keeps this file or folder; False also where the list of the folder that it may be in is not here."""
    from dvc_data.index import DataIndexDirError

    try:
        return bool(files.isdvc(path))
    except DataIndexDirError:
        return False


def _has_list(files: Any, folder: str) -> bool:
    """Whether the list of a folder in DVC is here, so that what is not in it was not in the folder."""
    from dvc_data.index import DataIndexDirError

    try:
        files.find(folder)
    except DataIndexDirError:
        return False
    return True


def _not_tracked(files: Any, name: str, path: str, commit: str) -> NotTrackedError:
    folder = _nearest_in_dvc(files, path) or (path if files.isdvc(path) else None)
    hint = "; if it is in that folder of DVC's, run `dvc fetch --all-commits` first" if folder else ""
    return NotTrackedError(f"{name}: neither Git nor DVC tracks such a file at {commit[:7]}{hint}")


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


def _hash_file(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest()


def _copy(source: IO[bytes], target: IO[bytes], progress: Callable[[int], None]) -> int:
    done = 0
    while chunk := source.read(_CHUNK):
        done += target.write(chunk)
        progress(done)
    return done
