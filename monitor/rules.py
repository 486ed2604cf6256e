"""The rules: five one-sided tests of what the added rows changed, each with its reason in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy

from monitor.calibration import Calibration, TopicSpread
from monitor.entropy_law import EntropyLaw, PredictedChange, predict_change
from monitor.verdict import Measurements, RuleId, RuleResult, RuleStatus

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Band:
    """The smallest change of a whole version that is worth a warning, and worth stopping for."""

    warn: float
    risky: float

    def __post_init__(self) -> None:
        if not 0 <= self.warn <= self.risky:
            raise ValueError("warn must lie between 0 and risky")


@dataclass(frozen=True)
class RuleParams:
    """``false_alarm_rate``: of all rules of a version together (Holm), for a warning; ``risky_rate`` for stopping.

    The bands are effect sizes of the whole version: with enough rows every real change is significant, so a change
    must also matter. ``ratio_rise`` is relative, ``loss_rise`` in nats per token, ``agreement_fall`` in cosine,
    ``forecast_fall`` in units of Z.
    """

    false_alarm_rate: float = 0.05
    risky_rate: float = 0.01
    ratio_rise: Band = Band(0.005, 0.015)
    loss_rise: Band = Band(0.01, 0.02)
    agreement_fall: Band = Band(0.005, 0.01)
    forecast_fall: Band = Band(0.02, 0.05)

    def __post_init__(self) -> None:
        if not 0 < self.risky_rate <= self.false_alarm_rate < 1:
            raise ValueError("risky_rate must lie between 0 and false_alarm_rate, and both below 1")


@dataclass(frozen=True)
class Comparison:
    """One dataset of the version under test against its parent.

    ``loss_kept``, ``loss_added``: probe losses in nats of rows the parent had and did not have, shapes (k,), (a,);
    ``agreement_kept``, ``agreement_added``: prompt-response cosines of the same two groups.
    """

    dataset: str
    now: Measurements
    before: Measurements
    loss_kept: NDArray[numpy.float64]
    loss_added: NDArray[numpy.float64]
    agreement_kept: NDArray[numpy.float64]
    agreement_added: NDArray[numpy.float64]

    @property
    def share_added(self) -> float:
        return (self.now.added or 0) / self.now.rows

    @property
    def change_log_r_long(self) -> float:
        return math.log(self.now.r_long / self.before.r_long)


@dataclass(frozen=True)
class Shift:
    """The mean of the added rows minus that of the kept ones. ``effect``: the shift times the added share, that is,
    what it does to the version's mean. ``p_value``: one-sided, for a shift upwards.
    """

    value: float
    effect: float
    t: float
    p_value: float
    added: int


def measure_shift(
    kept: NDArray[numpy.float64], added: NDArray[numpy.float64], topics: TopicSpread, share: float
) -> Shift:
    """Test whether added rows are higher than an honest batch of another topic would be.

    The added batch is taken as one more topic: its mean may differ by the spread between topics, measured in
    calibration, beside the sampling error. So the comparison is made inside one probe run, row against row, and
    good data of a new kind is not an accident.
    """
    from scipy import stats

    sampling = kept.var(ddof=1) * (1 / len(added) + 1 / len(kept))
    value = float(added.mean() - kept.mean())
    t = value / math.sqrt(topics.sd**2 + sampling)
    return Shift(value, value * share, t, float(stats.t.sf(t, topics.degrees_of_freedom)), len(added))


def shift_quantile(
    kept: NDArray[numpy.float64], added: int, topics: TopicSpread, rate: float
) -> float:
    """The shift that honest batches of this many rows exceed with probability ``rate``."""
    from scipy import stats

    sampling = kept.var(ddof=1) * (1 / added + 1 / len(kept))
    return float(stats.t.isf(rate, topics.degrees_of_freedom)) * math.sqrt(topics.sd**2 + sampling)


def apply_rules(
    comparisons: Sequence[Comparison], calibration: Calibration, law: EntropyLaw, params: RuleParams
) -> tuple[RuleResult, ...]:
    """Every rule on every dataset, with Holm's correction over all p-values of the version."""
    drafts: list[_Draft] = []
    for comparison in comparisons:
        drafts += _apply_to_dataset(comparison, calibration, law, params)
    tested = [draft.result.p_value for draft in drafts if draft.result.p_value is not None]
    adjusted = iter(holm_adjust(tested))
    return tuple(
        draft.result if draft.result.p_value is None else draft.decide(next(adjusted), params) for draft in drafts
    )


