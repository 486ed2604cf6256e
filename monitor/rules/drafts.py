"""A draft: what a rule found before Holm's correction for testing many, and how it becomes the rule's result."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from monitor.rule_params import RuleParams, Thresholds
from monitor.verdict import RuleResult, RuleStatus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from monitor.rules.parent_comparison import ComparedRows

# The thresholds of a rule that was not computed.
NO_THRESHOLDS = Thresholds(0.0, 0.0)


@dataclass(frozen=True)
class RowScores:
    """How much each row contributes to an alarm.

    ``scores``: shape (rows,), in ``unit``, nan where a row contributes nothing. ``highest``: whether the highest score
    is the worst.
    """

    scores: NDArray[np.float64]
    unit: str
    highest: bool = True


@dataclass(frozen=True)
class Draft:
    """A rule's numbers and sentences before the correction for testing many.

    - ``result``: the rule's result so far, with its own p-value.
    - ``effect``, ``thresholds``: how large the change is, and from which size it matters.
    - ``alarm``, ``negligible``, ``passing``: the reason for each outcome. A negligible change is real but too small to
      matter; a passing one cannot be told from noise.
    - ``happened``: what happened to which rows, in one clause that begins a sentence; it says no statistic.
    - ``worst``: the gravest status that this rule may give: "warn" where a change is known to be one, but not to be
      harm.
    - ``blame``: scores the rows behind an alarm. It is called only where there is an alarm, and is None where the rule
      can blame no rows.
    - ``asks_again``: the rule that this draft asks again, of all rows added since the anchor; empty where the draft is
      about the rows added since the parent.
    """

    result: RuleResult
    effect: float = 0.0
    thresholds: Thresholds = NO_THRESHOLDS
    alarm: str = ""
    negligible: str = ""
    passing: str = ""
    happened: str = ""
    worst: RuleStatus = "risky"
    blame: Callable[[ComparedRows], RowScores] | None = None
    asks_again: str = ""

    def decide(self, adjusted: float, tests: int, params: RuleParams) -> RuleResult:
        """The rule's result. ``adjusted``: its p-value after Holm's correction over all ``tests`` of the version."""
        status = decide_status(adjusted, self.effect, self.thresholds, params)
        if status == "risky":
            status = self.worst
        if status == "not_assessed":
            return refuse_result(self.result)
        alone = self.result.p_value is not None and self.result.p_value <= params.false_alarm_rate
        if status != "pass":
            reason = self.alarm
        elif adjusted <= params.false_alarm_rate:
            reason = self.negligible
        elif alone and self.effect >= self.thresholds.warn:
            chance = f"Alone this is a warning; among {tests} tests it may be chance (corrected p {adjusted:.2f})."
            reason = f"{self.alarm} {chance}"
        else:
            reason = self.passing
        return replace(self.result, status=status, reason=reason)


def refuse_result(result: RuleResult) -> RuleResult:
    """The result of a rule whose numbers cannot be trusted, because one of them is not a number."""
    reason = "A number that this rule rests on is missing or not finite, so it could not be asked."
    return replace(result, status="not_assessed", reason=reason, statistic=None, threshold=None, p_value=None)


def join_words(words: Sequence[str]) -> str:
    """A list of words, at least one, as people write it.

    >>> join_words(["loss", "copies", "style"]), join_words(["loss"])
    ('loss, copies and style', 'loss')
    """
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def decide_status(p_value: float, effect: float, thresholds: Thresholds, params: RuleParams) -> RuleStatus:
    """The status of a rule. An alarm must be both significant and large enough to matter. What is not a number is
    neither, and no pass.

    >>> decide_status(0.001, 0.03, Thresholds(0.01, 0.02), RuleParams())
    'risky'
    >>> decide_status(0.001, 0.005, Thresholds(0.01, 0.02), RuleParams())
    'pass'
    >>> decide_status(float("nan"), 0.03, Thresholds(0.01, 0.02), RuleParams())
    'not_assessed'
    """
    if math.isnan(p_value) or math.isnan(effect):
        return "not_assessed"
    if p_value <= params.risky_rate and effect >= thresholds.risky:
        return "risky"
    if p_value <= params.false_alarm_rate and effect >= thresholds.warn:
        return "warn"
    return "pass"
