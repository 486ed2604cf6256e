"""One door to every selection method: which rows of a pool, under one budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy

from corpus.codecs import Codec
from selection.baselines import select_random
from selection.budget import Budget
from selection.zip_greedy import Progress, Selection, ZipParams, select_zip

Method = Literal["zip", "random"]


@dataclass(frozen=True)
class SelectionParams:
    """The section ``selection`` of params.yaml. The budget is ``rows``, ``tokens``, or else ``share`` of the rows.

    ``k1``, ``k2``, ``k3``, ``window``, ``codec``, ``level`` and ``compat`` are ZIP's, see ZipParams.
    """

    method: Method = "zip"
    share: float = 0.5
    rows: int | None = None
    tokens: int | None = None
    k1: int = 10_000
    k2: int = 200
    k3: int = 100
    window: Literal["codec", "global"] = "codec"
    codec: Literal["zlib", "zstd"] | None = None
    level: int | None = None
    compat: Literal["algorithm", "reference"] = "algorithm"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share must lie between 0 and 1, found {self.share}")
        if self.rows is not None and self.tokens is not None:
            raise ValueError("set rows or tokens, not both")
        self.zip_params()

    def zip_params(self) -> ZipParams:
        return ZipParams(self.k1, self.k2, self.k3, self.codec, self.level, self.window, self.compat)

    def budget(self, pool_rows: int) -> Budget:
        if self.tokens is not None:
            return Budget(tokens=self.tokens)
        return Budget(rows=self.rows if self.rows is not None else max(1, round(self.share * pool_rows)))


def select_rows(
    texts: Sequence[bytes],
    params: SelectionParams,
    token_counts: Sequence[int] | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> tuple[int, ...]:
    """Positions, from 0, of the selected rows in the order they were selected. ``texts``: each row's canonical text."""
    budget = params.budget(len(texts))
    if params.method == "random":
        return select_random(len(texts), budget, numpy.random.default_rng(params.seed), token_counts=token_counts)
    selection: Selection = select_zip(
        texts, budget, params.zip_params(), token_counts=token_counts, workers=workers, progress=progress
    )
    return selection.indices


@dataclass(frozen=True)
class SelectionReport:
    """``r``: zlib 9 in the pool's, or the selection's, order; ``r_long``: over a long window. ``mean_tokens`` of a row
    is None where tokens were not counted. ``sources``: selected rows of each source.
    """

    method: str
    pool_rows: int
    pool_r: float
    pool_r_long: float
    pool_mean_tokens: float | None
    selected_rows: int
    selected_r: float
    selected_r_long: float
    selected_mean_tokens: float | None
    sources: dict[str, int]


def describe_selection(
    texts: Sequence[bytes],
    sources: Sequence[str],
    chosen: Sequence[int],
    params: SelectionParams,
    token_counts: Sequence[int] | None = None,
) -> SelectionReport:
    """What was selected beside what it was selected from. ``chosen``: positions in ``texts``, from 0."""
    paper, long = Codec("zlib"), Codec("zstd")
    selected = [texts[i] for i in chosen]

    def mean_tokens(rows: Sequence[int]) -> float | None:
        return float(numpy.mean([token_counts[i] for i in rows])) if token_counts is not None and rows else None

    return SelectionReport(
        method=params.method,
        pool_rows=len(texts),
        pool_r=paper.ratio(texts),
        pool_r_long=long.ratio(texts),
        pool_mean_tokens=mean_tokens(range(len(texts))),
        selected_rows=len(chosen),
        selected_r=paper.ratio(selected),
        selected_r_long=long.ratio(selected),
        selected_mean_tokens=mean_tokens(chosen),
        sources=dict(sorted(Counter(sources[i] for i in chosen).items())),
    )
