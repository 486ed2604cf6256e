"""The pool split over workers, each holding its rows and a copy of the codec states they are scored against.

Candidates score independently, so the pool splits: row i lies with worker i modulo the number of workers. Every worker
replays the small stream of chosen rows and so holds the same codec states; the answers, and with them the selection,
do not depend on how many workers there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from selection.redundancy import CodecState, StateKind

# The set chosen so far (D' in Algorithm 1) and the set of the current round (D_K3).
SetName = Literal["chosen", "round"]
Rows = NDArray[np.int64]

# Rows travel to the workers in pieces of about this many bytes, so that no process holds the pool twice.
_CHUNK_BYTES = 4 << 20


class ShardWorker:
    """A shard of the pool and the codec states its rows are scored against. Rows are numbered within the shard."""

    def __init__(self, kind: StateKind) -> None:
        self._kind = kind
        self._texts: list[bytes] = []
        self._sets: dict[SetName, CodecState] = {"chosen": kind.start(), "round": kind.start()}

    def hold(self, texts: Sequence[bytes]) -> None:
        """Append rows to the shard."""
        self._texts.extend(texts)

    def fetch(self, rows: Sequence[int]) -> list[bytes]:
        return [self._texts[row] for row in rows]

    def restart(self, name: SetName) -> None:
        """Empty a set."""
        self._sets[name] = self._kind.start()

    def sizes_with(self, name: SetName, joined: Sequence[bytes], rows: Sequence[int]) -> list[int]:
        """Add ``joined`` to a set, then the compressed bytes of the set with each of ``rows``."""
        state, texts = self._sets[name], self._texts
        for text in joined:
            state.add(text)
        return [state.size_with(texts[row]) for row in rows]


class Engine(Protocol):
    """Workers that are asked all at once."""

    @property
    def workers(self) -> int: ...

    def ask(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a ShardWorker method everywhere, ``arguments[w]`` on worker w; the answers in worker order."""


class ShardedPool:
    """The pool as one sequence of rows, wherever they lie.

    ``lengths``: bytes of each row. ``originals``: for each row the first row with the same bytes, itself where none
    is earlier. ``texts`` is read once and not kept, so a pool that comes from a generator is nowhere held twice.
    """

    def __init__(self, engine: Engine, texts: Iterable[bytes]) -> None:
        self._engine = engine
        lengths: list[int] = []
        originals: list[int] = []
        seen: dict[bytes, int] = {}
        for chunk in _split_chunks(texts):
            first = len(lengths)
            for row, text in enumerate(chunk, start=first):
                lengths.append(len(text))
                originals.append(seen.setdefault(hashlib.blake2b(text, digest_size=16).digest(), row))
            workers = engine.workers
            # A chunk need not start with a row of worker 0.
            engine.ask("hold", [(chunk[(worker - first) % workers :: workers],) for worker in range(workers)])
        self.lengths: Rows = np.array(lengths, dtype=np.int64)
        self.originals: Rows = np.array(originals, dtype=np.int64)

    def restart(self, name: SetName) -> None:
        """Empty a set on every worker."""
        self._engine.ask("restart", [(name,)] * self._engine.workers)

    def sizes_with(self, name: SetName, joined: Sequence[bytes], rows: Rows) -> Rows:
        """Add ``joined`` to a set everywhere; then the compressed bytes of the set with each of ``rows``, in order."""
        places = self._places(rows)
        sizes = np.empty(len(rows), dtype=np.int64)
        for place, answer in zip(
            places,
            self._engine.ask("sizes_with", [(name, joined, self._in_shard(rows[place])) for place in places]),
            strict=True,
        ):
            sizes[place] = answer
        return sizes

    def fetch(self, rows: Rows) -> dict[int, bytes]:
        """The texts of ``rows``, by row."""
        places = self._places(rows)
        answers = self._engine.ask("fetch", [(self._in_shard(rows[place]),) for place in places])
        texts: dict[int, bytes] = {}
        for place, answer in zip(places, answers, strict=True):
            texts.update(zip(rows[place].tolist(), answer, strict=True))
        return texts

    def _places(self, rows: Rows) -> list[Rows]:
        """For each worker, where in ``rows`` its own rows stand."""
        owners = rows % self._engine.workers
        return [np.flatnonzero(owners == worker) for worker in range(self._engine.workers)]

    def _in_shard(self, rows: Rows) -> list[int]:
        within: list[int] = (rows // self._engine.workers).tolist()
        return within


def _split_chunks(texts: Iterable[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for text in texts:
        chunk.append(text)
        size += len(text)
        if size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
