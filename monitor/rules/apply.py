"""The rules: one-sided tests of what the added rows changed, each with its reason in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from monitor.calibration.benign_updates import predict_sd
from monitor.calibration.calibrate import Calibration, TopicSpread
from monitor.calibration.own_updates import OwnUpdates
from monitor.law.entropy_law import EntropyLaw, PredictedChange, predict_change
from monitor.measures.preferences import PairComparison
from monitor.outliers.odd_rows import RowMarks, draft_row_rules, judge_rows
from monitor.rule_params import Band, RuleParams
from monitor.rules.drafts import Draft, decide_status
from monitor.rules.preference_rules import judge_pairs
from monitor.rules.significance import holm_adjust, measure_shift, shift_quantile, upper_tail
from monitor.verdict import SCORED_DATASET, SEVERITY, Measurements, RuleId, RuleResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Fewer rows of the parent say too little about what is normal.
MIN_KEPT_ROWS = 10
# Where this many added rows are expected among the measured ones, the count of those found is checked.
MIN_EXPECTED_ROWS = 10
# Finding a smaller share of the expected rows is no chance (Poisson, with ten expected: 0.3%): the added rows are of a
# kind that the measurement leaves out.
MIN_FOUND_SHARE = 0.25


@dataclass(frozen=True)
class Comparison:
    """One dataset of the version under test against its parent.

    ``loss_kept``, ``loss_added``: probe losses in nats of rows the parent had and did not have, shapes (k,), (a,);
    ``agreement_kept``, ``agreement_added``: prompt-response cosines of the same two groups, nan where a row has none.
    ``probed``: rows in the probe of which it is known whether the parent had them; ``probed_added`` of them it had not.
    Both count copies, which the four arrays leave out. ``pairs``: of preferences only, whose losses are those of their
    chosen answers. ``own_updates``: of data that is unlike the calibration's. ``marks``: None where no rows were added
    or too few kept.
    """

    dataset: str
    now: Measurements
    before: Measurements
    loss_kept: NDArray[np.float64]
    loss_added: NDArray[np.float64]
    agreement_kept: NDArray[np.float64]
    agreement_added: NDArray[np.float64]
    probed: int
    probed_added: int
    pairs: PairComparison | None = None
    own_updates: OwnUpdates | None = None
    marks: RowMarks | None = None

    @property
    def share_added(self) -> float:
        return (self.now.added or 0) / self.now.rows

    @property
    def share_changed(self) -> float:
        """Of the rows, added or removed, whichever is more; never less than one row."""
        return max(self.share_added, (self.now.removed or 0) / self.before.rows, 1 / self.now.rows)

    @property
    def change_log_r_long(self) -> float:
        return math.log(self.now.r_long / self.before.r_long)


def apply_rules(
    comparisons: Sequence[Comparison], calibration: Calibration, law: EntropyLaw, params: RuleParams
) -> tuple[RuleResult, ...]:
    """Every rule on every dataset, with Holm's correction over all p-values of the version."""
    drafts: list[Draft] = []
    for comparison in comparisons:
        drafts += _apply_to_dataset(comparison, calibration, law, params)
    tested = [draft.result.p_value for draft in drafts if draft.result.p_value is not None]
    adjusted = iter(holm_adjust(tested))
    return tuple(
        draft.result if draft.result.p_value is None else draft.decide(next(adjusted), len(tested), params)
        for draft in drafts
    )


def _apply_to_dataset(
    comparison: Comparison, calibration: Calibration, law: EntropyLaw, params: RuleParams
) -> list[Draft]:
    ratio = _redundancy(comparison, calibration, params)
    loss = _row_shift("consistency", comparison, calibration.topic_loss, params)
    agreement = _row_shift("agreement", comparison, calibration.topic_agreement, params)
    odd = judge_rows(comparison.marks, comparison.share_added, params) if comparison.marks else None
    rows = draft_row_rules(comparison.dataset, comparison.now.added, odd, comparison.share_added, params)
    agreement = _take_graver(agreement, rows.pop("agreement"), params)
    drafts = [ratio, loss, agreement, _both_rise(comparison, ratio, loss, params), _forecast(comparison, law, params)]
    drafts += rows.values()
    return drafts if comparison.pairs is None else drafts + judge_pairs(comparison, comparison.pairs, params)


