"""Which added rows drive a verdict: by their share of the change in R, in L and in agreement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import zstandard
from numpy.typing import NDArray

from corpus.records import HashedRecord, canonical_text
from monitor.measures.compression import CompressionParams
from monitor.measures.evidence import Evidence, locate_probe_rows
from monitor.outliers.odd_rows import MARKS, judge_rows
from monitor.rule_params import RuleParams
from monitor.rules.apply import Comparison
from monitor.verdict import SEVERITY, FlaggedRow, RuleId, RuleResult

# Rows that verdict.json names for each rule and dataset.
ROWS_PER_RULE = 50


def conditional_ratios(kept: Sequence[bytes], added: Sequence[bytes], params: CompressionParams) -> NDArray[np.float64]:
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
    ratios = np.empty(len(added))
    for i, text in enumerate(added):
        # The block is ended after every row, so that the bytes written are this row's.
        written = len(stream.compress(text)) + len(stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))  # type: ignore[call-arg]
        ratios[i] = len(text) / max(written, 1)
    return ratios


def flag_redundant(
    dataset: str,
    rule: RuleId,
    records: Sequence[HashedRecord],
    is_added: NDArray[np.bool_],
    params: CompressionParams,
    limit: int,
) -> list[FlaggedRow]:
    """The added rows that bring least beyond the kept ones, most redundant first."""
    texts = [canonical_text(record).encode() for record, _ in records]
    added = np.flatnonzero(is_added)
    ratios = conditional_ratios([texts[i] for i in np.flatnonzero(~is_added)], [texts[i] for i in added], params)
    order = np.argsort(-ratios, kind="stable")[:limit]
    return [_flag(dataset, rule, records[added[i]], ratios[i], "raw / compressed bytes") for i in order]


def flag_outlying(
    dataset: str,
    rule: RuleId,
    records: Sequence[HashedRecord],
    scores: NDArray[np.float64],
    highest: bool,
    unit: str,
    limit: int,
) -> list[FlaggedRow]:
    """The rows with the highest, or lowest, score; ``scores``: shape (records,), nan where a row has none."""
    known = np.flatnonzero(~np.isnan(scores))
    order = known[np.argsort(-scores[known] if highest else scores[known], kind="stable")][:limit]
    return [_flag(dataset, rule, records[i], scores[i], unit) for i in order]


def flag_rows(
    item: Evidence,
    comparison: Comparison,
    is_added: NDArray[np.bool_],
    rules: Sequence[RuleResult],
    compression: CompressionParams,
    params: RuleParams,
) -> list[FlaggedRow]:
    """The added rows behind every rule of this dataset that warns or worse, the gravest rule's first, at most
    ROWS_PER_RULE each.
    """
    losses = np.full(len(item.records), np.nan)
    losses[locate_probe_rows(item)] = item.probe_losses
    marks, pairs = comparison.marks, comparison.pairs
    odd = judge_rows(marks, comparison.share_added, params) if marks else {}
    alarms = [rule for rule in rules if rule.dataset == item.dataset and rule.status in ("warn", "risky")]
    flagged: list[FlaggedRow] = []
    for rule in sorted(alarms, key=lambda rule: (SEVERITY.index(rule.status), rule.p_value)):
        if not is_added.any():
            continue
        name = item.dataset
        if rule.id == "redundancy":
            flagged += flag_redundant(name, rule.id, item.records, is_added, compression, ROWS_PER_RULE)
            continue
        highest = True
        if rule.id in ("consistency", "both_rise"):
            scores, unit = losses, "nats per token"
        elif rule.id == "agreement":
            # The tail needs more kept rows than the mean.
            if marks is None or np.isnan(marks.marks["misfit"][is_added]).all():
                scores, unit, highest = item.row_agreement, "cosine", False
            else:
                scores, unit = marks.marks["misfit"], MARKS["agreement"]["misfit"].unit
        elif rule.id == "flipped" and pairs is not None:
            scores, unit = np.where(pairs.is_reversed, 1.0, np.nan), "pair reversed"
        elif rule.id == "margin" and pairs is not None:
            scores, unit, highest = pairs.scores, rule.unit, False
        elif rule.id in odd and marks is not None:
            found = odd[rule.id]
            values = marks.marks[found.mark]
            scores, unit = np.where(values > found.cut, values, np.nan), MARKS[rule.id][found.mark].unit
        else:
            continue
        scores = np.where(is_added, scores, np.nan)
        flagged += flag_outlying(name, rule.id, item.records, scores, highest, unit, ROWS_PER_RULE)
    return flagged


def _flag(dataset: str, rule: RuleId, item: HashedRecord, score: float, unit: str) -> FlaggedRow:
    record, row_hash = item
    return FlaggedRow(record.row, row_hash, record.source, dataset, rule, float(score), unit)
