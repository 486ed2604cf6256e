"""Are there more outliers among the added rows than an honest batch has?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monitor.calibration.topics import MIN_TOPIC_ROWS
from monitor.outliers.version_features import MIN_KEPT_ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Outliers:
    """The added rows that lie beyond a quantile of the kept rows, by one feature.

    ``beyond`` of the ``added`` rows lie above ``quantile_threshold``; of the kept rows the share ``usual`` does.
    ``p_value``: that an honest batch has as many. ``limit``: the share of the added rows that it may have at the rate
    of false alarms. Both are after Bonferroni's correction for all features and quantiles tried. ``share``: how many
    of the added rows are outliers beyond what is usual, estimated, from 0 to 1.
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

    ``quantile``: of the kept rows; a row above its value is an outlier. ``tests``: how many features and quantiles are
    tried in all. ``rate`` of false alarms.
    """

    quantile: float
    tests: int
    rate: float

    def find(
        self, feature: str, values: NDArray[np.float64], topic: NDArray[np.int64], is_added: NDArray[np.bool_]
    ) -> Outliers | None:
        """Count the added rows beyond the kept rows' quantile, and ask how often an honest batch has as many.

        ``values``: shape (rows,), nan where a row has no such feature; ``topic``: of kept rows, −1 of others. An honest
        batch may be of another topic, and topics differ in how many outliers they have. So its count is taken as
        beta-binomial: mean and variance between topics are estimated from the topics of the kept rows (method of
        moments; Williams, 1982), and the kept rows are no more than a sample themselves. None with fewer than
        MIN_KEPT_ROWS kept rows or no added ones that have the feature.
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
            # Rows without the feature are no outliers by it.
            share=max(0.0, (beyond - rows * usual) / (1 - usual)) / int(np.count_nonzero(is_added)),
        )


def _estimate_weight(
    is_outlier: NDArray[np.bool_], is_kept: NDArray[np.bool_], topic: NDArray[np.int64], usual: float
) -> float:
    """The sum of the two parameters of the beta distribution that topics draw their share of outliers from."""
    topics = int(topic.max()) + 1
    outliers, size = (np.bincount(topic[flags], minlength=topics) for flags in (is_outlier, is_kept))
    if size.max() >= MIN_TOPIC_ROWS:
        outliers, size = outliers[size >= MIN_TOPIC_ROWS], size[size >= MIN_TOPIC_ROWS]
    else:
        # The feature is so rare that no topic has enough of it: they count as one.
        outliers, size = outliers.sum(keepdims=True), size.sum(keepdims=True)
    chi_squared = float(((outliers - size * usual) ** 2 / (size * usual * (1 - usual))).sum())
    extra = (chi_squared - (len(size) - 1)) / max(size.sum() - len(size), 1)
    # A correlation of zero is the estimator's floor, not knowledge (as in `measure_topic_spread`).
    correlation = min(max(extra, 1 / (4 * size.mean())), 0.99)
    return float(min(1 / correlation - 1, np.count_nonzero(is_kept)))
