"""Rule `redundancy`: do the added rows repeat what the data already says, or each other?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import zstandard

from corpus.records import canonical_text
from monitor.rules.drafts import Draft, RowScores, decide_status
from monitor.rules.normal_ranges import predict_ratio_changes
from monitor.rules.rule import Rule, RuleInput
from monitor.rules.significance import upper_tail
from monitor.verdict import SEVERITY, RuleResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.measures.compression import CompressionParams
    from monitor.rules.parent_comparison import ComparedRows

WINDOWS = {"r": "32 KiB", "r_long": "long"}


def draft(case: RuleInput) -> Draft:
    """Test whether R rises, in either window, by more than benign updates of this size make it rise (Student's t).

    The graver of the two windows is reported. Its p-value is doubled, because there was a choice of two.

    Where long R falls by more than benign updates make it fall, only the long window counts. All that repeats within
    32 KiB repeats within the long window too, so the data has then become less redundant, even if neighbours resemble
    each other more than before.
    """
    comparison, params = case.comparison, case.params
    (thresholds,) = case.thresholds
    findings = []
    for measure, normal in predict_ratio_changes(comparison, case.calibration).items():
        was, now = getattr(comparison.before, measure), getattr(comparison.now, measure)
        change, reach = math.log(now / was), normal.reach(params.false_alarm_rate)
        p = min(1.0, 2 * upper_tail(change - normal.expected, normal.sd, normal.degrees_of_freedom)[1])
        severity = SEVERITY.index(decide_status(p, math.expm1(change), thresholds, params))
        has_fallen = change < normal.expected - reach
        findings.append((severity, p, change, normal.expected + reach, WINDOWS[measure], was, now))
    # The long window came last.
    _, p, change, limit, window, was, now = min(findings[-1:] if has_fallen else findings)
    rise = math.expm1(change)
    moved = f"R over the {window} window went from {was:.3f} to {now:.3f} ({rise:+.1%})"
    bound = f"benign updates of this size stay below {math.expm1(limit):+.1%}"
    return Draft(
        RuleResult(
            "redundancy",
            comparison.dataset,
            "pass",
            "",
            statistic=rise,
            threshold=max(math.expm1(limit), thresholds.warn),
            p_value=p,
            unit="relative change of R",
        ),
        effect=rise,
        thresholds=thresholds,
        alarm=f"{moved}; {bound}: the added rows repeat what the data already says, or each other.",
        negligible=f"{moved}; {bound}, but so small a change does not matter.",
        passing=f"{moved}, no more redundant than its parent beyond what benign updates do.",
        blame=score_redundancy,
    )


def score_redundancy(rows: ComparedRows) -> RowScores:
    """How much of each added row repeats the kept rows and the added rows before it (see ``conditional_ratios``)."""
    texts = [canonical_text(record).encode() for record, _ in rows.evidence.records]
    is_added = rows.split.is_added
    kept, added = ([texts[i] for i in np.flatnonzero(flags)] for flags in (~is_added, is_added))
    scores = np.full(len(texts), np.nan)
    scores[is_added] = conditional_ratios(kept, added, rows.compression)
    return RowScores(scores, "raw / compressed bytes")


def conditional_ratios(kept: Sequence[bytes], added: Sequence[bytes], params: CompressionParams) -> NDArray[np.float64]:
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
    ratios = np.empty(len(added))
    for i, text in enumerate(added):
        # The block is ended after every row, so that the bytes written are this row's.
        written = len(stream.compress(text)) + len(stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))  # type: ignore[call-arg]
        ratios[i] = len(text) / max(written, 1)
    return ratios


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
