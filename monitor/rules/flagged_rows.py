"""The added rows that drive an alarm, the worst first."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from monitor.rules.apply import AppliedRule
from monitor.rules.drafts import RowScores
from monitor.rules.parent_comparison import ComparedRows
from monitor.verdict import SEVERITY, FlaggedRow

# Rows that verdict.json names for each rule and dataset.
ROWS_PER_RULE = 50


def flag_rows(rows: ComparedRows, rules: Iterable[AppliedRule]) -> list[FlaggedRow]:
    """The added rows behind each alarm of this dataset, those of the gravest rule first, at most ROWS_PER_RULE each."""
    if not rows.split.is_added.any():
        return []
    dataset = rows.evidence.dataset
    alarms = [rule for rule in rules if rule.result.dataset == dataset and rule.result.status in ("warn", "risky")]
    flagged: list[FlaggedRow] = []
    for rule in sorted(alarms, key=lambda rule: (SEVERITY.index(rule.result.status), rule.result.p_value)):
        if rule.draft.blame is not None:
            flagged += rank_rows(rows, rule.result.id, rule.draft.blame(rows))
    return flagged


def rank_rows(rows: ComparedRows, rule: str, scored: RowScores, limit: int = ROWS_PER_RULE) -> list[FlaggedRow]:
    """The added rows that have a score, the worst first, at most ``limit`` of them."""
    known = np.flatnonzero(rows.split.is_added & ~np.isnan(scored.scores))
    scores = scored.scores[known]
    order = known[np.argsort(-scores if scored.highest else scores, kind="stable")][:limit]
    return [
        FlaggedRow(record.row, row_hash, record.source, rows.evidence.dataset, rule, score, scored.unit)
        for (record, row_hash), score in ((rows.evidence.records[i], float(scored.scores[i])) for i in order)
    ]
