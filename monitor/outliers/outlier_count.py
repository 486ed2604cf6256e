"""Are there more outliers among the added rows than an honest batch has?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monitor.calibration.topics import MIN_TOPIC_ROWS
from monitor.outliers.version_features import MIN_KEPT_ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Of rows of one topic in being outliers: a correlation of 1 would leave the test without a distribution.
MAX_CORRELATION = 0.99


@dataclass(frozen=True)
class Outliers:
    """The added rows that are outliers by one feature.

    - ``quantile_threshold``: a row with a higher value is an outlier.
    - ``beyond`` of the ``added`` rows are outliers, and the share ``usual`` of the kept rows.
    - ``p_value``: the probability that an honest batch has as many. ``limit``: the share of outliers that an honest
      batch exceeds at the rate of false alarms only. Both after Bonferroni's correction for all features and quantiles
      tried.
    - ``share``: estimated share of the added rows that are outliers beyond what is usual, from 0 to 1.
    """

    feature: str
    quantile_threshold: float
    beyond: int
    added: int
    usual: float
    p_value: float
    limit: float
    share: float


@dataclass(frozen=True)
class OutlierTest:
    """How the outliers of one feature are counted.

    ``quantile``: a row above this quantile of the kept rows is an outlier, such as 0.98. ``tests``: how many features
    and quantiles are tried in all. ``rate``: of false alarms.
    """

    quantile: float
    tests: int
    rate: float

    def find(
        self, feature: str, values: NDArray[np.float64], topic: NDArray[np.int64], is_added: NDArray[np.bool_]
    ) -> Outliers | None:
        """Count the outliers among the added rows, and say how likely an honest batch is to have as many.

        ``values``: of the feature, shape (rows,), nan where a row has none. ``topic``: of kept rows, −1 for others.
        None where fewer than MIN_KEPT_ROWS kept rows, or no added ones, have the feature.

        An honest batch may be of another topic, and topics differ in how many outliers they have. So the count is taken
        as beta-binomial. Its mean and its variance between topics are estimated from the topics of the kept rows
        (method of moments; Williams, 1982). The kept rows are only a sample, too, which limits how sure it can be.
        """
        from scipy import stats

        known = ~np.isnan(values)
        kept = known & (topic >= 0)
        n, rows = int(np.count_nonzero(kept)), int(np.count_nonzero(known & is_added))
        if n < MIN_KEPT_ROWS or not rows:
            return None
        threshold = float(np.quantile(values[kept], self.quantile))
        is_outlier = values > threshold
        usual = (np.count_nonzero(kept & is_outlier) + 0.5) / (n + 1)
        weight = _estimate_weight(kept & is_outlier, kept, topic, usual)
        honest = stats.betabinom(rows, usual * weight, (1 - usual) * weight)
        beyond = int(np.count_nonzero(is_outlier & is_added))
        return Outliers(
            feature=feature,
            quantile_threshold=threshold,
            beyond=beyond,
            added=rows,
            usual=usual,
            p_value=min(1.0, self.tests * float(honest.sf(beyond - 1))),
            limit=float(honest.isf(self.rate / self.tests)) / rows,
            # A row without the feature counts as no outlier.
            share=max(0.0, (beyond - rows * usual) / (1 - usual)) / int(np.count_nonzero(is_added)),
        )


def _estimate_weight(
    is_outlier: NDArray[np.bool_], is_kept: NDArray[np.bool_], topic: NDArray[np.int64], usual: float
) -> float:
    """The sum of the two parameters of the beta distribution that the topics' shares of outliers come from.

    The larger it is, the more alike the topics are.
    """
    topics = int(topic.max()) + 1
    outliers, size = (np.bincount(topic[flags], minlength=topics) for flags in (is_outlier, is_kept))
    if size.max() >= MIN_TOPIC_ROWS:
        outliers, size = outliers[size >= MIN_TOPIC_ROWS], size[size >= MIN_TOPIC_ROWS]
    else:
        # So few rows have the feature that no topic has enough of them: all count as one topic.
        outliers, size = outliers.sum(keepdims=True), size.sum(keepdims=True)
    chi_squared = float(((outliers - size * usual) ** 2 / (size * usual * (1 - usual))).sum())
    extra = (chi_squared - (len(size) - 1)) / max(size.sum() - len(size), 1)
    # An estimate of zero does not prove that topics are alike, so it gets a floor (as in `measure_topic_spread`).
    correlation = min(max(extra, 1 / (4 * size.mean())), MAX_CORRELATION)
    return float(min(1 / correlation - 1, np.count_nonzero(is_kept)))
