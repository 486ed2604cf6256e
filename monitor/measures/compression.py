"""R and long R: how redundant a data version is, in the paper's window of 32 KiB and in a long one for far copies."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from corpus.codecs import LONG_WINDOW_LOG, ZLIB_LEVEL, ZLIB_WINDOW_BYTES, Codec
from corpus.records import Record, canonical_text
from corpus.workers import Workers
from monitor.measures.compression_parts import Part, SharedParts
from monitor.measures.compression_threads import WAITING_PIECES, CompressionThreads, StreamQueue

# Each source keeps two compressors open. Further sources share one entry, so that memory stays constant.
MAX_SOURCES = 8
OTHER_SOURCES = "(other sources)"

# zstd's level for long R. It sees copies nearly as well as level 9 (short ones far apart less) at a fifth of the time.
# Level 1 is faster still, but on a thousand chats the size of fresh rows varies more (docs/lab-notes.md).
LONG_LEVEL = 2

# R is that of one zlib stream up to here. What follows is compressed in parts, by all cores at once. Each part knows
# the 32 KiB before it, and farther back zlib never looks: R changes by less than one in ten thousand.
ONE_STREAM_BYTES = 2**28
# The size of a part: large enough that its beginning and end cost nothing, and a few of them fit into memory.
PART_BYTES = 2**24
# Text goes to the codecs in pieces of 4 MiB. zlib works on one for some 300 ms, much longer than handing it over to
# another thread takes.
PIECE_BYTES = 2**22
# The last 128 MiB of a version's first source are held (see `_RatioMeter.split`): as much as the long window. They may
# wait for zlib too, so that the other cores get as far as the parts while one still works on the single stream.
HELD_PIECES = 32
# zstd compresses so much text at once: a piece of its window that is read again has to begin where one of these does.
BLOCK_BYTES = 2**17


@dataclass(frozen=True)
class CompressionParams:
    """How R is measured.

    ``level``: zlib's, 9 in the authors' program. ``long_level``, ``long_window_log``: zstd's, whose window is
    2**long_window_log bytes. zlib looks 32 KiB back: a copy of a row more than about ten rows away costs it as much as
    a new row.
    """

    level: int = ZLIB_LEVEL
    long_level: int = LONG_LEVEL
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
    """Some rows in file order, compressed as one stream. ``r``, ``r_long``: raw bytes / compressed bytes."""

    rows: int
    raw_bytes: int
    r: float
    r_long: float


@dataclass(frozen=True)
class CompressionProfile:
    """R of a whole version, and of each of its sources; ``sources`` is empty where there is only one."""

    rows: int
    raw_bytes: int
    r: float
    r_long: float
    sources: dict[str, Compressed]


class _RatioMeter:
    """Measures some rows: their number and size, and their compressed size in each window.

    ``held_pieces``: how many of its last pieces the version's own meter holds; see `split`.
    """

    def __init__(
        self,
        threads: CompressionThreads,
        shared: SharedParts | None,
        codec: Codec,
        short: StreamQueue | None,
        long: StreamQueue,
        held_pieces: int = 0,
    ) -> None:
        self._threads, self._shared, self._codec, self._short, self._long = threads, shared, codec, short, long
        self._held: deque[bytes] = deque(maxlen=held_pieces)
        # Of the parts before the present one: those at work in the threads, and the bytes of those that are done.
        self._parts: list[StreamQueue] = []
        self._parts_bytes = 0
        self._part_left, self._tail = ONE_STREAM_BYTES, b""
        # The present part, where `shared` will have it: what stands before it, and its pieces. Else it is in `short`.
        self._before, self._pieces = b"", list[bytes]()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self.rows = self.raw_bytes = 0

    def add(self, text: bytes) -> None:
        self.rows += 1
        self.raw_bytes += len(text)
        if self._pending_bytes + len(text) > PIECE_BYTES:
            self.send()
        self._pending.append(text)
        self._pending_bytes += len(text)

    def split(self, long: StreamQueue) -> _RatioMeter:
        """The meter of the first source, made from the whole version's when a second source appears.

        Until now both have the same rows, so their streams are equal. zlib's stream is copied. zstd's cannot be copied:
        the new stream ``long`` reads what the old one still has in its window, and goes on from its size.
        """
        self._fill(long)
        self._finish([long])
        long.written = self._long.written
        short = None
        if self._short:
            short = self._threads.add(StreamQueue(copy.copy(self._short.stream), written=self._short.written))
        first = _RatioMeter(self._threads, self._shared, self._codec, short, long)
        first._before, first._pieces = self._before, self._pieces[:]
        first._parts_bytes, first._part_left, first._tail = self._parts_bytes, self._part_left, self._tail
        first._pending, first._pending_bytes = self._pending[:], self._pending_bytes
        first.rows, first.raw_bytes = self.rows, self.raw_bytes
        return first

    def _fill(self, long: StreamQueue) -> None:
        sent, held = self.raw_bytes - self._pending_bytes, sum(map(len, self._held))
        # So both streams have the same begun block, of which nothing is written yet.
        skipped = (held - sent) % BLOCK_BYTES
        while self._held:
            piece = self._held.popleft()
            if len(piece) > skipped:
                self._threads.compress(piece[skipped:], [long])
            skipped = max(0, skipped - len(piece))
        self._held = deque(maxlen=0)

    def measure(self) -> Compressed:
        self._end_part()
        self._finish([])
        long_bytes = self._long.written + len(self._long.stream.flush())
        # Of no text at all the ratio is 1, as in `Codec.ratio`.
        r, r_long = (self.raw_bytes / size if self.raw_bytes else 1.0 for size in (self._parts_bytes, long_bytes))
        return Compressed(self.rows, self.raw_bytes, r, r_long)

    def send(self) -> None:
        """Hand the pending text to the queues."""
        text = b"".join(self._pending)
        start = 0
        while start < len(text):
            # A single row may be longer than a piece.
            piece = text[start : start + min(PIECE_BYTES, self._part_left)]
            self._held.append(piece)
            self._threads.compress(piece, [self._short, self._long] if self._short else [self._long])
            if not self._short:
                self._pieces.append(piece)
            self._tail = (self._tail + piece)[-ZLIB_WINDOW_BYTES:]
            self._part_left -= len(piece)
            if not self._part_left:
                self._begin_part()
            start += len(piece)
        self._pending, self._pending_bytes = [], 0

    def _begin_part(self) -> None:
        self._end_part()
        self._part_left = PART_BYTES
        if self._shared:
            self._before = self._tail
            return
        stream = self._codec.stream_after(self._tail)
        self._short = self._threads.add(StreamQueue(stream, max(WAITING_PIECES, PART_BYTES // PIECE_BYTES)))

    def _end_part(self) -> None:
        """Let the present part be compressed to its end by whoever has it."""
        if self._short:
            self._parts.append(self._short)
            self._threads.close(self._short)
            self._short = None
        elif self._shared:
            self._shared.compress(Part(self._codec, self._before, self._pieces), self._add_part)
            self._pieces = []
        self._count_parts()

    def _finish(self, others: Sequence[StreamQueue]) -> None:
        """Wait for all that was handed over, and for other queues."""
        present = [self._short] if self._short else []
        self._threads.finish([*present, self._long, *self._parts, *others])
        self._count_parts()
        if self._shared:
            self._shared.finish()

    def _add_part(self, size: int) -> None:
        self._parts_bytes += size

    def _count_parts(self) -> None:
        """Count the bytes of the parts that are compressed, and let their streams go."""
        for part in self._threads.take_done(self._parts):
            self._parts_bytes += part.written + len(part.stream.flush())
            self._parts.remove(part)


def profile_compression(records: Iterable[Record], params: CompressionParams) -> CompressionProfile:
    """R and long R of a version and of each of its sources, in one pass, in constant memory and on all cores.

    >>> from corpus.records import Conversation, Message
    >>> row = Conversation((Message("user", "Hi"), Message("assistant", "Hello!")))
    >>> profile = profile_compression([row] * 1000, CompressionParams())
    >>> profile.r > 50 and profile.r_long > 50
    True
    """
    return profile_texts(((record.source, canonical_text(record).encode()) for record in records), params)


def profile_texts(
    rows: Iterable[tuple[str, bytes]],
    params: CompressionParams,
    cores: int | None = None,
    workers: Workers | None = None,
) -> CompressionProfile:
    """The same, from the source and the canonical text of each row, and on so many ``cores``, by default all.

    ``workers``: they compress the parts above ONE_STREAM_BYTES, in place of threads of this process.
    """
    shared = SharedParts(workers) if workers else None
    with CompressionThreads(cores) as threads:

        def begin_long() -> StreamQueue:
            return threads.add(StreamQueue(params.long_codec().stream()))

        def begin(held_pieces: int = 0) -> _RatioMeter:
            short = StreamQueue(params.codec().stream(), max(WAITING_PIECES, held_pieces))
            return _RatioMeter(threads, shared, params.codec(), threads.add(short), begin_long(), held_pieces)

        whole = begin(HELD_PIECES)
        sources: dict[str, _RatioMeter] = {}
        for named, text in rows:
            source = named if named in sources or len(sources) < MAX_SOURCES else OTHER_SOURCES
            if source not in sources:
                if len(sources) == 1:
                    sources = {first: whole.split(begin_long()) for first in sources}
                sources[source] = begin() if sources else whole
            whole.add(text)
            if sources[source] is not whole:
                sources[source].add(text)
        if len(sources) == 1:  # its entry would only repeat the whole
            sources = {}
        for meter in (whole, *sources.values()):
            meter.send()
        total = whole.measure()
        per_source = {name: meter.measure() for name, meter in sorted(sources.items())}
    return CompressionProfile(total.rows, total.raw_bytes, total.r, total.r_long, per_source)
