"""What is known of the rows of prepared files, kept between commands: numbers that reading the files again would give.

They lie in the user's cache folder, never in the repository: what lies there, a pull request may have put there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from corpus.artifacts import atomic_writer
from corpus.errors import EntropylawError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Names another folder; where it is empty, nothing is kept.
FOLDER_VARIABLE = "ENTROPYLAW_CACHE"
# Of a million rows 85 MB are kept: room for twelve versions of them. What was not used for longest goes first.
MOST_BYTES = 2**30
# So that results always find room on the disk: what would take a larger share of what is free is not kept.
FREE_SHARE = 0.1
# What is kept is what the code in these files makes of a row.
_CODE = (
    "records.py",
    "prepared_rows.py",
    "row_cache.py",
    "row_facts.py",
    "row_hashes.py",
    "row_sides.py",
    "side_facts.py",
    "stored_rows.py",
)
# What ends otherwise is not ours, and never deleted.
_SUFFIXES = ".rows", ".sides"
# Columns begin at a multiple of so many bytes, where NumPy reads them fastest.
_ALIGNED = 64

Columns = Sequence["NDArray[Any]"]


class _Header(msgspec.Struct):
    """The first line of a file: a checksum of its name and all else in it, and of each column its dtype and shape."""

    checksum: str
    columns: list[tuple[str, tuple[int, ...]]]


def read_columns(name: str) -> list[NDArray[Any]] | None:
    """The columns that were kept under a name, which ends with one of _SUFFIXES; None where there are none, or where
    they are damaged.
    """
    folder = _find_folder()
    if folder is None:
        return None
    try:
        with open(folder / name, "rb", buffering=0) as handle:
            size = os.fstat(handle.fileno()).st_size
            if size > 2 * MOST_BYTES:  # never written by us, and no memory may hold it
                return None
            content = bytearray(size)
            handle.readinto(content)
            os.utime(handle.fileno())  # it was used
    except OSError:
        return None
    return _unpack(name, content)


def keep_columns(name: str, columns: Columns) -> None:
    """Keep columns under a name. Nothing happens where they cannot be written, or take too much room."""
    folder = _find_folder()
    if folder is None:
        return
    parts = [np.ascontiguousarray(column) for column in columns]
    size = sum(part.nbytes for part in parts)
    described = [(part.dtype.str, part.shape) for part in parts]
    header = msgspec.json.encode(_Header(_checksum(name, described, parts), described))
    header += b" " * (-(len(header) + 1) % _ALIGNED) + b"\n"
    with contextlib.suppress(OSError, EntropylawError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if size > min(MOST_BYTES, FREE_SHARE * shutil.disk_usage(folder).free):
            return
        with atomic_writer(folder / name, "wb") as handle:
            handle.write(header)
            for part in parts:
                handle.write(part.data)
        _drop_oldest(folder)


def is_anything_kept() -> bool:
    """Whether it is worth asking."""
    return _find_folder() is not None and code_edition() is not None


@cache
def code_edition() -> str | None:
    """A number for the code that what is kept was made by, and for the Unicode tables that it used; None where the
    code cannot be read, so that nothing may be kept.
    """
    digest = hashlib.sha256(unicodedata.unidata_version.encode())
    try:
        for file in _CODE:
            digest.update((Path(__file__).parent / file).read_bytes())
    except OSError:
        return None
    return digest.hexdigest()[:16]


def _find_folder() -> Path | None:
    """Where columns are kept; None where they are not. The folder need not be there yet."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named is not None:
        return Path(named) / "rows" if os.path.isabs(named) else None
    general = os.environ.get("XDG_CACHE_HOME", "")
    try:
        place = Path(general) if os.path.isabs(general) else Path.home() / ".cache"
    except RuntimeError:  # nobody's home
        return None
    # A home that is not there is not made.
    return place / "entropylaw" / "rows" if os.path.isdir(place.parent) else None


def _unpack(name: str, content: bytearray) -> list[NDArray[Any]] | None:
    end = content.find(b"\n") + 1
    try:
        header = msgspec.json.decode(memoryview(content)[:end], type=_Header)
    except ValueError:
        return None
    body = memoryview(content)[end:]
    if header.checksum != _checksum(name, header.columns, [body]):
        return None
    found = []
    for dtype, shape in header.columns:
        column = np.frombuffer(body, dtype, int(np.prod(shape)))
        body = body[column.nbytes :]
        found.append(column.reshape(shape))
    return found


def _checksum(name: str, described: object, parts: Sequence[Any]) -> str:
    digest = hashlib.sha256(msgspec.json.encode([name, described]))
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _drop_oldest(folder: Path) -> None:
    """Delete what was not used for longest, until the rest takes no more than MOST_BYTES."""
    found = []
    for path in folder.iterdir():
        if path.suffix not in _SUFFIXES:
            continue
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            found.append((status.st_mtime_ns, status.st_size, path))
    total = 0
    for _, size, path in sorted(found, reverse=True):
        total += size
        if total > MOST_BYTES:
            path.unlink(missing_ok=True)
