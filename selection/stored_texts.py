"""Texts that lie one after the other in a temporary file, and are read from there when they are needed."""

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, overload

from corpus.errors import EntropylawError

# Read at once by who reads all texts in order; a single text is read by itself.
_READ_BYTES = 4 << 20


class StoredTexts(Sequence[bytes]):
    """Texts in a file without a name, so that even a killed process leaves nothing of them behind.

    A pool of 300,000 conversations is more than a gigabyte. The system keeps as much of the file in its cache as there
    is room for; this object holds eight bytes a text. ``folder``: where the file lies, which must exist; without one
    the system's folder for temporary files. Several threads may read at once. Raises EntropylawError where the disk
    takes no more.

    >>> texts = StoredTexts()
    >>> for text in (b"one", b"", b"three"):
    ...     texts.append(text)
    >>> texts[2], list(texts), len(texts)
    (b'three', [b'one', b'', b'three'], 3)
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir())
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=_READ_BYTES)  # noqa: SIM115 # see below
        except OSError as error:
            raise self._name_cause(error) from None
        # The file lives as long as this object.
        weakref.finalize(self, _close, self._file)
        self._starts = array("q", [0])
        self._is_written = True

    def append(self, text: bytes) -> None:
        """Add a text after the last one."""
        try:
            self._file.write(text)
        except OSError as error:
            raise self._name_cause(error) from None
        self._starts.append(self._starts[-1] + len(text))
        self._is_written = False

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        return self._read(self._starts[place], self._starts[place + 1])

    def __iter__(self) -> Iterator[bytes]:
        first = 0
        while first < len(self):
            last = first + 1
            while last < len(self) and self._starts[last + 1] - self._starts[first] <= _READ_BYTES:
                last += 1
            begin = self._starts[first]
            piece = self._read(begin, self._starts[last])
            for place in range(first, last):
                yield piece[self._starts[place] - begin : self._starts[place + 1] - begin]
            first = last

    def _read(self, begin: int, end: int) -> bytes:
        try:
            if not self._is_written:
                self._file.flush()
                self._is_written = True
            # Without a position that threads would share. Linux reads no more than 2 GiB at once.
            found = os.pread(self._file.fileno(), end - begin, begin)
            while len(found) < end - begin:
                found += os.pread(self._file.fileno(), end - begin - len(found), begin + len(found))
        except OSError as error:
            raise self._name_cause(error) from None
        return found

    def _name_cause(self, error: OSError) -> EntropylawError:
        return EntropylawError(
            f"{self._folder} (temporary texts of the pool): cannot be written: {error.strerror or error}"
        )


def _close(file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # what could not be written is needed no more
        file.close()
