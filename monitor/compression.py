"""R: how redundant a data version is, as the paper measures it and over a window that sees far copies too."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from corpus.codecs import LONG_WINDOW_LOG, ZLIB_LEVEL, Codec, Stream
from corpus.records import Record, canonical_text

# Each source keeps two compressors open at once; the rest share one entry, so that memory stays constant.
MAX_SOURCES = 8
OTHER_SOURCES = "(other sources)"

# Text goes to the codecs in pieces of a MiB: some 70 ms of zlib's work, long beside what it costs to hand one over.
PIECE_BYTES = 2**20
# Pieces that may wait for one stream. The reader waits for the slowest stream.
WAITING_PIECES = 4
# The same for the stream that is put off (see `_Meter`): the bytes that its window would take.
HELD_PIECES = 128


@dataclass(frozen=True)
class CompressionParams:
    """``level``: zlib's, 9 in the authors' program. ``long_level``, ``long_window_log``: zstd's; the window is
    2**long_window_log bytes.

    zlib looks 32 KiB back, so a copied row further away than about ten rows costs it as much as a new one.
    """

    level: int = ZLIB_LEVEL
    long_level: int = 9
    long_window_log: int = LONG_WINDOW_LOG

    def __post_init__(self) -> None:
        if not 1 <= self.level <= 9 or not 1 <= self.long_level <= 22 or not 10 <= self.long_window_log <= 30:
            raise ValueError("level must be 1-9, long_level 1-22 and long_window_log 10-30")

    def codec(self) -> Codec:
        return Codec("zlib", self.level)

    def long_codec(self) -> Codec:
        return Codec("zstd", self.long_level, self.long_window_log)


@dataclass(frozen=True)
class Compressed:
    """``r``, ``r_long``: raw bytes / compressed bytes, rows in file order as one stream."""

    rows: int
    raw_bytes: int
    r: float
    r_long: float


@dataclass(frozen=True)
class CompressionProfile:
    rows: int
    raw_bytes: int
    r: float
    r_long: float
    sources: dict[str, Compressed]


class _Threads:
    """A thread for each stream. At the end, after a bad row or Ctrl-C too, only the pieces at hand are finished."""

    def __init__(self) -> None:
        self._workers: list[ThreadPoolExecutor] = []

    def start(self) -> ThreadPoolExecutor:
        self._workers.append(ThreadPoolExecutor(1))
        return self._workers[-1]

    def __enter__(self) -> _Threads:
        return self

    def __exit__(self, *_: object) -> None:
        for wait in (False, True):  # all of them are told before the first is waited for
            for worker in self._workers:
                worker.shutdown(wait=wait, cancel_futures=True)


class _Lane:
    """One stream in a thread of its own: zlib and zstd let other threads run while they compress."""

    def __init__(self, stream: Stream, threads: _Threads, room: int = WAITING_PIECES, written: int = 0) -> None:
        self._stream, self._threads, self._room, self._written = stream, threads, room, written
        self._worker = threads.start()
        self._sizes: deque[Future[int]] = deque()

    def compress(self, piece: bytes) -> None:
        self._sizes.append(self._worker.submit(lambda: len(self._stream.compress(piece))))
        if len(self._sizes) > self._room:
            self._written += self._sizes.popleft().result()

    def fork(self) -> _Lane:
        """Another lane that has compressed the same. Of the streams only zlib's can be copied."""
        stream = self._worker.submit(copy.copy, self._stream).result()
        return _Lane(stream, self._threads, written=self.count_written())

    def close(self) -> None:
        self._sizes.append(self._worker.submit(lambda: len(self._stream.flush())))

    def count_written(self) -> int:
        """Compressed bytes of all pieces so far; waits for them."""
        while self._sizes:
            self._written += self._sizes.popleft().result()
        return self._written