def holm_adjust(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given.

    >>> holm_adjust([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [1.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


@dataclass(frozen=True)
class _Draft:
    """A rule's numbers before the correction for testing many: ``effect`` is held against ``band``."""

    result: RuleResult
    effect: float = 0.0
    band: Band = Band(0.0, 0.0)
    finding: str = ""
    calm: str = ""

    def decide(self, adjusted: float, params: RuleParams) -> RuleResult:
        status: RuleStatus = "pass"
        if adjusted <= params.false_alarm_rate and self.effect >= self.band.warn:
            status = "warn"
        if adjusted <= params.risky_rate and self.effect >= self.band.risky:
            status = "risky"
        return replace(self.result, status=status, reason=self.calm if status == "pass" else self.finding)


def _apply_to_dataset(
    comparison: Comparison, calibration: Calibration, law: EntropyLaw, params: RuleParams
) -> list[_Draft]:
    ratio = _redundancy(comparison, calibration, params)
    loss = _row_shift("consistency", comparison, calibration.topic_loss, params)
    agreement = _row_shift("agreement", comparison, calibration.topic_agreement, params)
    return [ratio, loss, agreement, _both_rise(comparison, ratio, loss), _forecast(comparison, law, params)]


def _redundancy(comparison: Comparison, calibration: Calibration, params: RuleParams) -> _Draft:
    """A rise of R in either window beyond what harmless updates of this size do (Student-t prediction)."""
    from scipy import stats

    now, before = comparison.now, comparison.before
    share = max(comparison.share_added, (now.removed or 0) / before.rows)
    draws = len(calibration.updates)
    windows = []
    for name, change, changes in (
        ("32 KiB", math.log(now.r / before.r), [u.change_log_r for u in calibration.updates]),
        ("long", comparison.change_log_r_long, [u.change_log_r_long for u in calibration.updates]),
    ):
        # Replacing twice as many rows doubles the variance of the change.
        per_row = [c / math.sqrt(u.share) for c, u in zip(changes, calibration.updates, strict=True)]
        spread = math.sqrt(sum(c * c for c in per_row) / draws) * math.sqrt(max(share, 1 / now.rows))
        p = float(stats.t.sf(change / (spread * math.sqrt(1 + 1 / draws)), draws - 1))
        limit = float(stats.t.isf(params.false_alarm_rate, draws - 1)) * spread * math.sqrt(1 + 1 / draws)
        windows.append((p, change, limit, name))
    p, change, limit, window = min(windows)
    was, is_ = (before.r, now.r) if window == "32 KiB" else (before.r_long, now.r_long)
    moved = f"R over the {window} window went from {was:.3f} to {is_:.3f} ({math.expm1(change):+.1%})"
    result = RuleResult(
        "redundancy", comparison.dataset, "pass", "", math.expm1(change), math.expm1(max(limit, params.ratio_rise.warn)),
        min(1.0, 2 * p), "relative change of R",
    )  # fmt: skip
    usual = f"harmless updates of this size stay below {math.expm1(limit):+.1%}"
    return _Draft(
        result,
        effect=math.expm1(change),
        band=params.ratio_rise,
        finding=f"{moved}; {usual}: the added rows repeat what the data already says.",
        calm=f"{moved}, no more redundant than its parent beyond what harmless updates do.",
    )


def _row_shift(rule: RuleId, comparison: Comparison, topics: TopicSpread, params: RuleParams) -> _Draft:
    """L of the added rows above, or their agreement below, that of the rows the parent already had."""
    if rule == "consistency":
        kept, added, band, sign, unit = comparison.loss_kept, comparison.loss_added, params.loss_rise, 1.0, "nats"
        what, harder = "loss", "harder for the base model than an honest batch of another topic"
    else:
        kept, added, band, sign = comparison.agreement_kept, comparison.agreement_added, params.agreement_fall, -1.0
        unit, what = "cosine", "prompt-response agreement"
        harder = "further from their prompts than an honest batch of another topic"
    kept, added = kept[~numpy.isnan(kept)], added[~numpy.isnan(added)]
    skipped = RuleResult(rule, comparison.dataset, "skipped", "", unit=unit)
    if not comparison.now.added:
        return _Draft(replace(skipped, reason="No rows were added."))
    if not len(added):
        where = "fell in the probe" if rule == "consistency" else "could be embedded"
        return _Draft(
            replace(skipped, reason=f"None of the {comparison.now.added} added rows {where}: too few to measure.")
        )
    if len(kept) < 10:
        return _Draft(
            replace(skipped, status="not_assessed", reason=f"Only {len(kept)} rows of the parent to compare with.")
        )
    shift = measure_shift(sign * kept, sign * added, topics, comparison.share_added)
    limit = shift_quantile(kept, len(added), topics, params.false_alarm_rate)
    means = f"mean {what} of the {len(added)} added rows measured is {added.mean():.3f} against {kept.mean():.3f}"
    result = RuleResult(
        rule, comparison.dataset, "pass", "", sign * shift.value, sign * limit, shift.p_value, unit
    )  # fmt: skip
    return _Draft(
        result,
        effect=shift.effect,
        band=band,
        finding=(
            f"The {means} of the kept rows ({sign * shift.value:+.3f} {unit}, {harder}: limit {sign * limit:+.3f}); "
            f"this moves the version's {what} by {sign * shift.effect:+.3f}."
        ),
        calm=f"The {means} of the kept rows, within what a batch of another topic may differ.",
    )


def _both_rise(comparison: Comparison, ratio: _Draft, loss: _Draft) -> _Draft:
    """The signature of the paper's x5: R and L rise together, so each may be judged on the weaker evidence.

    Intersection-union test: both must be significant, so the larger p-value is the test's own, without correction.
    """
    result = RuleResult("both_rise", comparison.dataset, "skipped", "", unit="larger of the two p-values")
    if loss.result.p_value is None or ratio.result.p_value is None:
        return _Draft(replace(result, reason=f"Needs both R and L of the added rows. {loss.result.reason}"))
    p = max(ratio.result.p_value, loss.result.p_value)
    now, before = comparison.now, comparison.before
    numbers = (
        f"R over the long window went from {before.r_long:.3f} to {now.r_long:.3f} and L from {before.l:.3f} to "
        f"{now.l:.3f} nats"
    )
    # Both effects on one scale: 1 is the risky end of its own band.
    effects = [draft.effect / draft.band.risky if draft.band.risky else math.inf for draft in (ratio, loss)]
    warn = max(draft.band.warn / draft.band.risky if draft.band.risky else 0.0 for draft in (ratio, loss))
    return _Draft(
        replace(result, status="pass", statistic=p, threshold=None, p_value=p),
        effect=min(effects),
        band=Band(warn, 1.0),
        finding=f"{numbers}: both rise, as in the paper's x5, the sign of repetitive and inconsistent data.",
        calm=f"{numbers}: they do not both rise beyond what harmless updates do.",
    )


def _forecast(comparison: Comparison, law: EntropyLaw, params: RuleParams) -> _Draft:
    """The law's predicted change of Z, where the law holds on this data."""
    from scipy import stats

    result = RuleResult("forecast", comparison.dataset, "skipped", "", unit="Z")
    if not law.holds:
        return _Draft(replace(result, reason=law.sentence))
    predicted = predict_version_change(comparison, law)
    fall = -predicted.value
    p = float(stats.t.sf((fall - params.forecast_fall.warn) / predicted.sd, predicted.degrees_of_freedom))
    numbers = f"the entropy law predicts Z to change by {predicted.value:+.3f} ({predicted.low:+.3f} to {predicted.high:+.3f})"
    return _Draft(
        replace(result, status="pass", statistic=predicted.value, threshold=-params.forecast_fall.warn, p_value=p),
        effect=fall,
        band=params.forecast_fall,
        finding=f"From R and L {numbers}.",
        calm=f"From R and L {numbers}: no loss beyond the tolerance can be told from the noise.",
    )


def predict_version_change(comparison: Comparison, law: EntropyLaw) -> PredictedChange:
    """The law's forecast of a version's Z minus its parent's."""
    return predict_change(law, comparison.change_log_r_long, comparison.now.l - comparison.before.l)
