"""The normal band of a version: where its measures would lie after a benign update of its size."""

from __future__ import annotations

import math
from collections.abc import Sequence

from monitor.calibration.benign_updates import predict_sd
from monitor.calibration.calibrate import Calibration
from monitor.calibration.own_updates import OwnUpdates
from monitor.rules.apply import Comparison
from monitor.verdict import NormalRange


def predict_ranges(comparison: Comparison, calibration: Calibration, rate: float) -> dict[str, NormalRange]:
    """The parent's value of each measure, give or take what calibrated benign updates of this size do to it.

    By measure key; each limit is passed with probability ``rate`` (Student's t). The upper one of R and long R is
    where the rule ``redundancy`` begins to look. The calibration's changes of L and C are those of conversations, and
    a measure of preferences, or one that no update was measured in, is left out.
    """
    now, before = comparison.now, comparison.before
    usual = comparison.own_updates or OwnUpdates(calibration.updates, 0.0, 0.0)
    grown = math.log(now.rows / before.rows)
    shares = [update.share for update in usual.updates]
    ranges = {}
    for key, value, changes, growth in (
        ("r", before.r, [update.change_log_r for update in usual.updates], usual.growth),
        ("r_long", before.r_long, [update.change_log_r_long for update in usual.updates], usual.growth_long),
    ):
        reach = _reach(changes, shares, comparison.share_changed, rate)
        expected = growth * grown
        ranges[key] = NormalRange(value * math.exp(expected - reach), value * math.exp(expected + reach))
    if comparison.pairs is not None:
        return ranges
    for key, value, known in (
        ("l", before.l, [(u.change_l, u.share) for u in calibration.updates if u.change_l is not None]),
        ("c", before.c, [(u.change_c, u.share) for u in calibration.updates if u.change_c is not None]),
    ):
        if len(known) > 1 and math.isfinite(value):
            reach = _reach([c for c, _ in known], [share for _, share in known], comparison.share_changed, rate)
            ranges[key] = NormalRange(value - reach, value + reach)
    return ranges


def _reach(changes: Sequence[float], shares: Sequence[float], share: float, rate: float) -> float:
    from scipy import stats

    return float(stats.t.isf(rate, len(changes) - 1)) * predict_sd(changes, shares, share)