class _LateLane(_Lane):
    """A lane that holds its pieces until it is started, or until they take as much memory as its window would."""

    def __init__(self, stream: Stream, threads: _Threads) -> None:
        super().__init__(stream, threads, HELD_PIECES)
        self._held: list[bytes] | None = []

    def compress(self, piece: bytes) -> None:
        if self._held is None:
            super().compress(piece)
            return
        self._held.append(piece)
        if len(self._held) == HELD_PIECES:
            self.start()

    def start(self) -> None:
        held, self._held = self._held or [], None
        for piece in held:
            super().compress(piece)


class _Meter:
    """The two streams over the same rows, and their sizes.

    ``late`` is the long-window lane of the version's first source. Until another source appears the first one's
    streams equal the whole's. zlib's is copied then; zstd's cannot be copied, and runs beside the whole's as late as
    memory allows.
    """

    def __init__(self, short: _Lane, long: _Lane, late: _LateLane | None = None) -> None:
        self._short, self._long, self._late = short, long, late
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self.rows = self.raw_bytes = 0

    def add(self, text: bytes) -> None:
        self.rows += 1
        self.raw_bytes += len(text)
        if self._pending_bytes + len(text) > PIECE_BYTES:
            self._send()
        self._pending.append(text)
        self._pending_bytes += len(text)

    def split(self) -> _Meter:
        """The meter of the first source, from the whole's, when all rows so far are of that source."""
        assert self._late is not None
        self._late.start()
        first = _Meter(self._short.fork(), self._late)
        first._pending, first._pending_bytes = self._pending[:], self._pending_bytes
        first.rows, first.raw_bytes = self.rows, self.raw_bytes
        self._late = None
        return first

    def close(self) -> None:
        self._late = None
        self._send()
        self._short.close()
        self._long.close()

    def measure(self) -> Compressed:
        # Of no text at all the ratio is 1, as in `Codec.ratio`.
        r, r_long = (
            self.raw_bytes / lane.count_written() if self.raw_bytes else 1.0 for lane in (self._short, self._long)
        )
        return Compressed(self.rows, self.raw_bytes, r, r_long)

    def _send(self) -> None:
        text = b"".join(self._pending)
        # A single row may be longer than a piece.
        for start in range(0, len(text), PIECE_BYTES):
            piece = text[start : start + PIECE_BYTES]
            for lane in (self._short, self._long, self._late):
                if lane is not None:
                    lane.compress(piece)
        self._pending, self._pending_bytes = [], 0


def profile_compression(records: Iterable[Record], params: CompressionParams) -> CompressionProfile:
    """R and long-window R of a version and of each of its sources, in one pass and constant memory.

    Each stream runs in a thread of its own. The first error of ``records`` ends them all and is raised.

    >>> from corpus.records import Conversation, Message
    >>> row = Conversation((Message("user", "Hi"), Message("assistant", "Hello!")))
    >>> profile = profile_compression([row] * 1000, CompressionParams())
    >>> profile.r > 50 and profile.r_long > 50
    True
    """
    with _Threads() as threads:

        def start_lanes() -> tuple[_Lane, _Lane]:
            return _Lane(params.codec().stream(), threads), _Lane(params.long_codec().stream(), threads)

        whole = _Meter(*start_lanes(), _LateLane(params.long_codec().stream(), threads))
        sources: dict[str, _Meter] = {}
        for record in records:
            text = canonical_text(record).encode()
            source = record.source if record.source in sources or len(sources) < MAX_SOURCES else OTHER_SOURCES
            if source not in sources:
                if len(sources) == 1:
                    sources = {first: whole.split() for first in sources}
                sources[source] = _Meter(*start_lanes()) if sources else whole
            whole.add(text)
            if sources[source] is not whole:
                sources[source].add(text)
        if len(sources) == 1:
            # Its entry would only repeat the whole.
            sources = {}
        for meter in (whole, *sources.values()):
            meter.close()
        total = whole.measure()
        per_source = {name: meter.measure() for name, meter in sorted(sources.items())}
    return CompressionProfile(total.rows, total.raw_bytes, total.r, total.r_long, per_source)
