"""Where the sketches of a file's rows wait until all are there: in memory, or of many rows in a file."""

from __future__ import annotations

import contextlib
import io
import mmap
import tempfile
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from corpus.errors import EntropylawError
from monitor.measures.similarity_sketch import SKETCH_SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Keys and sketches of so many rows take 130 MB of memory; those of ten million would take 2.6 GB.
MOST_IN_MEMORY = 2**19
# Of a key, a number of 64 bits.
_KEY_BYTES = 8
# Sketches that are picked at once: around each, the system maps up to 64 KiB of the file.
_PICKED_ROWS = 1024
# Read at once: Linux gives no more than 2 GB for one call.
_READ_BYTES = 2**30


class SketchStore:
    """Takes up the keys and sketches of rows, piece after piece, and gives the keys again band by band.

    ``rows``: how many will come. ``bands``: keys of each row. More than MOST_IN_MEMORY rows wait in a file without a
    name, which the system deletes with the process; the answers are the same.
    """

    def __init__(self, rows: int, bands: int) -> None:
        self.rows, self.bands = rows, bands
        self._count = 0
        self._file: io.FileIO | None = None
        self._mapped: NDArray[np.uint8] | None = None
        if rows > MOST_IN_MEMORY:
            with _name_cause("written"):
                # Unbuffered, because it is written in a place for each band.
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 # see below
            # The file lives as long as this object.
            weakref.finalize(self, self._file.close)
        else:
            # Memory is taken when it is written to.
            self._keys = np.empty((bands, rows), dtype=np.uint64)
            self._sketches = np.empty((rows, SKETCH_SIZE), dtype=np.uint8)

    @classmethod
    def of(cls, keys: NDArray[np.uint64], sketches: NDArray[np.uint8]) -> SketchStore:
        """All of them at once: shapes (rows, bands) and (rows, SKETCH_SIZE).

        >>> store = SketchStore.of(np.array([[7, 8], [7, 9]], dtype=np.uint64), np.zeros((2, 128), dtype=np.uint8))
        >>> store.read_band(0).tolist(), store.pick(np.array([1])).shape
        ([7, 7], (1, 128))
        """
        store = cls(*keys.shape)
        store.add(keys, sketches)
        return store

    def add(self, keys: NDArray[np.uint64], sketches: NDArray[np.uint8]) -> None:
        """Those of the next rows, shapes (n, bands) and (n, SKETCH_SIZE). Raises EntropylawError on a full disk."""
        begin, self._count = self._count, self._count + len(keys)
        if self._file is None:
            self._keys[:, begin : self._count] = keys.T
            self._sketches[begin : self._count] = sketches
            return
        with _name_cause("written"):
            for band in range(self.bands):
                _write(self._file, (band * self.rows + begin) * _KEY_BYTES, keys[:, band].tobytes())
            _write(self._file, self._sketches_at + begin * SKETCH_SIZE, sketches.tobytes())

    def read_band(self, band: int) -> NDArray[np.uint64]:
        """The keys of all rows in one band, shape (rows,)."""
        if self._file is None:
            kept: NDArray[np.uint64] = self._keys[band]
            return kept
        keys = np.empty(self.rows, dtype=np.uint64)
        left = memoryview(keys.view(np.uint8))  # type: ignore[arg-type]  # an array is a buffer
        with _name_cause("read"):
            self._file.seek(band * self.rows * _KEY_BYTES)
            while left:
                read = self._file.readinto(left[:_READ_BYTES])
                if not read:
                    raise OSError("it is shorter than it was written")
                left = left[read:]
        return keys

    def pick(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The sketches of some rows, shape (n, SKETCH_SIZE)."""
        if self._file is None:
            return self._sketches[rows]
        if self._mapped is None:
            with _name_cause("read"):
                self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
            self._mapped = np.frombuffer(self._map, dtype=np.uint8, offset=self._sketches_at).reshape(-1, SKETCH_SIZE)
        picked = np.empty((len(rows), SKETCH_SIZE), dtype=np.uint8)
        for start in range(0, len(rows), _PICKED_ROWS):
            picked[start : start + _PICKED_ROWS] = self._mapped[rows[start : start + _PICKED_ROWS]]
            if hasattr(mmap, "MADV_DONTNEED"):
                # What was read goes back to the system, which may keep it as long as it has room.
                self._map.madvise(mmap.MADV_DONTNEED)
        return picked

    @property
    def _sketches_at(self) -> int:
        """Where the sketches begin in the file, after the keys of all bands."""
        return self.bands * self.rows * _KEY_BYTES


def _write(file: io.FileIO, place: int, content: bytes) -> None:
    file.seek(place)
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


@contextlib.contextmanager
def _name_cause(what: Literal["read", "written"]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f"{tempfile.gettempdir()} (temporary sketches of rows)"
        raise EntropylawError(f"{where}: cannot be {what}: {error.strerror or error}") from None
