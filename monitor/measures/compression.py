"""R and long R: how redundant a data version is, in the paper's window of 32 KiB and in a long one for far copies."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from corpus.codecs import LONG_WINDOW_LOG, ZLIB_LEVEL, Codec, Stream
from corpus.cores import count_cores
from corpus.records import Record, canonical_text

# Each source keeps two compressors open. Further sources share one entry, so that memory stays constant.
MAX_SOURCES = 8
OTHER_SOURCES = "(other sources)"

# Text goes to the codecs in pieces of 4 MiB. zlib works on one for some 300 ms, much longer than handing it over to
# another thread takes.
PIECE_BYTES = 2**22
# So many pieces may wait for one stream.
WAITING_PIECES = 2
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


class _StreamQueue:
    """A stream and the pieces of text that wait for it. ``written``: compressed bytes so far.

    A queue that is put off is left alone until more pieces wait than it has room for.
    """

    def __init__(self, stream: Stream, room: int = WAITING_PIECES, *, put_off: bool = False, written: int = 0) -> None:
        self.stream, self.room, self.put_off, self.written = stream, room, put_off, written
        self.pieces: deque[bytes] = deque()
        self.busy = False

    def is_ready(self) -> bool:
        return bool(self.pieces) and not self.busy and not (self.put_off and len(self.pieces) <= self.room)

    def is_done(self) -> bool:
        return not self.pieces and not self.busy


class _CompressionThreads:
    """Threads that compress what waits in the queues: one for each core, the reader's own among them.

    zlib and zstd let other threads run while they compress. A thread for every stream would be simpler. But with more
    threads than cores the slowest stream would have to share its core, and it sets the pace. The reader reads on only
    when all queues have room, so memory does not grow with the text.
    """

    def __init__(self) -> None:
        self._queues: list[_StreamQueue] = []
        self._changed = threading.Condition()
        self._over = False
        self._error: Exception | None = None
        self._cores = count_cores()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> _CompressionThreads:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the threads. Each finishes its piece at most, also after a bad row or Ctrl-C."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def add(self, queue: _StreamQueue) -> _StreamQueue:
        with self._changed:
            self._queues.append(queue)
        if len(self._threads) < min(self._cores, len(self._queues)) - 1:
            thread = threading.Thread(target=self._assist)
            thread.start()
            self._threads.append(thread)
        return queue

    def compress(self, piece: bytes, queues: Iterable[_StreamQueue]) -> None:
        """Put a piece into these queues, and help to compress until every queue has room."""
        with self._changed:
            for queue in queues:
                queue.pieces.append(piece)
            self._changed.notify_all()
        self._help(lambda: all(len(queue.pieces) <= queue.room for queue in self._queues))

    def finish(self, queues: Iterable[_StreamQueue]) -> None:
        """Help to compress until nothing waits in these queues."""
        awaited = list(queues)
        self._help(lambda: all(queue.is_done() for queue in awaited))

    def _help(self, done: Callable[[], bool]) -> None:
        self._work(done)
        if self._error is not None:
            raise self._error

    def _assist(self) -> None:
        try:
            self._work(lambda: False)
        except Exception as error:  # the reader raises it
            with self._changed:
                self._over, self._error = True, error
                self._changed.notify_all()

    def _work(self, done: Callable[[], bool]) -> None:
        """Compress piece after piece until ``done``. Wait while other threads hold every queue that has pieces."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._over or done() or any(queue.is_ready() for queue in self._queues))
                if self._over or done():
                    return
                # The slowest stream has the longest queue.
                queue = max(filter(_StreamQueue.is_ready, self._queues), key=lambda queue: len(queue.pieces))
                queue.busy, piece = True, queue.pieces.popleft()
            size = len(queue.stream.compress(piece))
            with self._changed:
                queue.busy, queue.written = False, queue.written + size
                self._changed.notify_all()


class _RatioMeter:
    """Measures some rows: their number and size, and a queue for each window.

    ``spare``: a second queue for the long window, for the version's first source; see `split`.
    """

    def __init__(
        self, threads: _CompressionThreads, short: _StreamQueue, long: _StreamQueue, spare: _StreamQueue | None = None
    ) -> None:
        self._threads, self._short, self._long, self._spare = threads, short, long, spare
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
        self._threads.finish([self._short])
        short = self._threads.add(_StreamQueue(copy.copy(self._short.stream), written=self._short.written))
        first = _RatioMeter(self._threads, short, self._spare)
        first._pending, first._pending_bytes = self._pending[:], self._pending_bytes
        first.rows, first.raw_bytes = self.rows, self.raw_bytes
        self._spare.put_off, self._spare = False, None
        return first

    def measure(self) -> Compressed:
        self._threads.finish([self._short, self._long])
        # Of no text at all the ratio is 1, as in `Codec.ratio`.
        r, r_long = (
            self.raw_bytes / (queue.written + len(queue.stream.flush())) if self.raw_bytes else 1.0
            for queue in (self._short, self._long)
        )
        return Compressed(self.rows, self.raw_bytes, r, r_long)

    def send(self) -> None:
        """Hand the pending text to the queues."""
        text = b"".join(self._pending)
        queues = [queue for queue in (self._short, self._long, self._spare) if queue is not None]
        # A single row may be longer than a piece.
        for start in range(0, len(text), PIECE_BYTES):
            self._threads.compress(text[start : start + PIECE_BYTES], queues)
        self._pending, self._pending_bytes = [], 0


def profile_compression(records: Iterable[Record], params: CompressionParams) -> CompressionProfile:
    """R and long R of a version and of each of its sources, in one pass, in constant memory and on all cores.

    >>> from corpus.records import Conversation, Message
    >>> row = Conversation((Message("user", "Hi"), Message("assistant", "Hello!")))
    >>> profile = profile_compression([row] * 1000, CompressionParams())
    >>> profile.r > 50 and profile.r_long > 50
    True
    """
    with _CompressionThreads() as threads:

        def start_queues() -> tuple[_StreamQueue, _StreamQueue]:
            return threads.add(_StreamQueue(params.codec().stream())), threads.add(
                _StreamQueue(params.long_codec().stream())
            )

        spare = threads.add(_StreamQueue(params.long_codec().stream(), HELD_PIECES, put_off=True))
        whole = _RatioMeter(threads, *start_queues(), spare)
        sources: dict[str, _RatioMeter] = {}
        for record in records:
            text = canonical_text(record).encode()
            source = record.source if record.source in sources or len(sources) < MAX_SOURCES else OTHER_SOURCES
            if source not in sources:
                if len(sources) == 1:
                    sources = {first: whole.split() for first in sources}
                sources[source] = _RatioMeter(threads, *start_queues()) if sources else whole
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
