"""The test of outliers: are there more of them among the added rows than an honest batch has?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.outliers.outlier_count import Outliers, OutlierTest
from monitor.outliers.version_features import MAX_ROW_CHARACTERS, MIN_KEPT_ROWS, VersionFeatures
from monitor.rule_params import RuleParams, Thresholds
from monitor.rules.drafts import Draft, RowScores, decide_status
from monitor.rules.rule import RuleInput
from monitor.verdict import SEVERITY, RuleResult

# The unit of a feature that counts the words, or runs of words, that a row shares with others.
EXCESS = "standard deviations above kept rows"


@dataclass(frozen=True)
class FeatureWords:
    """What is said of rows that are outliers by a feature of ``measure_row_features``, and the unit of its value."""

    name: str
    says: str
    unit: str


def draft_outlier_share(
    rule: str, case: RuleInput, features: Sequence[FeatureWords], thresholds: Thresholds, *, with_copies: bool = False
) -> Draft:
    """The draft of a rule that counts outliers. It reports the gravest of the rule's ``features``.

    ``thresholds``: shares of the version's rows.
    ``with_copies``: whether added rows that repeat an earlier row of the version count too.
    """
    comparison = case.comparison
    result = RuleResult(rule, comparison.dataset, "skipped", "", unit="share of the added rows")
    if not comparison.now.added:
        return Draft(replace(result, reason="No rows were added."))
    measured = comparison.features
    if measured is None:
        reason = (
            f"Fewer than {MIN_KEPT_ROWS} different rows of the parent, of at most {MAX_ROW_CHARACTERS:,} "
            "characters each, are left to compare the added rows with."
        )
        return Draft(replace(result, status="not_assessed", reason=reason))
    names = [feature.name for feature in features]
    found = find_gravest(measured, names, comparison.share_added, thresholds, case.params, with_copies=with_copies)
    if found is None:
        return Draft(replace(result, reason="None of the added rows, copies aside, has anything to compare."))
    feature = features[names.index(found.feature)]
    effect = found.share * comparison.share_added
    numbers = (
        f"{found.beyond} of the {found.added} added rows measured {feature.says} "
        f"({found.beyond / found.added:.1%}, against {found.usual:.1%} of the kept rows; limit {found.limit:.1%})"
    )
    values = measured.features[found.feature]
    outliers = np.where(values > found.quantile_threshold, values, np.nan)
    return Draft(
        replace(
            result,
            status="pass",
            statistic=found.beyond / found.added,
            threshold=found.limit,
            p_value=found.p_value,
        ),
        effect=effect,
        thresholds=thresholds,
        alarm=f"{numbers}: about {effect:.1%} of the version.",
        negligible=f"{numbers}, too few to matter.",
        passing=f"{numbers}, no more than a batch of another topic may have.",
        blame=lambda rows: RowScores(outliers, feature.unit),
    )


def find_gravest(
    measured: VersionFeatures,
    names: Sequence[str],
    share_added: float,
    thresholds: Thresholds,
    params: RuleParams,
    *,
    with_copies: bool = False,
) -> Outliers | None:
    """The outliers by the feature and quantile with the gravest result; None where no feature can be compared."""
    is_added = measured.is_added if with_copies else measured.is_added & ~measured.is_copy
    tests = len(names) * len(params.outlier_quantiles)
    candidates = [
        found
        for name in names
        for quantile in params.outlier_quantiles
        if (
            found := OutlierTest(quantile, tests, params.false_alarm_rate).find(
                name, measured.features[name], measured.topic, is_added
            )
        )
    ]

    def gravity(found: Outliers) -> tuple[int, float]:
        status = decide_status(found.p_value, found.share * share_added, thresholds, params)
        return SEVERITY.index(status), found.p_value

    return min(candidates, key=gravity, default=None)
