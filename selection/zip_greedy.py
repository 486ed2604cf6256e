"""ZIP: greedy selection of the rows that keep a set's compression ratio low (the paper's Algorithm 1).

Each round narrows the pool in three steps: to the K1 rows with the lowest last known ratio; from these to the K2 rows
with which the chosen set has the lowest ratio; and from these, one by one, to the K3 rows with which the round's own
set has the lowest ratio.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from corpus.codecs import ZLIB_LEVEL
from corpus.errors import EntropylawError
from corpus.progress import StageProgress, ignore_stages
from selection.budget import Budget, Spending
from selection.engines import EngineName, start_engine
from selection.framing import PLAIN, PYTHON_LIST
from selection.redundancy import StateKind
from selection.shards import Rows, ShardedPool

# At this level, with the whole chosen set as dictionary, zstd still scores 40 MB/s on a core, and a copy of any chosen
# row shrinks over 100-fold.
ZSTD_LEVEL = 7
# The authors' program gives this ratio to rows that may not be chosen again.
_REFERENCE_BLOCKED = 1_000_000.0
# Rows scored by themselves between two reports of progress.
_SCORING_STEP = 10_000


@dataclass(frozen=True)
class ZipParams:
    """How ZIP selects. The sizes are the paper's (Appendix B); Appendix D shows what they do to the result.

    ``window`` says how far back redundancy is seen. With ``codec`` it is as far as the codec itself looks: 32 KiB for
    zlib, as in the paper. With ``global`` it is everything chosen so far, by zstd, and no exact copy of a chosen row is
    taken while another row remains. ``codec`` and ``level`` are, when None, those of the window: zlib 9 or zstd 7.

    ``compat`` is ``algorithm`` for the paper's Algorithm 1, or ``reference`` to choose row for row what the authors'
    program chooses; that needs texts made by `selection.framing.reference_text`. Where ratios are equal in single
    precision, the program leaves the order open (torch.topk); here the row that comes first in the pool is taken.

    Raises ValueError on sizes that are not 1 <= k3 <= k2 <= k1, a level the codec does not have, or a combination
    that does not exist.
    """

    k1: int = 10_000
    k2: int = 200
    k3: int = 100
    codec: Literal["zlib", "zstd"] | None = None
    level: int | None = None
    window: Literal["codec", "global"] = "codec"
    compat: Literal["algorithm", "reference"] = "algorithm"

    def __post_init__(self) -> None:
        if not 1 <= self.k3 <= self.k2 <= self.k1:
            raise ValueError(f"expected 1 <= k3 <= k2 <= k1, found k1={self.k1}, k2={self.k2}, k3={self.k3}")
        kind = self.state_kind()
        if self.window == "global" and kind.codec == "zlib":
            raise ValueError("window: global needs codec zstd; zlib never looks back further than 32 KiB")
        highest = 9 if kind.codec == "zlib" else 19
        if not 1 <= kind.level <= highest:
            raise ValueError(f"level: {kind.codec} has levels 1 to {highest} here, found {kind.level}")
        if self.compat == "reference" and (kind.codec, kind.level) != ("zlib", ZLIB_LEVEL):
            raise ValueError(f"compat: reference is zlib at level {ZLIB_LEVEL}; remove the other codec or level")

    def state_kind(self) -> StateKind:
        """The codec state that scores a set, with the defaults filled in."""
        codec = self.codec or ("zstd" if self.window == "global" else "zlib")
        level = self.level if self.level is not None else (ZLIB_LEVEL if codec == "zlib" else ZSTD_LEVEL)
        return StateKind(codec, level, self.window, PYTHON_LIST if self.compat == "reference" else PLAIN)


@dataclass(frozen=True)
class Selection:
    """Rows of a pool in the order they were selected, and what selecting them took.

    ``indices`` count from 0. ``spent`` is in the budget's unit. ``pool_copies`` and ``selected_copies`` count the rows
    with the same bytes as an earlier row of the pool or the selection. ``seconds`` by stage: load, score, coarse, fine.
    """

    indices: tuple[int, ...]
    spent: int
    rounds: int
    pool_rows: int
    pool_copies: int
    selected_copies: int
    seconds: dict[str, float]


def select_zip(
    texts: Iterable[bytes],
    budget: Budget,
    params: ZipParams | None = None,
    *,
    token_counts: Sequence[int] | None = None,
    workers: int = 1,
    engine: EngineName = "threads",
    progress: StageProgress = ignore_stages,
) -> Selection:
    """Select rows by ZIP until the budget is spent or the pool is empty.

    ``texts`` are the rows' canonical texts; a generator is read once, a sequence is used where it lies.
    ``token_counts``, one per row, are needed for a
    budget in tokens. Of rows with equal ratios the one that comes first in the pool is taken. A row without any bytes
    has no ratio and comes after all others. The result does not depend on ``workers`` or ``engine``.

    Raises EntropylawError when ``compat`` is ``reference`` and the authors' program would fail on this pool.

    >>> pool = [b"abcabcabcabcabcabc", b"the quick brown fox jumps", b"over the lazy dog", b"the quick brown fox jumps"]
    >>> select_zip(pool, Budget(rows=3), ZipParams(k1=4, k2=4, k3=4)).indices
    (2, 1, 0)
    """
    params = params or ZipParams()
    spending = Spending(budget, token_counts)
    watch = _Stopwatch()
    with start_engine(engine, params.state_kind(), workers) as started:
        with watch.time("load"):
            pool = ShardedPool(started, texts)
        greedy = _Greedy(pool, spending, params, watch, progress)
        rounds = greedy.run()
    selected_originals = pool.originals[spending.rows]
    return Selection(
        indices=tuple(spending.rows),
        spent=spending.spent,
        rounds=rounds,
        pool_rows=len(pool.lengths),
        pool_copies=int(np.count_nonzero(pool.originals != np.arange(len(pool.originals)))),
        selected_copies=len(spending.rows) - len(np.unique(selected_originals)),
        seconds=watch.seconds,
    )


def bottom_k(scores: NDArray[Any], rows: Rows, k: int) -> Rows:
    """The ``k`` of these ``rows`` with the lowest scores, lowest first; of equals, the row that comes first.

    ``scores``: of all rows of the pool, shape (pool rows,). ``rows``: indices into it, ascending.

    >>> bottom_k(np.array([3.0, 1.0, 2.0, 1.0]), np.array([0, 1, 2, 3]), k=3)
    array([1, 3, 2])
    """
    if k < len(rows):
        # A full sort of a large pool in every round would cost more than scoring a small K1.
        rows = rows[scores[rows] <= np.partition(scores[rows], k - 1)[k - 1]]
    return rows[np.argsort(scores[rows], kind="stable")[:k]]


class _Stopwatch:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(("load", "score", "coarse", "fine"), 0.0)

    @contextlib.contextmanager
    def time(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - start


class _Greedy:
    """Algorithm 1 on one pool. ``_scores`` is the algorithm's state pi: the last known ratio of every row."""

    def __init__(
        self,
        pool: ShardedPool,
        spending: Spending,
        params: ZipParams,
        watch: _Stopwatch,
        progress: StageProgress,
    ) -> None:
        self._pool, self._spending, self._params = pool, spending, params
        self._watch, self._progress = watch, progress
        self._framing = params.state_kind().framing
        self._is_reference = params.compat == "reference"
        count = len(pool.lengths)
        # The authors' program keeps ratios in single precision, where many are equal.
        self._scores: NDArray[Any] = np.empty(count, dtype=np.float32 if self._is_reference else np.float64)
        # Rows that may be chosen now, and rows whose turn comes when these are used up.
        self._open = np.ones(count, dtype=bool)
        self._waiting = np.zeros(count, dtype=bool)
        if params.window == "global":
            self._waiting = pool.originals != np.arange(count)
            self._open = ~self._waiting

    def run(self) -> int:
        """Spend the budget; the number of rounds it took."""
        rounds = 0
        if self._spending.is_over:
            return rounds
        if self._is_reference and len(self._scores) < self._params.k1:
            raise EntropylawError(
                f"compat: reference fails on a pool of {len(self._scores)} rows, fewer than k1={self._params.k1}, "
                "as the authors' program does; lower k1 or use compat: algorithm"
            )
        with self._watch.time("score"):
            self._score_alone()
        joined: list[bytes] = []
        while not self._spending.is_over:
            if not self._open.any():
                self._open, self._waiting = self._waiting, self._open
                if not self._open.any():
                    break
            with self._watch.time("coarse"):
                finalists = self._narrow(joined)
            with self._watch.time("fine"):
                joined = self._pick(finalists)
            rounds += 1
        return rounds

    def _score_alone(self) -> None:
        """Line 2: the ratio of every row by itself."""
        count = len(self._scores)
        for start in range(0, count, _SCORING_STEP):
            rows = np.arange(start, min(start + _SCORING_STEP, count))
            self._scores[rows] = self._ratios([], rows, self._pool.sizes_with_chosen([], rows))
            self._progress("score", int(rows[-1]) + 1, count)

    def _narrow(self, joined: list[bytes]) -> Rows:
        """Lines 5 to 9: K1 rows by their last known ratio, then K2 of them by their ratio with the chosen set."""
        # The authors' program never removes a row: it gives it a score with which it is not chosen again.
        rows = np.arange(len(self._scores)) if self._is_reference else np.flatnonzero(self._open)
        candidates = np.sort(bottom_k(self._scores, rows, self._params.k1))
        sizes = self._pool.sizes_with_chosen(joined, candidates)
        self._scores[candidates] = self._ratios(self._spending.rows, candidates, sizes)
        finalists = bottom_k(self._scores, candidates, self._params.k2)
        if self._is_reference:
            self._scores[finalists] = _REFERENCE_BLOCKED
            # Of rows with equal ratios, its last stage takes the one that comes first in this order.
            return finalists
        return np.sort(finalists)

    def _pick(self, finalists: Rows) -> list[bytes]:
        """Lines 11 to 19: pick K3 rows, each the one with which the round's set has the lowest ratio; their texts."""
        texts = self._pool.start_round(finalists)
        picked: list[int] = []
        while len(picked) < self._params.k3 and len(finalists) and not self._spending.is_over:
            sizes = self._pool.sizes_with_round([texts[row] for row in picked[-1:]], finalists)
            ratios = self._ratios(picked, finalists, sizes)
            best = int(np.argmin(ratios.astype(self._scores.dtype)))
            row = int(finalists[best])
            if not self._open[row]:
                raise EntropylawError(
                    f"compat: reference would choose row {row + 1} a second time, as the authors' program does once "
                    "rows run short; select fewer rows, lower k1 or use compat: algorithm"
                )
            if not self._spending.take(row):
                break
            picked.append(row)
            finalists = np.delete(finalists, best)
            self._open[row] = False
            self._progress("select", self._spending.spent, self._spending.limit)
        return [texts[row] for row in picked]

    def _ratios(self, members: list[int], rows: Rows, sizes: Rows) -> NDArray[np.float64]:
        """g of the set of ``members`` with each of ``rows`` in turn added to it; ``sizes``: its compressed bytes."""
        lengths = self._pool.lengths
        raw = self._framing.raw_bytes(int(lengths[members].sum()) + lengths[rows], len(members) + 1)
        return np.where(lengths[rows] == 0, np.inf, raw / sizes)
