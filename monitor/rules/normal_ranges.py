"""The normal range of each measure: where a benign update of this version's size would leave it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.calibration.benign_updates import predict_sd
from monitor.calibration.calibrate import Calibration
from monitor.calibration.own_updates import OwnUpdates
from monitor.rules.parent_comparison import ParentComparison
from monitor.verdict import NormalRange


@dataclass(frozen=True)
class NormalChange:
    """How a benign update changes a measure.

    ``expected``: the mean change; ``sd``: its standard deviation, in the same unit; ``degrees_of_freedom``: of ``sd``,
    for Student's t.
    """

    expected: float
    sd: float
    degrees_of_freedom: int

    def reach(self, rate: float) -> float:
        """The distance from ``expected`` that a benign update exceeds with probability ``rate`` on each side."""
        from scipy import stats

        return float(stats.t.isf(rate, self.degrees_of_freedom)) * self.sd


def predict_ratio_changes(comparison: ParentComparison, calibration: Calibration) -> dict[str, NormalChange]:
    """How a benign update of this size changes ln R, for the measures r and r_long.

    Taken from the calibration's updates, or from the data's own updates where these were measured. Only the latter know
    how R grows with the number of rows.
    """
    usual = comparison.own_updates or OwnUpdates(calibration.updates, 0.0, 0.0)
    grown = math.log(comparison.now.rows / comparison.before.rows)
    shares = [update.share for update in usual.updates]
    return {
        measure: NormalChange(growth * grown, predict_sd(changes, shares, comparison.share_changed), len(changes) - 1)
        for measure, changes, growth in (
            ("r", [update.change_log_r for update in usual.updates], usual.growth),
            ("r_long", [update.change_log_r_long for update in usual.updates], usual.growth_long),
        )
    }


def predict_ranges(comparison: ParentComparison, calibration: Calibration, rate: float) -> dict[str, NormalRange]:
    """The range around the parent's value that benign updates of this size stay in, by measure key.

    A benign update lies beyond each limit with probability ``rate`` (Student's t). The upper limit of R and long R is
    where the rule ``redundancy`` begins to look. A measure has no range where no update was measured. Nor have L and C
    of preferences: the calibration knows their changes of conversations only.
    """
    before = comparison.before
    ranges = {}
    for key, change in predict_ratio_changes(comparison, calibration).items():
        value, reach = getattr(before, key), change.reach(rate)
        low, high = (value * math.exp(change.expected + side * reach) for side in (-1, 1))
        ranges[key] = NormalRange(low, high)
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
    return NormalChange(0.0, predict_sd(changes, shares, share), len(changes) - 1).reach(rate)
