"""Rule `loss`: are the added rows harder for the base model than good rows of another topic would be?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from monitor.measures.evidence import locate_probe_rows
from monitor.rules.drafts import Draft, RowScores
from monitor.rules.mean_shift import RowMeasure, draft_mean_shift
from monitor.rules.rule import Rule, RuleInput

if TYPE_CHECKING:
    from monitor.rules.parent_comparison import ComparedRows


def draft(case: RuleInput) -> Draft:
    """Test whether the mean loss of the added rows lies above that of the kept rows (see ``measure_shift``)."""
    comparison = case.comparison
    measure = RowMeasure(
        kept=comparison.loss_kept,
        added=comparison.loss_added,
        expected=comparison.share_added * comparison.probed,
        found=comparison.probed_added,
        missing="the answers of the others may lie beyond probe.max_length tokens",
        name="probe loss" if comparison.pairs is None else "loss of chosen answers",
        unit="nats",
        sign=1.0,
        worse="harder for the base model than an honest batch of another topic",
    )
    (rise,) = case.thresholds
    found = draft_mean_shift("loss", comparison, measure, case.calibration.topic_loss, rise, case.params)
    return replace(found, blame=score_losses)


def score_losses(rows: ComparedRows) -> RowScores:
    """The probe loss of each row; nan where a row was not probed."""
    item = rows.evidence
    losses = np.full(len(item.records), np.nan)
    losses[locate_probe_rows(item)] = item.probe_losses
    return RowScores(losses, "nats per token")


RULE = Rule(
    id="loss",
    order=20,
    title="Loss",
    question="Are the added rows harder to learn than good rows of another topic?",
    advice="Look for damaged text: a wrong decoder, scrambled words, turns in the wrong order.",
    thresholds=("loss_rise",),
    draft=draft,
    over_versions=True,
)
