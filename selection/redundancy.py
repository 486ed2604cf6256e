"""How large a growing set would be, compressed, with one more row in it.

Recompressing the whole set for every candidate costs the square of the set. A codec that remembers what it has read
needs only the candidate's own bytes:

- DEFLATE is a stream. A copy of the compressor that has read the set is fed the candidate and finished. The size is, to
  the byte, that of compressing set and candidate anew (`DeflateState`). `selection.deflate_size` counts the same bytes
  faster.
- zstd takes a dictionary. With the set as its raw content, a candidate finds its repetitions anywhere in the set,
  not only in the 32 KiB before it (`DictionaryState`). Its sizes estimate those of one stream with a long window.
"""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from corpus.codecs import LONG_WINDOW_LOG, ZLIB_LEVEL
from selection.framing import PLAIN, Framing

if TYPE_CHECKING:
    import zstandard

# zstd's hash table has 2**hash_log slots of 4 bytes, and it indexes no more than the last 2**(hash_log + 3) bytes
# of a dictionary, whatever its window. 2**20 is its own choice at level 7; 2**26 (256 MiB of table) reaches 512 MiB.
_MIN_HASH_LOG = 20
_MAX_HASH_LOG = 26
# Up to this size zstd searches a dictionary where it lies; for a larger input it first copies the dictionary's tables.
_ATTACH_BYTES = 32 << 10


class CodecState(Protocol):
    """A set of rows as its codec remembers it."""

    def size_with(self, candidate: bytes) -> int:
        """Compressed bytes of the set with ``candidate`` after its last row. The set stays as it is."""

    def sizes_with(self, candidates: Sequence[bytes]) -> list[int]:
        """The same for each of many candidates."""

    def add(self, row: bytes) -> None:
        """Append a row to the set."""


class CodecRound(Protocol):
    """A set that starts empty, and its finalists: rows that may join it, known by their indices."""

    def sizes_with(self, indices: Sequence[int]) -> list[int]:
        """Compressed bytes of the set with each of these finalists in turn after its last row."""

    def add(self, row: bytes) -> None:
        """Append a row to the set."""


class _PlainRound:
    """The round of a codec that gains nothing from knowing the finalists beforehand."""

    def __init__(self, state: CodecState, finalists: Sequence[bytes]) -> None:
        self._state, self._finalists = state, finalists

    def sizes_with(self, indices: Sequence[int]) -> list[int]:
        return self._state.sizes_with([self._finalists[index] for index in indices])

    def add(self, row: bytes) -> None:
        self._state.add(row)


class DeflateState:
    """A set in zlib: every size is exactly that of ``zlib.compress`` over the framed set, for levels 1 to 9.

    >>> state = DeflateState(level=9)
    >>> state.add(b"the entropy law ")
    >>> state.size_with(b"and the entropy law") == len(zlib.compress(b"the entropy law and the entropy law", 9))
    True
    """

    def __init__(self, level: int, framing: Framing = PLAIN) -> None:
        self._framing = framing
        self._stream = zlib.compressobj(level)
        self._emitted = len(self._stream.compress(framing.opening))
        self._empty = True

    def sizes_with(self, candidates: Sequence[bytes]) -> list[int]:
        return [self.size_with(candidate) for candidate in candidates]

    def size_with(self, candidate: bytes) -> int:
        stream = self._stream.copy()
        emitted = self._emitted
        for part in self._joined(candidate):
            emitted += len(stream.compress(part))
        if self._framing.closing:
            emitted += len(stream.compress(self._framing.closing))
        return emitted + len(stream.flush())

    def add(self, row: bytes) -> None:
        for part in self._joined(row):
            self._emitted += len(self._stream.compress(part))
        self._empty = False

    def _joined(self, row: bytes) -> tuple[bytes, ...]:
        return (row,) if self._empty or not self._framing.separator else (self._framing.separator, row)


