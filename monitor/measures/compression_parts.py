"""Parts of a long text that workers compress, each by itself, beside the streams of `compression_threads`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from corpus.codecs import Codec
from corpus.workers import TASKS_AHEAD, Workers


class Part(NamedTuple):
    """A part of a text, in ``pieces``, and the text ``before`` it that its beginning may be copied from."""

    codec: Codec
    before: bytes
    pieces: Sequence[bytes]


def compress_part(part: Part) -> int:
    """How many bytes a part takes when it is compressed.

    >>> compress_part(Part(Codec("zlib"), b"a cup of tea", [b"a cup", b" of tea"]))
    5
    """
    stream = part.codec.stream_after(part.before)
    return sum(len(stream.compress(piece)) for piece in part.pieces) + len(stream.flush())


class SharedParts:
    """Parts that are at work. They are few, so memory does not grow with the text."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._waiting: deque[tuple[Callable[[int], None], Callable[[], int]]] = deque()

    def compress(self, part: Part, count: Callable[[int], None]) -> None:
        """Hand a part to a worker; ``count`` hears of its size, at the latest from ``finish``."""
        self._waiting.append((count, self._workers.begin(compress_part, part)))
        if len(self._waiting) >= TASKS_AHEAD * self._workers.count:
            self._take()

    def finish(self) -> None:
        """Wait for all parts."""
        while self._waiting:
            self._take()

    def _take(self) -> None:
        count, wait = self._waiting.popleft()
        count(wait())
