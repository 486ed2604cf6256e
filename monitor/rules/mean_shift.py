"""The test of a mean: do the added rows differ from the kept ones by more than an honest batch of another topic may?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from monitor.calibration.topics import TopicSpread
from monitor.rules.drafts import Draft
from monitor.rules.parent_comparison import ParentComparison
from monitor.rules.significance import measure_shift, shift_quantile
from monitor.verdict import RuleResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.rule_params import RuleParams, Thresholds

# Fewer rows of the parent say too little about what is normal.
MIN_KEPT_ROWS = 10
# Where this many added rows are expected among the measured ones, the count of those found is checked.
MIN_EXPECTED_ROWS = 10
# Finding a smaller share of the expected rows is no chance (Poisson, with ten expected: 0.3%): the added rows are of a
# kind that the measurement leaves out.
MIN_FOUND_SHARE = 0.25


@dataclass(frozen=True)
class RowMeasure:
    """One number for each row, and the words in which a reason speaks of it.

    - ``kept``, ``added``: the values, shapes (k,), (a,), nan where a row has none.
    - ``expected``, ``found``: how many added rows should have a value, and how many have one. ``missing``: why the
      others have none.
    - ``name``, ``unit``: of the value. ``sign``: 1 where higher is worse, −1 where lower is. ``worse``: what is said of
      rows on the worse side.
    - ``blank``: what is said where all values are 0; empty where 0 is a value like any other.
    """

    kept: NDArray[np.float64]
    added: NDArray[np.float64]
    expected: float
    found: int
    missing: str
    name: str
    unit: str
    sign: float
    worse: str
    blank: str = ""


def draft_mean_shift(
    rule: str,
    comparison: ParentComparison,
    measure: RowMeasure,
    topics: TopicSpread,
    thresholds: Thresholds,
    params: RuleParams,
) -> Draft:
    """Test whether the added rows are worse on average. Its effect is how far the whole version's mean moves."""
    kept, added = (values[~np.isnan(values)] for values in (measure.kept, measure.added))
    result = RuleResult(rule, comparison.dataset, "skipped", "", unit=measure.unit)
    if hindrance := _find_hindrance(result, comparison.now.added, kept, added, measure):
        return Draft(hindrance)
    name, unit, sign = measure.name, measure.unit, measure.sign
    shift = measure_shift(sign * kept, sign * added, topics, comparison.share_added)
    limit = shift_quantile(kept, len(added), topics, params.false_alarm_rate)
    means = f"mean {name} of the {len(added)} added rows measured is {added.mean():.3f} against {kept.mean():.3f}"
    return Draft(
        replace(result, status="pass", statistic=sign * shift.value, threshold=sign * limit, p_value=shift.p_value),
        effect=shift.effect,
        thresholds=thresholds,
        alarm=(
            f"The {means} of the kept rows ({sign * shift.value:+.3f} {unit}, {measure.worse}: limit "
            f"{sign * limit:+.3f}); this moves the version's {name} by {sign * shift.effect:+.3f}."
        ),
        negligible=(
            f"The {means} of the kept rows, but the version's {name} moves by {sign * shift.effect:+.4f} only: "
            "too little to matter."
        ),
        passing=f"The {means} of the kept rows, within what a batch of another topic may differ.",
    )


def _find_hindrance(
    result: RuleResult,
    count: int | None,
    kept: NDArray[np.float64],
    added: NDArray[np.float64],
    measure: RowMeasure,
) -> RuleResult | None:
    """The rule's result where the two groups cannot be compared; None where they can. ``count``: of the added rows."""
    if not count:
        return replace(result, reason="No rows were added.")
    if measure.expected >= MIN_EXPECTED_ROWS and measure.found < MIN_FOUND_SHARE * measure.expected:
        reason = (
            f"Only {measure.found} of the {count} added rows have a {measure.name}, where {measure.expected:.0f} "
            f"should: {measure.missing}."
        )
        return replace(result, status="not_assessed", reason=reason)
    if not len(added):
        reason = f"None of the {count} added rows, copies aside, has a {measure.name}: nothing to compare."
        return replace(result, reason=reason)
    if len(kept) < MIN_KEPT_ROWS:
        reason = f"Only {len(kept)} rows of the parent have a {measure.name} to compare the added rows with."
        return replace(result, status="not_assessed", reason=reason)
    if measure.blank and not kept.any() and not added.any():
        return replace(result, reason=measure.blank)
    return None