def _redundancy(comparison: Comparison, calibration: Calibration, params: RuleParams) -> Draft:
    """A rise of R in either window beyond what benign updates of this size do (Student-t prediction).

    The window with the graver finding speaks, at twice its p-value for having had the choice. Whatever repeats within
    32 KiB repeats within the long window too: where long R falls by more than benign updates make it fall, the data
    has become less redundant, and neighbours that resemble each other more than before are no reason to doubt it.
    """
    from scipy import stats

    now, before = comparison.now, comparison.before
    # The calibration measures no growth.
    usual = comparison.own_updates or OwnUpdates(calibration.updates, 0.0, 0.0)
    draws = len(usual.updates)
    windows = []
    for name, change, changes, growth in (
        ("32 KiB", math.log(now.r / before.r), [u.change_log_r for u in usual.updates], usual.growth),
        ("long", comparison.change_log_r_long, [u.change_log_r_long for u in usual.updates], usual.growth_long),
    ):
        sd = predict_sd(changes, [u.share for u in usual.updates], comparison.share_changed)
        expected = growth * math.log(now.rows / before.rows)
        p = min(1.0, 2 * upper_tail(change - expected, sd, draws - 1)[1])
        reach = float(stats.t.isf(params.false_alarm_rate, draws - 1)) * sd
        grave = SEVERITY.index(decide_status(p, math.expm1(change), params.ratio_rise, params))
        has_fallen = change < expected - reach
        windows.append((grave, p, change, expected + reach, name))
    # The long window came last.
    _, p, change, limit, window = min(windows[-1:] if has_fallen else windows)
    was, is_ = (before.r, now.r) if window == "32 KiB" else (before.r_long, now.r_long)
    moved = f"R over the {window} window went from {was:.3f} to {is_:.3f} ({math.expm1(change):+.1%})"
    threshold = max(math.expm1(limit), params.ratio_rise.warn)
    result = RuleResult(
        "redundancy", comparison.dataset, "pass", "", math.expm1(change), threshold, p, "relative change of R"
    )
    bound = f"benign updates of this size stay below {math.expm1(limit):+.1%}"
    return Draft(
        result,
        effect=math.expm1(change),
        band=params.ratio_rise,
        finding=f"{moved}; {bound}: the added rows repeat what the data already says, or each other.",
        slight=f"{moved}; {bound}, but so small a change does not matter.",
        calm=f"{moved}, no more redundant than its parent beyond what benign updates do.",
    )


def _row_shift(rule: RuleId, comparison: Comparison, topics: TopicSpread, params: RuleParams) -> Draft:
    """L of the added rows above, or their agreement below, that of the rows the parent already had."""
    if rule == "consistency":
        kept, added, band, sign, unit = comparison.loss_kept, comparison.loss_added, params.loss_rise, 1.0, "nats"
        what = "probe loss" if comparison.pairs is None else "loss of chosen answers"
        harder = "harder for the base model than an honest batch of another topic"
    else:
        kept, added, band, sign = comparison.agreement_kept, comparison.agreement_added, params.agreement_fall, -1.0
        unit, what = "cosine", "prompt-response agreement"
        harder = "further from their prompts than an honest batch of another topic"
    skipped = RuleResult(rule, comparison.dataset, "skipped", "", unit=unit)
    count = comparison.now.added
    if not count:
        return Draft(replace(skipped, reason="No rows were added."))
    expected = comparison.share_added * comparison.probed if rule == "consistency" else len(added)
    kept, added = kept[~np.isnan(kept)], added[~np.isnan(added)]
    found = comparison.probed_added if rule == "consistency" else len(added)
    if expected >= MIN_EXPECTED_ROWS and found < MIN_FOUND_SHARE * expected:
        cause = (
            "the answers of the others may lie beyond probe.max_length tokens"
            if rule == "consistency"
            else "the others have a blank prompt or answer"
        )
        reason = f"Only {found} of the {count} added rows have a {what}, where {expected:.0f} should: {cause}."
        return Draft(replace(skipped, status="not_assessed", reason=reason))
    if not len(added):
        return Draft(
            replace(skipped, reason=f"None of the {count} added rows, copies aside, has a {what}: nothing to compare.")
        )
    if len(kept) < MIN_KEPT_ROWS:
        reason = f"Only {len(kept)} rows of the parent have a {what} to compare the added rows with."
        return Draft(replace(skipped, status="not_assessed", reason=reason))
    if rule == "agreement" and not kept.any() and not added.any():
        return Draft(replace(skipped, reason="All prompts, or all answers, are the same: they cannot disagree."))
    shift = measure_shift(sign * kept, sign * added, topics, comparison.share_added)
    limit = shift_quantile(kept, len(added), topics, params.false_alarm_rate)
    means = f"mean {what} of the {len(added)} added rows measured is {added.mean():.3f} against {kept.mean():.3f}"
    result = RuleResult(rule, comparison.dataset, "pass", "", sign * shift.value, sign * limit, shift.p_value, unit)
    return Draft(
        result,
        effect=shift.effect,
        band=band,
        finding=(
            f"The {means} of the kept rows ({sign * shift.value:+.3f} {unit}, {harder}: limit {sign * limit:+.3f}); "
            f"this moves the version's {what} by {sign * shift.effect:+.3f}."
        ),
        slight=(
            f"The {means} of the kept rows, but the version's {what} moves by {sign * shift.effect:+.4f} only: "
            "too little to matter."
        ),
        calm=f"The {means} of the kept rows, within what a batch of another topic may differ.",
    )


