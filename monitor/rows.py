"""Which added rows drive a verdict: by their share of the change in R, in L and in agreement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import zstandard
from numpy.typing import NDArray

from corpus.records import Record, canonical_text
from monitor.compression import CompressionParams
from monitor.verdict import FlaggedRow, RuleId

Rows = Sequence[tuple[Record, str]]


def conditional_ratios(
    kept: Sequence[bytes], added: Sequence[bytes], params: CompressionParams
) -> NDArray[numpy.float64]:
    """Raw / compressed bytes of each added row given all kept rows and the added rows before it, shape (added,).

    A copy of something the data already says costs a few bytes, so its ratio is very high.

    >>> import random
    >>> old, new = (random.Random(seed).randbytes(2000) for seed in (1, 2))
    >>> copy, fresh = conditional_ratios([old], [old, new], CompressionParams())
    >>> bool(copy > 20 > 2 > fresh)
    True
    """
    stream = params.long_codec().stream()
    for text in kept:
        stream.compress(text)
    stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)  # type: ignore[call-arg]
    ratios = numpy.empty(len(added))
    for i, text in enumerate(added):
        # The block is ended after every row, so that the bytes written are this row's.
        written = len(stream.compress(text)) + len(stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))  # type: ignore[call-arg]
        ratios[i] = len(text) / max(written, 1)
    return ratios


def flag_redundant(
    dataset: str, rule: RuleId, records: Rows, is_added: NDArray[numpy.bool_], params: CompressionParams, limit: int
) -> list[FlaggedRow]:
    """The added rows that bring least beyond the kept ones, most redundant first."""
    texts = [canonical_text(record).encode() for record, _ in records]
    added = numpy.flatnonzero(is_added)
    ratios = conditional_ratios([texts[i] for i in numpy.flatnonzero(~is_added)], [texts[i] for i in added], params)
    order = numpy.argsort(-ratios, kind="stable")[:limit]
    return [_flag(dataset, rule, records[added[i]], ratios[i], "raw / compressed bytes") for i in order]


def flag_outlying(
    dataset: str, rule: RuleId, records: Rows, scores: NDArray[numpy.float64], highest: bool, unit: str, limit: int
) -> list[FlaggedRow]:
    """The rows with the highest, or lowest, score; ``scores``: shape (records,), nan where a row has none."""
    known = numpy.flatnonzero(~numpy.isnan(scores))
    order = known[numpy.argsort(-scores[known] if highest else scores[known], kind="stable")][:limit]
    return [_flag(dataset, rule, records[i], scores[i], unit) for i in order]


def _flag(dataset: str, rule: RuleId, item: tuple[Record, str], score: float, unit: str) -> FlaggedRow:
    record, row_hash = item
    return FlaggedRow(record.row, row_hash, record.source, dataset, rule, float(score), unit)
