"""All selection methods behind one function: which rows of a pool, under one budget."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from corpus.progress import StageProgress, ignore_stages
from selection.baselines import (
    select_cluster,
    select_deita,
    select_perplexity,
    select_random,
    select_score,
    select_superfiltering,
)
from selection.budget import Budget
from selection.engines import EngineName
from selection.zip_greedy import ZipParams, select_zip

Method = Literal["zip", "random", "cluster", "perplexity", "superfiltering", "superfiltering-loss", "deita", "score"]

# Methods that rank rows by a number, or by a vector, that is computed elsewhere.
NEED_SCORES: frozenset[Method] = frozenset({"perplexity", "superfiltering", "superfiltering-loss", "deita", "score"})
NEED_EMBEDDINGS: frozenset[Method] = frozenset({"cluster", "deita"})


@dataclass(frozen=True)
class SelectionParams:
    """The section ``selection`` of params.yaml. The budget is ``rows``, ``tokens``, or else ``share`` of the rows.

    ``k1``, ``k2``, ``k3``, ``window``, ``codec``, ``level`` and ``compat`` are for ZIP, see ZipParams. ``seed`` is for
    random and cluster; the other methods make no random choice. Raises ValueError for settings that cannot be used.
    """

    method: Method = "zip"
    share: float = 0.5
    rows: int | None = None
    tokens: int | None = None
    k1: int = 10_000
    k2: int = 200
    k3: int = 100
    window: Literal["codec", "global"] = "global"
    codec: Literal["zlib", "zstd"] | None = None
    level: int | None = None
    compat: Literal["algorithm", "reference"] = "algorithm"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share must lie between 0 and 1, found {self.share}")
        if self.rows is not None and self.tokens is not None:
            raise ValueError("set rows or tokens, not both")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, found {self.seed}")
        self.zip_params()

    def zip_params(self) -> ZipParams:
        """The settings of ZIP among these."""
        return ZipParams(self.k1, self.k2, self.k3, self.codec, self.level, self.window, self.compat)

    def budget(self, pool_rows: int) -> Budget:
        """How much to select from a pool of ``pool_rows`` rows."""
        if self.tokens is not None:
            return Budget(tokens=self.tokens)
        return Budget(rows=self.rows if self.rows is not None else max(1, round(self.share * pool_rows)))


@dataclass(frozen=True)
class RowFacts:
    """What is known of each row of the pool besides its text; each field has one item for each row, or is None.

    ``token_counts``: for a budget in tokens. ``scores``: what the methods of NEED_SCORES rank by, which is a row's
    loss, its IFD, its summed DEITA score or the grade of its chosen answer; NaN where it has none. ``embeddings``: a
    vector for each row, for the methods of NEED_EMBEDDINGS.
    """

    token_counts: Sequence[int] | None = None
    scores: ArrayLike | None = None
    embeddings: ArrayLike | None = None


@dataclass(frozen=True)
class Chosen:
    """The selected rows and what selecting them took.

    ``positions``: indices of the rows in the pool, from 0, in the order they were selected. ``seconds``: by stage.
    """

    positions: tuple[int, ...]
    seconds: dict[str, float]


def select_rows(
    texts: Iterable[bytes],
    pool_rows: int,
    params: SelectionParams,
    facts: RowFacts | None = None,
    *,
    workers: int = 1,
    engine: EngineName = "threads",
    progress: StageProgress = ignore_stages,
) -> Chosen:
    """Select rows of a pool of ``pool_rows`` rows by ``params.method``.

    ``texts``: each row's canonical text, or `selection.framing.reference_text` for ``compat: reference``; only ZIP
    reads them, once. ``workers``, ``engine`` and ``progress`` serve ZIP; the other methods need one pass in this
    process. Raises ValueError when a method lacks what it ranks by, or has not one of it for each row.

    >>> params = SelectionParams(method="perplexity", rows=2)
    >>> select_rows([], 3, params, RowFacts(scores=[1.5, 2.5, 2.0])).positions
    (1, 2)
    """
    facts = facts or RowFacts()
    if params.method == "zip":
        selection = select_zip(
            texts,
            params.budget(pool_rows),
            params.zip_params(),
            token_counts=facts.token_counts,
            workers=workers,
            engine=engine,
            progress=progress,
        )
        return Chosen(selection.indices, selection.seconds)
    start = time.perf_counter()
    positions = _select_by_facts(pool_rows, params, facts)
    return Chosen(positions, {"select": time.perf_counter() - start})


def _select_by_facts(pool_rows: int, params: SelectionParams, facts: RowFacts) -> tuple[int, ...]:
    """Select by a method that reads no texts."""
    method, budget, token_counts = params.method, params.budget(pool_rows), facts.token_counts
    if method == "random":
        return select_random(pool_rows, budget, np.random.default_rng(params.seed), token_counts)
    if method == "cluster":
        vectors = _require(facts.embeddings, "embeddings", method, pool_rows)
        return select_cluster(vectors, budget, np.random.default_rng(params.seed), token_counts)
    scores = _require(facts.scores, "scores", method, pool_rows)
    if method == "deita":
        vectors = _require(facts.embeddings, "embeddings", method, pool_rows)
        return select_deita(scores, vectors, budget, token_counts)
    if method == "perplexity":
        return select_perplexity(scores, budget, token_counts)
    if method == "score":
        return select_score(scores, budget, token_counts)
    return select_superfiltering(scores, budget, token_counts)


def _require(values: ArrayLike | None, what: str, method: Method, pool_rows: int) -> ArrayLike:
    if values is None or len(np.asarray(values)) != pool_rows:
        raise ValueError(f"{method} needs {what}, one for each of the pool's {pool_rows} rows")
    return values