class Digests:
    """The last dictionary that was digested: threads that hold the same set share its tables, which are made once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[int, bytes] | None = None
        self._dictionary: zstandard.ZstdCompressionDict | None = None

    def digest(
        self, level: int, content: bytes, parameters: zstandard.ZstdCompressionParameters
    ) -> zstandard.ZstdCompressionDict:
        """``content`` as a dictionary with its tables, which follow from content and level."""
        import zstandard

        with self._lock:
            if self._dictionary is None or self._key != (level, content):
                # The old tables go before the new ones come: they are larger than the set.
                self._dictionary = None
                dictionary = zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
                dictionary.precompute_compress(compression_params=parameters)
                self._key, self._dictionary = (level, content), dictionary
            return self._dictionary


class DictionaryState:
    """A set as dictionary of zstd: a copy of any row of the set costs a few dozen bytes.

    ``reach_bytes`` limits the dictionary to the last bytes of the set; None keeps all of it. ``size_with`` adds the
    candidate's size, compressed with the dictionary, to the set's. Rows that are added one after the other join the
    dictionary together at the next ``size_with``, so that a round of selection builds one dictionary and not one per
    row. They count towards the set's size in pieces of 32 KiB.

    >>> state = DictionaryState(level=7, reach_bytes=None)
    >>> row = b"the entropy law connects the performance of a model with the compression of its data"
    >>> state.add(row)
    >>> state.size_with(b"a different text") - state.size_with(row) > 0
    True
    """

    def __init__(self, level: int, reach_bytes: int | None, digests: Digests | None = None) -> None:
        self._level, self._reach_bytes, self._digests = level, reach_bytes, digests or Digests()
        self._set_bytes = 0
        self._added: list[bytes] = []
        self._digest(b"")

    def sizes_with(self, candidates: Sequence[bytes]) -> list[int]:
        return [self.size_with(candidate) for candidate in candidates]

    def size_with(self, candidate: bytes) -> int:
        if self._added:
            self._settle()
        return self._set_bytes + len(self._compressor.compress(candidate))

    def add(self, row: bytes) -> None:
        self._added.append(row)

    def _settle(self) -> None:
        """Let the rows added since the last question join the dictionary."""
        piece = b"".join(self._added)
        self._added.clear()
        for start in range(0, len(piece), _ATTACH_BYTES):
            self._set_bytes += len(self._compressor.compress(piece[start : start + _ATTACH_BYTES]))
        content = piece if self._dictionary is None else self._dictionary.as_bytes() + piece
        self._digest(content if self._reach_bytes is None else content[-self._reach_bytes :])

    def _digest(self, content: bytes) -> None:
        import zstandard

        # One slot per 4 bytes of dictionary: at one per 8, the limit, rows from far back were found only in part.
        hash_log = min(max(len(content).bit_length() - 2, _MIN_HASH_LOG), _MAX_HASH_LOG)
        parameters = zstandard.ZstdCompressionParameters.from_level(
            self._level,
            window_log=LONG_WINDOW_LOG,
            hash_log=hash_log,
            format=zstandard.FORMAT_ZSTD1_MAGICLESS,
            write_content_size=False,
            write_dict_id=False,
        )
        self._dictionary: zstandard.ZstdCompressionDict | None = None
        # Until the new one is there, so that nothing holds the old tables.
        self._compressor = zstandard.ZstdCompressor(compression_params=parameters)
        if content:
            self._dictionary = self._digests.digest(self._level, content, parameters)
            self._compressor = zstandard.ZstdCompressor(dict_data=self._dictionary, compression_params=parameters)


@dataclass(frozen=True)
class StateKind:
    """Which codec scores a set, and how: all that a worker needs to hold the same set as every other worker."""

    codec: Literal["zlib", "zstd"]
    level: int
    window: Literal["codec", "global"] = "codec"
    framing: Framing = PLAIN

    def start_round(self, finalists: Sequence[bytes], digests: Digests | None = None) -> CodecRound:
        """The state of the empty set that only ``finalists`` are asked for."""
        state = self.start(digests)
        if isinstance(state, DeflateState | DictionaryState):
            return _PlainRound(state, finalists)
        from selection.deflate_size import DeflateRound

        return DeflateRound(finalists, self.framing)

    def start(self, digests: Digests | None = None) -> CodecState:
        """The state of the empty set. ``digests`` are shared by all states of this process that hold the same sets."""
        if self.codec == "zlib":
            return _start_deflate(self.level, self.framing)
        if self.window == "global":
            return DictionaryState(self.level, None, digests)
        import zstandard

        own_window = zstandard.ZstdCompressionParameters.from_level(self.level).window_log
        return DictionaryState(self.level, 1 << own_window, digests)


def _start_deflate(level: int, framing: Framing) -> CodecState:
    """The state that counts faster, where its sizes are those of the zlib at hand; else zlib's own."""
    if level == ZLIB_LEVEL:
        # numba is missing for new Pythons and fails where it can write no cache. Nothing is lost then but time.
        with contextlib.suppress(Exception):
            from selection.deflate_size import DeflateSizeState, matches_zlib

            if matches_zlib():
                return DeflateSizeState(framing)
    return DeflateState(level, framing)
