"""Files written whole or not at all (temporary file beside the target, fsync, rename), and read back as written."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import io
import json
import math
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from corpus.errors import DamagedResultError, EntropylawError, NotAssessedError
from corpus.merge_conflicts import describe_conflict
from corpus.shapes import ShapeError, decode_json, list_added, parse_shape

T = TypeVar("T")

# A temporary file's name begins and ends like this. What an interrupted run leaves behind may be training text, so
# `init` has Git ignore all hidden files with this end; the start tells ours from those of other programs.
TEMPORARY_PREFIX, TEMPORARY_SUFFIX = ".entropylaw-", ".tmp"


@contextlib.contextmanager
def atomic_writer(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file that replaces ``path`` when the block ends well, and is deleted when it does not.

    Missing folders are made, and what a killed run left in the folder is deleted. A symbolic link is replaced, not
    followed: DVC links a stage's outputs to its cache. Raises EntropylawError when the file cannot be made, written or
    replaced.
    """
    target = Path(path)
    temporary: list[str] = []
    try:
        try:
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a directory")
            target.parent.mkdir(parents=True, exist_ok=True)
            sweep_temporary_files(target.parent)
            raw = _make_temporary(target, temporary)
        except OSError as error:
            raise _write_error(target, error) from None
        buffered = io.BufferedWriter(raw)
        with buffered if "b" in mode else io.TextIOWrapper(buffered, encoding="utf-8", newline="\n") as handle:
            yield handle
            handle.flush()
            _put_into_place(raw.fileno(), temporary[0], target)
    except BaseException:
        for left in temporary:
            with contextlib.suppress(OSError):
                os.unlink(left)
        raise


def sweep_temporary_files(folder: str | os.PathLike[str]) -> None:
    """Delete the temporary files that killed runs left in a folder: nobody holds their locks any more.

    Something else under such a name, such as a link, is not followed and never waited for.
    """
    for left in Path(folder).glob(f"{TEMPORARY_PREFIX}*{TEMPORARY_SUFFIX}"):
        with contextlib.suppress(OSError), open(left, "rb", opener=_open_as_it_is) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _open_as_it_is(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


class _TemporaryFile(io.FileIO):
    """A file that names its target when it cannot be written, as on a full disk."""

    def __init__(self, descriptor: int, target: Path) -> None:
        super().__init__(descriptor, "w")
        self._target = target

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise _write_error(self._target, error) from None


def _make_temporary(target: Path, names: list[str]) -> _TemporaryFile:
    """A new temporary file beside its target, open and locked. The system unlocks it when its writer ends.

    Its name is in ``names`` before it is there: a signal may end this at any point, and nothing may be left.
    """
    while True:
        names.append(str(target.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"))
        try:
            descriptor = os.open(names[0], os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:  # somebody else's
            names.clear()
            continue
        with contextlib.suppress(OSError):  # a file system without locks, where nothing is swept either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return _TemporaryFile(descriptor, target)
        os.close(descriptor)  # another writer swept it away before it was locked
        names.clear()


def _put_into_place(descriptor: int, temporary: str, target: Path) -> None:
    try:
        os.fsync(descriptor)
        # It was made private; results are meant to be shared like any other file of the repository.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    except OSError as error:
        raise _write_error(target, error) from None


def _write_error(target: Path, error: OSError) -> EntropylawError:
    return EntropylawError(f"{target}: cannot be written: {error.strerror}")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file as UTF-8, whole or not at all. Raises EntropylawError as ``atomic_writer`` does."""
    with atomic_writer(path) as handle:
        handle.write(text)


def to_json(result: Any) -> str:
    """Indented JSON with stable key order. Dataclasses become objects; NaN and infinity become null.

    >>> print(to_json({"r": 2.5, "l": float("nan")}))
    {
      "r": 2.5,
      "l": null
    }
    <BLANKLINE>
    """
    return json.dumps(_plain(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        added = list_added(type(value))
        parts = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: _plain(part) for name, part in parts if part is not None or name not in added}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        # Nine significant digits: enough for every threshold, and where processors differ in the last bits of a sum,
        # the file is nearly always the same.
        return float(f"{value:.9g}") if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return _plain(value.tolist())
    return value


def write_json(path: str | os.PathLike[str], result: Any) -> None:
    """Write a result (dataclasses, containers, numbers) as JSON, whole or not at all; folders are made as needed.

    Numbers keep nine significant digits, which hides most differences between processors in the last bits of a sum.
    What is not a finite number becomes null.
    """
    write_text(path, to_json(result))


def read_json(path: str | os.PathLike[str], made_by: str = "", repair: str = "") -> Any:
    """Read a JSON result. ``made_by``: the command that makes it, which the error names when it is missing or damaged.

    ``repair``: what to do about a damaged one instead. Raises DamagedResultError when it is damaged (see
    `decode_json`), and NotAssessedError when it is missing: what rests on it could not be assessed.
    """
    content = b""
    try:
        content = Path(path).read_bytes()
        return decode_json(content)
    except (FileNotFoundError, NotADirectoryError):
        hint = f"; run `{made_by}` first" if made_by else ""
        raise NotAssessedError(f"{path}: no such file{hint}") from None
    except OSError as error:
        cause = f"cannot be read: {error.strerror}"
        raise DamagedResultError(f"{path}: {cause}; {repair or _name_repair(made_by)}") from None
    except ShapeError as error:
        conflict = describe_conflict(path, content.decode(errors="replace"))
        raise DamagedResultError(conflict or f"{path}: {error}; {repair or _name_repair(made_by)}") from None


def read_result(
    path: str | os.PathLike[str], shape: type[T], made_by: str = "", repair: str = "", complete: bool = False
) -> T:
    """Read a JSON result as the dataclass that it was written from, or as any type that msgspec knows.

    ``complete``: keys that have a default must be there too, for files in which every release wrote all of them. Raises
    what `read_json` raises, and DamagedResultError, naming the place in the file, when its content is not of ``shape``.
    """
    return parse_result(read_json(path, made_by, repair), shape, path, made_by, repair, complete)


def parse_result(
    document: Any,
    shape: type[T],
    path: str | os.PathLike[str],
    made_by: str = "",
    repair: str = "",
    complete: bool = False,
) -> T:
    """The result that ``read_json`` read of ``path``. Raises DamagedResultError as ``read_result`` does."""
    try:
        return parse_shape(document, shape, complete)
    except ShapeError as error:
        hint = "" if error.is_newer else f"; {repair or _name_repair(made_by)}"
        raise DamagedResultError(f"{path}: {error}{hint}") from None


def _name_repair(made_by: str) -> str:
    """What to do about a damaged file. DVC repeats a stage that it takes for done only with --force."""
    return f"run `{made_by.replace('dvc repro', 'dvc repro --force', 1)}`" if made_by else "restore it from Git"


def fingerprint(value: Any) -> str:
    """64-bit BLAKE2b, as 16 hex digits, of a JSON-able value or dataclass: equal configurations, equal fingerprints."""
    payload = json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    return hashlib.blake2b(payload, digest_size=8).hexdigest()


def hash_folder(folder: str | os.PathLike[str]) -> str:
    """128-bit BLAKE2b of the names and bytes of every file below a folder, as 32 hex digits.

    Raises EntropylawError when there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise EntropylawError(f"{folder}: no such folder")
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(item for item in root.rglob("*") if item.is_file()):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        with path.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).digest())
    return digest.hexdigest()
