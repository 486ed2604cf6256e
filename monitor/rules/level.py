"""Rule `level`: has L of the whole version risen by more than reruns and benign updates raise it?"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from monitor.calibration.benign_updates import predict_sd
from monitor.rules.drafts import Draft
from monitor.rules.loss import score_losses
from monitor.rules.rule import Rule, RuleInput
from monitor.rules.significance import upper_tail
from monitor.verdict import RuleResult

if TYPE_CHECKING:
    from monitor.calibration.calibrate import Calibration

# Below this share of the response tokens, most of what a probed row says was not read. The windows lie anywhere, so L
# stays a fair sample of the data, but damage in a small part of each row may be missed: the reason says so.
LOW_READ_SHARE = 0.05
# One run has no spread.
MIN_RERUNS = 2


def draft(case: RuleInput) -> Draft:
    """Test the rise of L against the noise of reruns (A/A) and of benign updates, by Student's t.

    New rows, of a new source or kind, are left out: they may be harder because they are new. The effect is that part of
    the rise which the added rows account for. Where easy rows were removed, such as copies, L rises too, and nothing is
    damaged.
    """
    from scipy import stats

    comparison, calibration = case.comparison, case.calibration
    result = RuleResult("level", comparison.dataset, "skipped", "", unit="nats")
    now, before, parts = comparison.now.l, comparison.before.l, comparison.loss_parts
    if comparison.pairs is not None:
        reason = "L of preferences is a KTO loss, and the calibration knows the noise of L of conversations only."
        return Draft(replace(result, reason=reason))
    if not comparison.now.added:
        return Draft(replace(result, reason="No rows were added."))
    if math.isnan(parts.new_sources):
        return Draft(replace(result, reason="All rows that L is a mean over are new."))
    if not math.isfinite(now - before):
        return Draft(replace(result, status="not_assessed", reason="L of this version or of its parent is not known."))
    if len(calibration.noise_l) < MIN_RERUNS:
        return Draft(replace(result, status="not_assessed", reason="The calibration has no reruns to tell noise by."))
    sd, degrees = predict_noise(calibration, comparison.share_changed)
    rise = now - parts.new_sources - before
    t, p = upper_tail(rise, sd, degrees)
    limit = float(stats.t.isf(case.params.false_alarm_rate, degrees)) * sd
    numbers = f"L went from {before:.3f} to {now:.3f} nats per token"
    if parts.new_sources:
        numbers += f", {parts.new_sources:+.3f} of it by new rows, which are left out; {rise:+.3f} remains"
    usual = f"Reruns and benign updates of this size stay below {limit:+.3f} (t {t:.1f})"
    read = _describe_reading(comparison.now.read_share)
    effect = rise if parts.added is None else min(rise, parts.added)
    return Draft(
        replace(result, status="pass", statistic=rise, threshold=limit, p_value=p),
        effect=effect,
        thresholds=case.thresholds[0],
        alarm=f"{numbers}. {usual}. The added rows account for {effect:+.3f}.{read}",
        negligible=(
            f"{numbers}, but the added rows account for {effect:+.3f} only: too little to matter, or the rows that "
            f"were removed were easier.{read}"
        ),
        passing=f"{numbers}. {usual}.{read}",
        happened="The data is harder to learn than the version before it",
        blame=score_losses,
    )


def predict_noise(calibration: Calibration, share: float) -> tuple[float, float]:
    """Standard deviation in nats of an honest change of L, and its degrees of freedom.

    ``share``: of the rows that changed. Two variances add: that between reruns, once for each of the two versions, and
    that of benign updates, where they were measured. A rerun draws all its rows anew, while a version and its parent
    share the probed rows that did not change: only ``share`` of the reruns' variance lies between them. The degrees of
    freedom are Welch and Satterthwaite's.
    """
    noise = np.array(calibration.noise_l)
    parts = [(2 * float(noise.var(ddof=1)) * min(share, 1.0), len(noise) - 1)]
    known = [(u.change_l, u.share) for u in calibration.updates if u.change_l is not None]
    if len(known) > 1:
        sd = predict_sd([change for change, _ in known], [of for _, of in known], share)
        parts.append((sd * sd, len(known) - 1))
    total = sum(variance for variance, _ in parts)
    if not total:
        return 0.0, float(parts[0][1])
    return math.sqrt(total), total**2 / sum(variance**2 / degrees for variance, degrees in parts)


def _describe_reading(read_share: float | None) -> str:
    if read_share is None or read_share >= LOW_READ_SHARE:
        return ""
    return (
        f" Only {read_share:.1%} of the probed rows' response tokens were read, in windows anywhere in the rows; raise "
        "probe.max_length to see more of each row."
    )


RULE = Rule(
    id="level",
    order=25,
    title="L itself",
    question="Has L risen by more than reruns and benign updates raise it?",
    advice="Look at the added rows with the highest loss: damaged text, another language, answers of other rows.",
    thresholds=("loss_rise",),
    draft=draft,
)
