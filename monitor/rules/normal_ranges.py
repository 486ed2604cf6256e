"""Where the measures of a version would lie after a benign update of its size."""

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
    """How a benign update changes a measure: by ``expected``, give or take ``sd``, both in the unit of the change.

    ``degrees_of_freedom`` of that standard deviation, for Student's t.
    """

    expected: float
    sd: float
    degrees_of_freedom: int

    def reach(self, rate: float) -> float:
        """How far from ``expected`` benign updates stay, each side passed with probability ``rate``."""
        from scipy import stats

        return float(stats.t.isf(rate, self.degrees_of_freedom)) * self.sd


def predict_ratio_changes(comparison: ParentComparison, calibration: Calibration) -> dict[str, NormalChange]:
    """How a benign update of this size changes ln R, by measure: r and r_long.

    The calibration's updates tell, or the data's own where they were measured; only the latter know growth.
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
    """The parent's value of each measure, give or take what benign updates of this size do to it.

    By measure key; each limit is passed with probability ``rate`` (Student's t). The upper one of R and long R is
    where the rule ``redundancy`` begins to look. The calibration's changes of L and C are those of conversations, so
    preferences have no range of them; nor has a measure that no update was measured in.
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
