"""R and long R: how redundant a data version is, in the paper's window of 32 KiB and in a long one for far copies."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass

from corpus.codecs import LONG_WINDOW_LOG, ZLIB_LEVEL, ZLIB_WINDOW_BYTES, Codec
from corpus.records import Record, canonical_text
from monitor.measures.compression_threads import CompressionThreads, StreamQueue

# Each source keeps two compressors open. Further sources share one entry, so that memory stays constant.
MAX_SOURCES = 8
OTHER_SOURCES = "(other sources)"

# R is that of one zlib stream up to here. What follows is compressed in parts, by all cores at once. Each part knows
# the 32 KiB before it, and farther back zlib never looks: R changes by less than one in ten thousand.
ONE_STREAM_BYTES = 2**28
# The size of a part: large enough that its beginning and end cost nothing, and a few of them fit into memory.
PART_BYTES = 2**24
# Text goes to the codecs in pieces of 4 MiB. zlib works on one for some 300 ms, much longer than handing it over to
# another thread takes.
PIECE_BYTES = 2**22
# The same for a stream that is put off (see `_RatioMeter.split`). They take as much memory as its window would.
HELD_PIECES = 32


@dataclass(frozen=True)
class CompressionParams:
    """How R is measured.

    ``level``: zlib's, 9 in the authors' program. ``long_level``, ``long_window_log``: zstd's, whose window is
    2**long_window_log bytes. zlib looks 32 KiB back: a copy of a row more than about ten rows away costs it as much as
    a new row.
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

    ``spare``: a second queue for the long window, for the version's first source; see `split`.
    """

    def __init__(
        self,
        threads: CompressionThreads,
        codec: Codec,
        short: StreamQueue,
        long: StreamQueue,
        spare: StreamQueue | None = None,
    ) -> None:
        self._threads, self._codec, self._short, self._long, self._spare = threads, codec, short, long, spare
        # Of the parts before the one that `short` compresses: those at work, and the bytes of those that are done.
        self._parts: list[StreamQueue] = []
        self._parts_bytes = 0
        self._part_left, self._tail = ONE_STREAM_BYTES, b""
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

    def split(self) -> _RatioMeter:
        """The meter of the first source, made from the whole version's when a second source appears.

        Until now both have the same rows, so their streams are equal. zlib's stream is copied. zstd's cannot be copied,
        so a spare queue was given the same pieces from the start. It compresses them only when it must, because most
        versions have one source and never need it.
        """
        assert self._spare is not None
        self._threads.finish([self._short, *self._parts])
        self._end_parts()
        short = self._threads.add(StreamQueue(copy.copy(self._short.stream), written=self._short.written))
        first = _RatioMeter(self._threads, self._codec, short, self._spare)
        first._parts_bytes, first._part_left, first._tail = self._parts_bytes, self._part_left, self._tail
        first._pending, first._pending_bytes = self._pending[:], self._pending_bytes
        first.rows, first.raw_bytes = self.rows, self.raw_bytes
        self._spare.put_off, self._spare = False, None
        return first

    def measure(self) -> Compressed:
        self._parts.append(self._short)
        self._threads.finish([self._long, *self._parts])
        self._end_parts()
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
            queues = [queue for queue in (self._short, self._long, self._spare) if queue is not None]
            self._threads.compress(piece, queues)
            self._tail = (self._tail + piece)[-ZLIB_WINDOW_BYTES:]
            self._part_left -= len(piece)
            if not self._part_left:
                self._begin_part()
            start += len(piece)
        self._pending, self._pending_bytes = [], 0

    def _begin_part(self) -> None:
        self._parts.append(self._short)
        self._end_parts()
        self._short = self._threads.add(StreamQueue(self._codec.stream_after(self._tail)))
        self._part_left = PART_BYTES

    def _end_parts(self) -> None:
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
    with CompressionThreads() as threads:

        def start_queues() -> tuple[StreamQueue, StreamQueue]:
            return threads.add(StreamQueue(params.codec().stream())), threads.add(
                StreamQueue(params.long_codec().stream())
            )

        spare = threads.add(StreamQueue(params.long_codec().stream(), HELD_PIECES, put_off=True))
        whole = _RatioMeter(threads, params.codec(), *start_queues(), spare)
        sources: dict[str, _RatioMeter] = {}
        for record in records:
            text = canonical_text(record).encode()
            source = record.source if record.source in sources or len(sources) < MAX_SOURCES else OTHER_SOURCES
            if source not in sources:
                if len(sources) == 1:
                    sources = {first: whole.split() for first in sources}
                sources[source] = _RatioMeter(threads, params.codec(), *start_queues()) if sources else whole
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
