"""What a rule has found before the correction for testing many, and how that becomes its decision."""

from __future__ import annotations

from dataclasses import dataclass, replace

from monitor.rule_params import Band, RuleParams
from monitor.verdict import RuleResult, RuleStatus

# Of a rule that was not computed.
NO_BAND = Band(0.0, 0.0)


@dataclass(frozen=True)
class Draft:
    """A rule's numbers before the correction for testing many: ``effect`` is held against ``band``.

    Its three reasons: ``finding`` for an alarm, ``slight`` for a change that is real but too small to matter, ``calm``
    for one that cannot be told from noise.
    """

    result: RuleResult
    effect: float = 0.0
    band: Band = NO_BAND
    finding: str = ""
    slight: str = ""
    calm: str = ""

    def decide(self, adjusted: float, tests: int, params: RuleParams) -> RuleResult:
        """``adjusted``: the p-value after Holm's correction over all ``tests`` of the version."""
        status = decide_status(adjusted, self.effect, self.band, params)
        alone = self.result.p_value is not None and self.result.p_value <= params.false_alarm_rate
        if status != "pass":
            reason = self.finding
        elif adjusted <= params.false_alarm_rate:
            reason = self.slight
        elif alone and self.effect >= self.band.warn:
            reason = f"{self.finding} Alone a warning, but not among {tests} tests (corrected p {adjusted:.2f})."
        else:
            reason = self.calm
        return replace(self.result, status=status, reason=reason)


def decide_status(p_value: float, effect: float, band: Band, params: RuleParams) -> RuleStatus:
    if p_value <= params.risky_rate and effect >= band.risky:
        return "risky"
    if p_value <= params.false_alarm_rate and effect >= band.warn:
        return "warn"
    return "pass"
