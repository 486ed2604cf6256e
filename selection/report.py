"""What a selection looks like beside the pool it was selected from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpus.progress import Progress, ignore_progress
from corpus.records import data_hash
from selection.diversity import SAMPLE_ROWS, DiversityMeter
from selection.methods import Chosen, SelectionParams
from selection.ratios import measure_ratios

# So many are listed, so that a report stays readable and small enough for Git even if each row has its own source.
LISTED_SOURCES = 1000
# Rows between two reports of progress.
_TOLD_ROWS = 1000


@dataclass(frozen=True)
class SelectionReport:
    """A selection and its pool, in numbers.

    ``budget_rows`` or ``budget_tokens``: the budget; the other one is None. ``r`` and ``r_long``: compression ratio
    with zlib 9 and over a long window, in the order of the pool or of the selection (see `measure_ratios`).
    ``tokens``: of the canonical texts; None where they were not counted. The mean, the median and the 95th percentile
    of a row's tokens are also None where there is no row. ``hash``: their identity (``corpus.records.data_hash``),
    None where their hashes were not given. ``pool_sources`` and ``sources``: rows of each source in the pool and in the
    selection, the 1,000 sources with most rows. ``pool_`` and ``selected_`` ``r_equal_length``, ``self_repetition`` and
    ``novelsum``: see `selection.diversity`, on as many rows of each, ``compared_rows`` of them, and for R those of at
    least ``equal_length_bytes``, to which they are cut; None in reports of earlier releases. ``removed_rows``: how many
    rows each rule of a method that filters removed. How long it took stands nowhere in it: the same rows give the same
    bytes.
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
    compared_rows: int | None = None
    equal_length_bytes: int | None = None
    pool_r_equal_length: float | None = None
    selected_r_equal_length: float | None = None
    pool_self_repetition: float | None = None
    selected_self_repetition: float | None = None
    pool_novelsum: float | None = None
    selected_novelsum: float | None = None
    removed_rows: dict[str, int] | None = None


def describe_selection(
    texts: Sequence[bytes],
    sources: Sequence[str],
    chosen: Chosen,
    params: SelectionParams,
    token_counts: Sequence[int] | None = None,
    hashes: Sequence[str] | None = None,
    measuring: Progress = ignore_progress,
) -> SelectionReport:
    """Describe ``chosen`` and its pool. ``texts``: each row's canonical text.

    ``hashes``: each row's content hash. ``measuring`` hears how many rows of the pool have been measured.

    >>> chosen = Chosen((2, 1), seconds={})
    >>> report = describe_selection([b"one", b"two", b"three"], ["", "web", ""], chosen, SelectionParams())
    >>> report.selected_rows, report.pool_sources, report.selected_mean_tokens
    (2, {'': 2, 'web': 1}, None)
    """

    lengths: list[int] = []

    def tell_measured() -> Iterator[bytes]:
        for done, text in enumerate(texts, start=1):
            lengths.append(len(text))
            yield text
            if done % _TOLD_ROWS == 0:
                measuring(done, len(sources))

    pool = _describe_rows(tell_measured(), sources, token_counts, hashes)
    selected = _describe_rows(
        (texts[position] for position in chosen.positions),
        [sources[position] for position in chosen.positions],
        None if token_counts is None else [token_counts[position] for position in chosen.positions],
        None if hashes is None else [hashes[position] for position in chosen.positions],
    )
    budget = params.budget(len(sources))
    return SelectionReport(
        method=params.method,
        budget_rows=budget.rows,
        budget_tokens=budget.tokens,
        **{f"pool_{name}": value for name, value in pool.items() if name != "sources"},
        **{f"selected_{name}": value for name, value in selected.items() if name != "sources"},
        pool_sources=pool["sources"],
        sources=selected["sources"],
        **_compare_diversity(texts, hashes or _hash_texts(texts), lengths, chosen),
        removed_rows=chosen.removed or None,
    )


def _compare_diversity(
    texts: Sequence[bytes], hashes: Sequence[str], lengths: Sequence[int], chosen: Chosen
) -> dict[str, Any]:
    """What the report says of diversity, of equally many rows of the pool and of the selection."""
    meter = DiversityMeter(texts, hashes, lengths)
    rows = min(SAMPLE_ROWS, len(chosen.positions))
    long_rows = min(rows, meter.count_long(chosen.positions))
    of = {"pool": range(len(texts)), "selected": chosen.positions}
    measured = {name: meter.measure(positions, rows, long_rows) for name, positions in of.items()}
    return {
        "compared_rows": rows,
        "equal_length_bytes": meter.equal_length_bytes,
        **{
            f"{name}_{measure}": getattr(diversity, measure)
            for name, diversity in measured.items()
            for measure in ("r_equal_length", "self_repetition", "novelsum")
        },
    }


def _hash_texts(texts: Iterable[bytes]) -> list[str]:
    return [hashlib.blake2b(text, digest_size=16).hexdigest() for text in texts]


def _describe_rows(
    texts: Iterable[bytes],
    sources: Sequence[str],
    token_counts: Sequence[int] | None,
    hashes: Sequence[str] | None,
) -> dict[str, Any]:
    """What the report says of a pool or a selection; the keys are names of its fields without their beginnings."""
    r, r_long = measure_ratios(texts)
    return {
        "hash": None if hashes is None else data_hash(hashes),
        "rows": len(sources),
        "r": r,
        "r_long": r_long,
        **_count_tokens(token_counts),
        "sources": _count_sources(sources),
    }


def _count_tokens(counts: Sequence[int] | None) -> dict[str, float | None]:
    if not counts:
        return {"tokens": None if counts is None else 0, "mean_tokens": None, "median_tokens": None, "p95_tokens": None}
    median, p95 = (float(value) for value in np.percentile(counts, [50, 95]))
    return {
        "tokens": sum(counts),
        "mean_tokens": float(np.mean(counts)),
        "median_tokens": median,
        "p95_tokens": p95,
    }


def _count_sources(sources: Sequence[str]) -> dict[str, int]:
    ranked = sorted(Counter(sources).items(), key=lambda item: (-item[1], item[0]))
    return dict(ranked[:LISTED_SOURCES])
