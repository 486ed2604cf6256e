"""What a selection looks like beside the pool it was selected from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from corpus.codecs import Codec
from corpus.records import data_hash
from selection.methods import Chosen, SelectionParams

# A report stays readable, and small enough for Git, where every row names a source of its own.
LISTED_SOURCES = 1000


@dataclass(frozen=True)
class SelectionReport:
    """``r``: zlib 9 in the pool's, or the selection's, order; ``r_long``: over a long window.

    ``budget_rows`` or ``budget_tokens`` is what might have been selected, the other None. Tokens of a row are those of
    its canonical text; None where they were not counted, their mean, median and 95th percentile None for no row.
    ``pool_sources`` and ``sources``: rows of each source in the pool and in the selection, the 1,000 with most rows.
    ``pool_hash`` and ``selected_hash`` identify the rows as ``corpus.records.data_hash`` does, None where it was not
    told. ``seconds`` by stage; making this report is none of them.
    """

    method: str
    budget_rows: int | None
    budget_tokens: int | None
    pool_hash: str | None
    pool_rows: int
    pool_r: float
    pool_r_long: float
    pool_tokens: int | None
    pool_mean_tokens: float | None
    pool_median_tokens: float | None
    pool_p95_tokens: float | None
    selected_hash: str | None
    selected_rows: int
    selected_r: float
    selected_r_long: float
    selected_tokens: int | None
    selected_mean_tokens: float | None
    selected_median_tokens: float | None
    selected_p95_tokens: float | None
    pool_sources: dict[str, int]
    sources: dict[str, int]
    seconds: dict[str, float]


def describe_selection(
    texts: Iterable[bytes],
    sources: Sequence[str],
    chosen: Chosen,
    params: SelectionParams,
    token_counts: Sequence[int] | None = None,
    seconds: dict[str, float] | None = None,
    hashes: Sequence[str] | None = None,
) -> SelectionReport:
    """Describe ``chosen`` and its pool. ``texts``: each row's canonical text, read once.

    ``seconds``: stages before the selection's own. ``hashes``: each row's content hash.

    >>> chosen = Chosen((2, 1), seconds={})
    >>> report = describe_selection([b"one", b"two", b"three"], ["", "web", ""], chosen, SelectionParams())
    >>> report.selected_rows, report.pool_sources, report.selected_mean_tokens
    (2, {'': 2, 'web': 1}, None)
    """
    wanted = set(chosen.positions)
    kept: dict[int, bytes] = {}

    def keep_selected() -> Iterator[bytes]:
        for position, text in enumerate(texts):
            if position in wanted:
                kept[position] = text
            yield text

    pool_r, pool_r_long = _measure_ratios(keep_selected())
    selected_r, selected_r_long = _measure_ratios(kept[position] for position in chosen.positions)
    budget = params.budget(len(sources))
    pool_tokens = _TokenStatistics.of(token_counts)
    selected_counts = None if token_counts is None else [token_counts[position] for position in chosen.positions]
    selected_tokens = _TokenStatistics.of(selected_counts)
    return SelectionReport(
        method=params.method,
        budget_rows=budget.rows,
        budget_tokens=budget.tokens,
        pool_hash=None if hashes is None else data_hash(hashes),
        pool_rows=len(sources),
        pool_r=pool_r,
        pool_r_long=pool_r_long,
        pool_tokens=pool_tokens.total,
        pool_mean_tokens=pool_tokens.mean,
        pool_median_tokens=pool_tokens.median,
        pool_p95_tokens=pool_tokens.p95,
        selected_hash=None if hashes is None else data_hash(hashes[position] for position in chosen.positions),
        selected_rows=len(chosen.positions),
        selected_r=selected_r,
        selected_r_long=selected_r_long,
        selected_tokens=selected_tokens.total,
        selected_mean_tokens=selected_tokens.mean,
        selected_median_tokens=selected_tokens.median,
        selected_p95_tokens=selected_tokens.p95,
        pool_sources=_count_sources(sources),
        sources=_count_sources([sources[position] for position in chosen.positions]),
        seconds={stage: round(took, 3) for stage, took in {**(seconds or {}), **chosen.seconds}.items()},
    )


def _measure_ratios(texts: Iterable[bytes]) -> tuple[float, float]:
    """R and long R in one pass."""
    streams = Codec("zlib").stream(), Codec("zstd").stream()
    raw, compressed = 0, [0, 0]
    for text in texts:
        raw += len(text)
        for i, stream in enumerate(streams):
            compressed[i] += len(stream.compress(text))
    r, r_long = (raw / (compressed[i] + len(stream.flush())) if raw else 1.0 for i, stream in enumerate(streams))
    return r, r_long


@dataclass(frozen=True)
class _TokenStatistics:
    total: int | None = None
    mean: float | None = None
    median: float | None = None
    p95: float | None = None

    @classmethod
    def of(cls, counts: Sequence[int] | None) -> _TokenStatistics:
        if counts is None:
            return cls()
        if not counts:
            return cls(total=0)
        median, p95 = (float(value) for value in np.percentile(counts, [50, 95]))
        return cls(sum(counts), float(np.mean(counts)), median, p95)


def _count_sources(sources: Sequence[str]) -> dict[str, int]:
    ranked = sorted(Counter(sources).items(), key=lambda item: (-item[1], item[0]))
    return dict(ranked[:LISTED_SOURCES])
