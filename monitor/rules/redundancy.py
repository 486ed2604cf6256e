"""Rule `redundancy`: do the added rows repeat what the data already says, or each other?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import zstandard

from monitor.calibration.benign_updates import predict_sd
from monitor.calibration.own_additions import MIN_KEPT_ROWS, Additions
from monitor.measures.expected_size import join_messages
from monitor.rules.drafts import Draft, RowScores
from monitor.rules.normal_ranges import NormalChange, predict_ratio_changes
from monitor.rules.rule import Rule, RuleInput
from monitor.rules.significance import upper_tail
from monitor.verdict import RuleResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.measures.compression import CompressionParams
    from monitor.rules.parent_comparison import ComparedRows


def draft(case: RuleInput) -> Draft:
    """Test whether the added rows raise R by more than as many honest rows would (Student's t).

    The added rows are compressed once the kept rows are known. Their size is compared with what as much text of the
    kept rows takes at that point, source by source. So neither the size of the version nor the order of its rows
    counts, nor does a source that is new or gone. Where too few rows were kept, the whole versions are compared.
    """
    comparison = case.comparison
    result = RuleResult("redundancy", comparison.dataset, "skipped", "", unit="relative change of R")
    if not comparison.now.added:
        return Draft(replace(result, reason="No rows were added, so none can repeat what the data already says."))
    if comparison.added_known == 0:
        reason = "All added rows are of sources that the parent did not have: there are no rows to compare them with."
        return Draft(replace(result, reason=reason))
    if comparison.additions is None:
        return _draft_whole(case, result)
    return _draft_added(case, result, comparison.additions)


def _draft_added(case: RuleInput, result: RuleResult, additions: Additions) -> Draft:
    found, usual = additions.found, additions.usual
    sd = predict_sd([batch.change_log_r for batch in usual], [batch.share for batch in usual], found.share)
    aside = f" ({additions.left_out} rows of new sources aside)" if additions.left_out else ""
    less = 1 - found.added_bytes / found.expected_bytes
    moved = (
        f"Once the kept rows are known, the added rows{aside} compress to {abs(less):.1%} "
        f"{'fewer' if less >= 0 else 'more'} bytes than as much text of kept rows does"
    )
    return _finish(case, result, found.change_log_r, NormalChange(0.0, sd, len(usual) - 1), moved)


def _draft_whole(case: RuleInput, result: RuleResult) -> Draft:
    comparison = case.comparison
    was, now = comparison.before.r_long, comparison.now.r_long
    if comparison.r_long_said is not None:
        # A system message that was put before every row repeats, but the rows themselves say what they said.
        now = min(now, comparison.r_long_said)
    moved = (
        f"Fewer than {MIN_KEPT_ROWS} different rows of the parent are left, so whole versions are compared in file "
        f"order: long R went from {was:.3f} to {now:.3f}, system messages aside"
    )
    return _finish(
        case, result, math.log(now / was), predict_ratio_changes(comparison, case.calibration)["r_long"], moved
    )


def _finish(case: RuleInput, result: RuleResult, change: float, normal: NormalChange, moved: str) -> Draft:
    (thresholds,) = case.thresholds
    change -= normal.expected
    rise, limit = math.expm1(change), math.expm1(normal.reach(case.params.false_alarm_rate))
    p_value = upper_tail(change, normal.sd, normal.degrees_of_freedom)[1]
    bound = (
        f"this {'raises' if rise >= 0 else 'lowers'} R by {abs(rise):.2%}, "
        f"where honest batches of this size raise it by less than {limit:.2%}"
    )
    return Draft(
        replace(result, status="pass", statistic=rise, threshold=max(limit, thresholds.warn), p_value=p_value),
        effect=rise,
        thresholds=thresholds,
        alarm=f"{moved}; {bound}. The added rows repeat what the data already says, or each other.",
        negligible=f"{moved}; {bound}. So small a change does not matter.",
        passing=f"{moved}; {bound}.",
        happened="The added rows repeat what the data already says, or each other",
        blame=score_redundancy,
    )


def score_redundancy(rows: ComparedRows) -> RowScores:
    """How much of each added row repeats the kept rows and the added rows before it (see ``conditional_ratios``)."""
    records, is_added = rows.evidence.records, rows.split.is_added
    kept = (join_messages(record) for (record, _), flag in zip(records, is_added, strict=True) if not flag)
    added = (join_messages(records[i][0]) for i in np.flatnonzero(is_added).tolist())
    scores = np.full(len(records), np.nan)
    scores[is_added] = conditional_ratios(kept, added, rows.compression)
    return RowScores(scores, "raw / compressed bytes")


def conditional_ratios(kept: Iterable[bytes], added: Iterable[bytes], params: CompressionParams) -> NDArray[np.float64]:
    """Raw / compressed bytes of each added row, once the kept rows and earlier added rows are known, shape (added,).

    A copy of something that the data already says compresses to a few bytes, so its ratio is very high.

    >>> import random
    >>> from monitor.measures.compression import CompressionParams
    >>> old, new = (random.Random(seed).randbytes(2000) for seed in (1, 2))
    >>> copy, fresh = conditional_ratios([old], [old, new], CompressionParams())
    >>> bool(copy > 20 > 2 > fresh)
    True
    """
    stream = params.long_codec().stream()
    for text in kept:
        stream.compress(text)
    stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)  # type: ignore[call-arg]
    ratios: list[float] = []
    for text in added:
        # The block is ended after every row, so that the bytes written are this row's.
        written = len(stream.compress(text)) + len(stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))  # type: ignore[call-arg]
        ratios.append(len(text) / max(written, 1))
    return np.array(ratios)


RULE = Rule(
    id="redundancy",
    order=10,
    title="Redundancy",
    question="Do the added rows repeat what the data already says, or each other?",
    advice="Look for copies: an export merged twice, a stock answer, the same thread scraped again.",
    thresholds=("ratio_rise",),
    draft=draft,
    over_versions=True,
)
