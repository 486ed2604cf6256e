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


def flag_rows(
    rows: ComparedRows, rules: Iterable[AppliedRule], since_anchor: ComparedRows | None = None
) -> list[FlaggedRow]:
    """The added rows behind each alarm of this dataset, those of the gravest rule first, at most ROWS_PER_RULE each.

    ``since_anchor``: the same rows, split by what the anchor had; None where the version is not compared with it.
    """
    dataset = rows.evidence.dataset
    alarms = [rule for rule in rules if rule.result.dataset == dataset and rule.result.status in ("warn", "risky")]
    flagged: list[FlaggedRow] = []
    for rule in sorted(alarms, key=lambda rule: (SEVERITY.index(rule.result.status), rule.result.p_value)):
        split_by = since_anchor if rule.draft.asks_again else rows
        if rule.draft.blame is not None and split_by is not None and split_by.split.is_added.any():
            flagged += rank_rows(split_by, rule.result.id, rule.draft.blame(split_by))
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
