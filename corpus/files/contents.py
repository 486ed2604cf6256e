"""A data file's bytes, unpacked where they are compressed, and what can go wrong in reading them."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import IO, Any, Literal, cast

from corpus.errors import DataError
from corpus.files.row import Unit
from corpus.files.zstd_contents import DamagedData, ZstdContents

Compression = Literal["", "gzip", "zstd"]

GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Lines are read from a buffer of this size.
_BUFFER_BYTES = 2**17
# Text is packed to a third or a twentieth; a set of which nine rows in ten are copies, to a hundredth. What unpacks to
# less than _UNBOUNDED_BYTES is read at any ratio.
_LARGEST_RATIO, _UNBOUNDED_BYTES = 200, 2**26


def find_compression(head: bytes) -> Compression:
    """How the data is compressed, by its first bytes.

    >>> find_compression(gzip.compress(b"{}")), find_compression(b"{}")
    ('gzip', '')
    """
    if head.startswith(GZIP_MAGIC):
        return "gzip"
    return "zstd" if head.startswith(ZSTD_MAGIC) else ""


def open_contents(path: Path, compression: Compression) -> IO[bytes]:
    """Open a file for reading what it holds, unpacked. A file that is compressed otherwise fails when it is read."""
    if not compression:
        return open(path, "rb")
    contents = gzip.GzipFile(path, "rb") if compression == "gzip" else ZstdContents(path)
    bounded = _BoundedContents(contents, path)
    return cast(IO[bytes], io.BufferedReader(cast(Any, bounded), _BUFFER_BYTES))


class UnpackedBytes:
    """Counts what a packed file unpacks to, up to a multiple of its size: a few kilobytes may unpack to more than any
    disk holds. ``remedy``: what to do where it is meant.
    """

    def __init__(self, path: Path, remedy: str = "unpack it first") -> None:
        self._left = max(_UNBOUNDED_BYTES, _LARGEST_RATIO * path.stat().st_size)
        self._remedy = remedy

    def add(self, count: int) -> None:
        """Raises DamagedData where it is too much."""
        self._left -= count
        if self._left < 0:
            raise DamagedData(
                f"unpacks to more than {_LARGEST_RATIO} times its size, which text never does; if it is "
                f"meant, {self._remedy}"
            )


class _BoundedContents(io.RawIOBase):
    """What a packed file holds; reading more of it than UnpackedBytes allows raises DamagedData."""

    def __init__(self, contents: Any, path: Path) -> None:
        self._contents, self._unpacked = contents, UnpackedBytes(path)

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        count: int = self._contents.readinto(target)
        self._unpacked.add(count)
        return count

    def close(self) -> None:
        self._contents.close()
        super().close()


# What reading an opened file may raise.
READING_ERRORS = (OSError, EOFError, zlib.error, DamagedData)


def reading_error(path: Path, error: Exception, number: int | None, unit: Unit = "line") -> DataError:
    """The DataError for one of READING_ERRORS, met at a row."""
    if isinstance(error, EOFError):
        cause = "the gzip data ends early; was the file cut short?"
    elif isinstance(error, DamagedData):
        cause = str(error)
    elif isinstance(error, (gzip.BadGzipFile, zlib.error)):
        cause = f"not gzip, or damaged: {error}"
    else:
        cause = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    return DataError(path, cause, number, unit)


def encoding_error(path: Path, error: UnicodeDecodeError, line: int) -> DataError:
    """The DataError for a line that is not UTF-8, with the way to make it so."""
    byte = error.object[error.start]
    cause = f"not UTF-8: byte 0x{byte:02x} at byte {error.start + 1} of the line"
    if error.reason == "unexpected end of data" and error.end >= len(error.object.rstrip()):
        return DataError(path, f"{cause}; a character is cut off here: was the file cut short?", line)
    packed = path.suffix in (".gz", ".zst")
    name = path.stem if packed else path.name
    convert = f"`iconv -f WINDOWS-1252 -t UTF-8 {name} > utf8-{name}`"
    return DataError(
        path,
        f"{cause}; if it is text in a Windows code page, {'unpack it, then ' if packed else ''}{convert} converts it, "
        "with the name of the code page that it was saved in",
        line,
    )
