"""The pool split over workers, each holding its rows and a copy of the codec states they are scored against.

Candidates are scored independently of each other, so the pool can be split: row i belongs to worker i modulo the number
of workers. Every worker reads all chosen rows, which are few, and so holds the same codec states as the others. The
answers, and with them the selection, do not depend on how many workers there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from selection.redundancy import Digests, StateKind

Rows = NDArray[np.int64]

# Rows travel to the workers in pieces of about this many bytes, so that no process holds the pool twice.
_CHUNK_BYTES = 4 << 20
# Rows that a worker scores before it looks whether the selection was interrupted: some ten milliseconds.
_SCORED_AT_ONCE = 64


class ShardWorker:
    """One worker's shard of the pool, and the codec states that its rows are scored against.

    The states are those of the set chosen so far (D' in Algorithm 1) and of the current round's set (D_K3). Rows are
    numbered within the shard, from 0, and finalists within those that this worker was given.
    """

    def __init__(self, kind: StateKind, digests: Digests | None = None) -> None:
        self._kind, self._digests = kind, digests or Digests()
        self._texts: list[bytes] | _EveryNth = []
        self._chosen = kind.start(self._digests)
        self._round = kind.start_round([], self._digests)
        self._is_stopped = False

    def hold(self, texts: Sequence[bytes]) -> None:
        """Append rows to the shard."""
        assert isinstance(self._texts, list)
        self._texts.extend(texts)

    def share(self, texts: Sequence[bytes], worker: int, workers: int) -> None:
        """Refer to a pool that this worker's process holds: every ``workers``-th row from ``worker`` on is its own."""
        self._texts = _EveryNth(texts, worker, workers)

    def fetch(self, rows: Sequence[int]) -> list[bytes]:
        """The texts of these rows of the shard."""
        return [self._texts[row] for row in rows]

    def start_round(self, finalists: list[bytes]) -> None:
        """Empty the round's set and hold the rows that may join it, which need not be of this shard."""
        self._round = self._kind.start_round(finalists, self._digests)

    def sizes_with_chosen(self, joined: Sequence[bytes], rows: Sequence[int]) -> list[int]:
        """Add ``joined`` to the chosen set; return its compressed bytes with each of ``rows`` in turn added to it."""
        for text in joined:
            self._chosen.add(text)
        return self._measure(rows, lambda some: self._chosen.sizes_with([self._texts[row] for row in some]))

    def sizes_with_round(self, joined: Sequence[bytes], finalists: Sequence[int]) -> list[int]:
        """The same for the round's set and its finalists."""
        for text in joined:
            self._round.add(text)
        return self._measure(finalists, self._round.sizes_with)

    def stop(self) -> None:
        """Let a question that another thread is answering end soon, with whatever answer."""
        self._is_stopped = True

    def _measure(self, rows: Sequence[int], ask: Callable[[Sequence[int]], list[int]]) -> list[int]:
        sizes: list[int] = []
        for start in range(0, len(rows), _SCORED_AT_ONCE):
            if self._is_stopped:
                break
            sizes += ask(rows[start : start + _SCORED_AT_ONCE])
        return sizes


class _EveryNth:
    """Every n-th of some texts, from ``first`` on."""

    def __init__(self, texts: Sequence[bytes], first: int, step: int) -> None:
        self._texts, self._first, self._step = texts, first, step

    def __getitem__(self, row: int) -> bytes:
        return self._texts[self._first + self._step * row]


class Engine(Protocol):
    """Workers that are asked all at once. ``shares_memory``: they run in this process and see its objects."""

    shares_memory: bool

    @property
    def workers(self) -> int: ...

    def ask(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a ShardWorker method everywhere, ``arguments[w]`` on worker w; the answers in worker order."""


class ShardedPool:
    """The pool as one sequence of rows, whichever worker holds them.

    ``lengths``: bytes of each row. ``originals``: for each row, the index of the first row with the same bytes, which
    is its own where no earlier row has them. A sequence of ``texts`` is used where it lies by workers that can see it;
    others, and the rows of a generator, are read once and not kept, so that they are never held twice.
    """

    def __init__(self, engine: Engine, texts: Iterable[bytes]) -> None:
        self._engine = engine
        lengths: list[int] = []
        originals: list[int] = []
        seen: dict[bytes, int] = {}
        is_shared = engine.shares_memory and isinstance(texts, Sequence)
        if is_shared:
            engine.ask("share", [(texts, worker, engine.workers) for worker in range(engine.workers)])
        for chunk in _split_chunks(texts):
            first = len(lengths)
            for row, text in enumerate(chunk, start=first):
                lengths.append(len(text))
                originals.append(seen.setdefault(hashlib.blake2b(text, digest_size=16).digest(), row))
            workers = engine.workers
            if is_shared:
                continue
            # A chunk need not start with a row of worker 0.
            engine.ask("hold", [(chunk[(worker - first) % workers :: workers],) for worker in range(workers)])
        self.lengths: Rows = np.array(lengths, dtype=np.int64)
        self.originals: Rows = np.array(originals, dtype=np.int64)

    def sizes_with_chosen(self, joined: Sequence[bytes], rows: Rows) -> Rows:
        """Add ``joined`` to the chosen set; return its compressed bytes with each of ``rows`` in turn added to it."""
        return self._ask_sizes("sizes_with_chosen", joined, rows % self._engine.workers, self._in_shard(rows))

    def start_round(self, finalists: Rows) -> dict[int, bytes]:
        """Empty the round's set and deal its finalists out to the workers; return their texts by row."""
        texts = self._fetch(finalists)
        # Longest first, each to the worker with the fewest bytes: a round asks for the same rows up to K3 times, and
        # waits each time for the slowest worker.
        loads = [0] * self._engine.workers
        dealt: list[list[int]] = [[] for _ in loads]
        self._owners, self._local_indices = np.zeros_like(self.lengths), np.zeros_like(self.lengths)
        for row in sorted(finalists.tolist(), key=lambda row: -len(texts[row])):
            owner = loads.index(min(loads))
            self._owners[row], self._local_indices[row] = owner, len(dealt[owner])
            dealt[owner].append(row)
            loads[owner] += len(texts[row])
        self._engine.ask("start_round", [([texts[row] for row in rows],) for rows in dealt])
        return texts

    def sizes_with_round(self, joined: Sequence[bytes], finalists: Rows) -> Rows:
        """The same as ``sizes_with_chosen`` for the round's set and rows among its finalists."""
        owners, local_indices = self._owners[finalists], self._local_indices[finalists]
        return self._ask_sizes("sizes_with_round", joined, owners, local_indices)

    def _ask_sizes(self, method: str, joined: Sequence[bytes], owners: Rows, local_indices: Rows) -> Rows:
        """Ask the owner of each row, who knows the row by its local index; the sizes in the order of the rows."""
        indices_by_owner = self._group_by_owner(owners)
        answers = self._engine.ask(method, [(joined, local_indices[indices].tolist()) for indices in indices_by_owner])
        sizes = np.empty(len(owners), dtype=np.int64)
        for indices, answer in zip(indices_by_owner, answers, strict=True):
            sizes[indices] = answer
        return sizes

    def _fetch(self, rows: Rows) -> dict[int, bytes]:
        indices_by_owner = self._group_by_owner(rows % self._engine.workers)
        asked = [(self._in_shard(rows[indices]).tolist(),) for indices in indices_by_owner]
        texts: dict[int, bytes] = {}
        for indices, answer in zip(indices_by_owner, self._engine.ask("fetch", asked), strict=True):
            texts.update(zip(rows[indices].tolist(), answer, strict=True))
        return texts

    def _group_by_owner(self, owners: Rows) -> list[NDArray[np.intp]]:
        """For each worker the indices at which it stands in ``owners``."""
        return [np.flatnonzero(owners == worker) for worker in range(self._engine.workers)]

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
