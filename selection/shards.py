"""The pool split over workers, each holding its rows and a copy of the codec states they are scored against.

Candidates score independently, so the pool splits: row i lies with worker i modulo the number of workers. Every worker
replays the small stream of chosen rows and so holds the same codec states; the answers, and with them the selection,
do not depend on how many workers there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from selection.redundancy import CodecState, StateKind

Rows = NDArray[np.int64]

# Rows travel to the workers in pieces of about this many bytes, so that no process holds the pool twice.
_CHUNK_BYTES = 4 << 20


class ShardWorker:
    """A shard of the pool and the codec states that rows are scored against: the set chosen so far (D' in Algorithm 1)
    and the set of the current round (D_K3). Rows are numbered within the shard, finalists within the worker's own.
    """

    def __init__(self, kind: StateKind) -> None:
        self._kind = kind
        self._texts: list[bytes] = []
        self._finalists: list[bytes] = []
        self._chosen = kind.start()
        self._round = kind.start()

    def hold(self, texts: Sequence[bytes]) -> None:
        """Append rows to the shard."""
        self._texts.extend(texts)

    def fetch(self, rows: Sequence[int]) -> list[bytes]:
        return [self._texts[row] for row in rows]

    def start_round(self, finalists: list[bytes]) -> None:
        """Empty the round's set and hold the rows that may join it, which need not be of this shard."""
        self._finalists = finalists
        self._round = self._kind.start()

    def sizes_with_chosen(self, joined: Sequence[bytes], rows: Sequence[int]) -> list[int]:
        """Add ``joined`` to the chosen set, then the compressed bytes of the set with each of ``rows``."""
        return _measure(self._chosen, joined, self._texts, rows)

    def sizes_with_round(self, joined: Sequence[bytes], finalists: Sequence[int]) -> list[int]:
        """The same for the round's set and its finalists."""
        return _measure(self._round, joined, self._finalists, finalists)


def _measure(state: CodecState, joined: Sequence[bytes], texts: Sequence[bytes], places: Sequence[int]) -> list[int]:
    for text in joined:
        state.add(text)
    return [state.size_with(texts[place]) for place in places]


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

    def sizes_with_chosen(self, joined: Sequence[bytes], rows: Rows) -> Rows:
        """Add ``joined`` to the chosen set everywhere; then the compressed bytes of the set with each of ``rows``."""
        return self._ask_sizes("sizes_with_chosen", joined, rows, rows % self._engine.workers, self._in_shard(rows))

    def start_round(self, finalists: Rows) -> dict[int, bytes]:
        """Empty the round's set and deal its finalists out; their texts, by row."""
        texts = self._fetch(finalists)
        # Longest first, each to the worker with the fewest bytes: a round asks for the same rows up to K3 times, and
        # waits each time for the slowest worker.
        loads = [0] * self._engine.workers
        dealt: list[list[int]] = [[] for _ in loads]
        self._owners, self._seats = np.zeros_like(self.lengths), np.zeros_like(self.lengths)
        for row in sorted(finalists.tolist(), key=lambda row: -len(texts[row])):
            owner = loads.index(min(loads))
            self._owners[row], self._seats[row] = owner, len(dealt[owner])
            dealt[owner].append(row)
            loads[owner] += len(texts[row])
        self._engine.ask("start_round", [([texts[row] for row in rows],) for rows in dealt])
        return texts

    def sizes_with_round(self, joined: Sequence[bytes], finalists: Rows) -> Rows:
        """The same as ``sizes_with_chosen`` for the round's set and rows among its finalists."""
        seats = self._seats[finalists]
        return self._ask_sizes("sizes_with_round", joined, finalists, self._owners[finalists], seats)

    def _ask_sizes(self, method: str, joined: Sequence[bytes], rows: Rows, owners: Rows, seats: Rows) -> Rows:
        """Ask each row's owner, who knows it by its seat; the sizes in the order of ``rows``."""
        places = [np.flatnonzero(owners == worker) for worker in range(self._engine.workers)]
        sizes = np.empty(len(rows), dtype=np.int64)
        answers = self._engine.ask(method, [(joined, seats[place].tolist()) for place in places])
        for place, answer in zip(places, answers, strict=True):
            sizes[place] = answer
        return sizes

    def _fetch(self, rows: Rows) -> dict[int, bytes]:
        owners = rows % self._engine.workers
        places = [np.flatnonzero(owners == worker) for worker in range(self._engine.workers)]
        answers = self._engine.ask("fetch", [(self._in_shard(rows[place]).tolist(),) for place in places])
        texts: dict[int, bytes] = {}
        for place, answer in zip(places, answers, strict=True):
            texts.update(zip(rows[place].tolist(), answer, strict=True))
        return texts

    def _in_shard(self, rows: Rows) -> Rows:
        return rows // self._engine.workers


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