def _take_graver(mean: Draft, odd: Draft, params: RuleParams) -> Draft:
    """Agreement by its mean, which sees many rows that fit a little less, or by its tail, which sees few that do not.

    The graver finding speaks, at twice its p-value for having had the choice.
    """
    if odd.result.p_value is None or mean.result.status == "not_assessed":
        return mean
    if mean.result.p_value is None:
        return odd
    doubled = [
        replace(draft, result=replace(draft.result, p_value=min(1.0, 2 * (draft.result.p_value or 0.0))))
        for draft in (mean, odd)
    ]

    def gravity(draft: Draft) -> tuple[int, float]:
        p = draft.result.p_value or 0.0
        return SEVERITY.index(decide_status(p, draft.effect, draft.band, params)), p

    return min(doubled, key=gravity)


def _both_rise(comparison: Comparison, ratio: Draft, loss: Draft, params: RuleParams) -> Draft:
    """The signature of the paper's x5: R and L rise together.

    The null hypothesis is a benign update. R is then measured on all rows and L on a sample of them by a model, and
    the two p-values are independent, so both lie below p with probability p squared: what is weak evidence in each
    alone is strong in both at once. Some evidence must be there in each: where only one of them rises, the other's
    chance rise is not the signature.
    """
    result = RuleResult("both_rise", comparison.dataset, "skipped", "", unit="smaller rise, in risky bands")
    if loss.result.p_value is None or ratio.result.p_value is None:
        return Draft(replace(result, reason=f"Needs both R and L of the added rows. {loss.result.reason}"))
    weaker = max(ratio.result.p_value, loss.result.p_value)
    p = weaker**2 if weaker <= params.false_alarm_rate else weaker
    now, before = comparison.now, comparison.before
    numbers = f"R over the long window went from {before.r_long:.3f} to {now.r_long:.3f} and "
    # L of preferences is a KTO loss, which is not what their rows are compared by.
    numbers += (
        f"L from {before.l:.3f} to {now.l:.3f} nats"
        if comparison.pairs is None
        else f"the loss of chosen answers by {loss.effect:+.3f} nats"
    )
    # Both effects on one scale: 1 is the risky end of its own band.
    effects = [draft.effect / draft.band.risky if draft.band.risky else math.inf for draft in (ratio, loss)]
    warn = max(draft.band.warn / draft.band.risky if draft.band.risky else 0.0 for draft in (ratio, loss))
    return Draft(
        replace(result, status="pass", statistic=min(effects), threshold=1.0, p_value=p),
        effect=min(effects),
        band=Band(warn, 1.0),
        finding=f"{numbers}: both rise, as in the paper's x5, the sign of repetitive and inconsistent data.",
        slight=f"{numbers}: both rise, but by too little to matter.",
        calm=f"{numbers}: they do not both rise beyond what benign updates do.",
    )


def _forecast(comparison: Comparison, law: EntropyLaw, params: RuleParams) -> Draft:
    """The law's predicted change of Z, where the law holds on this data."""
    result = RuleResult("forecast", comparison.dataset, "skipped", "", unit="Z")
    if comparison.dataset != SCORED_DATASET:
        return Draft(replace(result, reason=f"The law speaks of models trained on {SCORED_DATASET} only."))
    if not law.holds:
        return Draft(replace(result, reason=law.sentence))
    predicted = predict_version_change(comparison, law)
    fall = -predicted.value
    _, p = upper_tail(fall - params.forecast_fall.warn, predicted.sd, predicted.degrees_of_freedom)
    interval = f"{predicted.low:+.3f} to {predicted.high:+.3f}"
    numbers = f"the entropy law predicts Z to change by {predicted.value:+.3f} ({interval})"
    return Draft(
        replace(result, status="pass", statistic=predicted.value, threshold=-params.forecast_fall.warn, p_value=p),
        effect=fall,
        band=params.forecast_fall,
        finding=f"From R and L {numbers}.",
        slight=f"From R and L {numbers}, a loss within the tolerance.",
        calm=f"From R and L {numbers}: no loss beyond the tolerance can be told from the noise.",
    )


def predict_version_change(comparison: Comparison, law: EntropyLaw) -> PredictedChange:
    """The law's forecast of a version's Z minus its parent's."""
    return predict_change(law, comparison.change_log_r_long, comparison.now.l - comparison.before.l)
