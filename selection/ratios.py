"""R and long R of texts, by several threads at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from corpus.codecs import ZLIB_WINDOW_BYTES, Codec, Stream
from corpus.cores import count_cores

# R as the stage `compression` measures it (monitor/measures/compression.py): of one zlib stream up to here, and then of
# parts that know the 32 KiB before them, which all cores compress at once. R changes by less than one in ten thousand.
ONE_STREAM_BYTES = 2**28
PART_BYTES = 2**24
# Text goes to a thread in pieces that take it much longer than they take to hand over.
PIECE_BYTES = 2**22
# Pieces that wait for a thread. They are all that is held of the texts.
WAITING_PIECES = 4


def measure_ratios(texts: Iterable[bytes]) -> tuple[float, float]:
    """R and long R of texts, which are read once: raw bytes / bytes in zlib 9, and in zstd over a long window.

    Of no text at all both are 1.

    >>> r, r_long = measure_ratios([b"the entropy law"] * 1000)
    >>> r > 50 and r_long > 50
    True
    """
    raw = 0
    tail = b""
    short, long, parts = _Queue(1), _Queue(1), _Queue(count_cores())
    streams = Codec("zlib").stream(), Codec("zstd").stream()
    with short.executor, long.executor, parts.executor:
        for piece in _cut(texts):
            for start in range(0, len(piece), PIECE_BYTES):
                long.hand(streams[1], piece[start : start + PIECE_BYTES])
            if raw < ONE_STREAM_BYTES:
                short.hand(streams[0], piece)
            else:
                parts.hand(Codec("zlib").stream_after(tail), piece, is_last=True)
            raw += len(piece)
            tail = (tail + piece[-ZLIB_WINDOW_BYTES:])[-ZLIB_WINDOW_BYTES:]
        sizes = short.finish() + parts.finish() + len(streams[0].flush()), long.finish() + len(streams[1].flush())
    return (raw / sizes[0], raw / sizes[1]) if raw else (1.0, 1.0)


class _Queue:
    """Pieces that ``threads`` compress, in the order in which they were handed over where it is one thread."""

    def __init__(self, threads: int) -> None:
        self.executor = ThreadPoolExecutor(threads)
        self._limit = WAITING_PIECES if threads == 1 else threads + 1
        self._waiting: deque[Future[int]] = deque()
        self._written = 0

    def hand(self, stream: Stream, piece: bytes, is_last: bool = False) -> None:
        """Have a piece compressed by its stream, which ends with it if it ``is_last``."""
        self._waiting.append(self.executor.submit(_compress, stream, piece, is_last))
        while len(self._waiting) > self._limit:
            self._written += self._waiting.popleft().result()

    def finish(self) -> int:
        """Bytes of all pieces, compressed."""
        return self._written + sum(done.result() for done in self._waiting)


def _compress(stream: Stream, piece: bytes, is_last: bool) -> int:
    return len(stream.compress(piece)) + (len(stream.flush()) if is_last else 0)


def _cut(texts: Iterable[bytes]) -> Iterator[bytes]:
    """The texts as one, in pieces up to the end of the first stream and in parts after it."""
    held, size, before = [], 0, 0
    for text in texts:
        held.append(text)
        size += len(text)
        while size >= (wanted := _next_cut(before)):
            joined = b"".join(held)
            yield joined[:wanted]
            before += wanted
            held, size = [joined[wanted:]], size - wanted
    if size:
        yield b"".join(held)


def _next_cut(before: int) -> int:
    return min(PIECE_BYTES, ONE_STREAM_BYTES - before) if before < ONE_STREAM_BYTES else PART_BYTES
