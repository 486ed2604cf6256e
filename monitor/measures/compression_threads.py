"""Several streams compressed at once: one thread for each core, in bounded memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from corpus.codecs import Stream
from corpus.cores import count_cores

# So many pieces may wait for one stream.
WAITING_PIECES = 2
# So many streams that get no more text may have text left, one for each core. With more cores, zstd's single stream of
# the long window, some ten times as fast as zlib's, would set the pace.
MAX_CLOSED = 8


class StreamQueue:
    """A stream and the pieces of text that wait for it.

    ``room``: so many may wait while the reader goes on. ``written``: compressed bytes so far.
    """

    def __init__(self, stream: Stream, room: int = WAITING_PIECES, written: int = 0) -> None:
        self.stream, self.room, self.written = stream, room, written
        self.pieces: deque[bytes] = deque()
        self.busy = self.closed = False

    def is_ready(self) -> bool:
        return bool(self.pieces) and not self.busy

    def is_done(self) -> bool:
        return not self.pieces and not self.busy


class CompressionThreads:
    """Threads that compress what waits in the queues: one for each core, the reader's own among them.

    zlib and zstd let other threads run while they compress. A thread for every stream would be simpler. But with more
    threads than cores the slowest stream would have to share its core, and it sets the pace. The reader reads on only
    when all queues have room, so memory does not grow with the text.
    """

    def __init__(self, cores: int | None = None) -> None:
        """``cores``: so many threads compress; by default one for each core that this process may use."""
        self._queues: list[StreamQueue] = []
        self._changed = threading.Condition()
        self._over = False
        self._error: Exception | None = None
        self._cores = cores or count_cores()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> CompressionThreads:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the threads. Each finishes its piece at most, also after a bad row or Ctrl-C."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def add(self, queue: StreamQueue) -> StreamQueue:
        with self._changed:
            self._queues.append(queue)
        if len(self._threads) < min(self._cores, len(self._queues)) - 1:
            thread = threading.Thread(target=self._assist)
            thread.start()
            self._threads.append(thread)
        return queue

    def take_done(self, queues: Iterable[StreamQueue]) -> list[StreamQueue]:
        """Those of the queues for which nothing is left to do; they are forgotten here."""
        with self._changed:
            done = [queue for queue in queues if queue.is_done()]
            for queue in done:
                self._queues.remove(queue)
        return done

    def compress(self, piece: bytes, queues: Iterable[StreamQueue]) -> None:
        """Put a piece into these queues, and help to compress until every queue has room."""
        with self._changed:
            for queue in queues:
                queue.pieces.append(piece)
            self._changed.notify_all()
        self._help(lambda: all(len(queue.pieces) <= queue.room for queue in self._queues))

    def close(self, queue: StreamQueue) -> None:
        """No piece is put into this queue any more; help to compress until few such queues have pieces left."""
        queue.closed = True
        most = min(self._cores, MAX_CLOSED)
        self._help(lambda: sum(other.closed and not other.is_done() for other in self._queues) <= most)

    def finish(self, queues: Iterable[StreamQueue]) -> None:
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
                queue = max(filter(StreamQueue.is_ready, self._queues), key=lambda queue: len(queue.pieces))
                queue.busy, piece = True, queue.pieces.popleft()
            size = len(queue.stream.compress(piece))
            with self._changed:
                queue.busy, queue.written = False, queue.written + size
                self._changed.notify_all()
