"""When a change is an alarm: rates of false alarms, and sizes below which a change does not matter."""

from __future__ import annotations

from dataclasses import dataclass


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
    ``forecast_fall`` in units of Z, ``flipped_share`` of the rows of preferences,
    ``odd_rows`` of all rows.

    ``odd_tails``: a row is odd beyond the value that this share of the kept rows exceeds, each share tried: few rows
    far out, or more of them less far. ``rare_character_bits``: a character is rare below two to the minus this.
    """

    false_alarm_rate: float = 0.05
    risky_rate: float = 0.01
    ratio_rise: Band = Band(0.005, 0.015)
    loss_rise: Band = Band(0.01, 0.02)
    agreement_fall: Band = Band(0.005, 0.01)
    forecast_fall: Band = Band(0.02, 0.05)
    flipped_share: Band = Band(0.01, 0.03)
    odd_rows: Band = Band(0.01, 0.02)
    odd_tails: tuple[float, ...] = (0.002, 0.02, 0.1)
    rare_character_bits: float = 16.0

    def __post_init__(self) -> None:
        if not 0 < self.risky_rate <= self.false_alarm_rate < 1:
            raise ValueError("risky_rate must lie between 0 and false_alarm_rate, and both below 1")
        if not self.odd_tails or not all(0 < tail < 1 for tail in self.odd_tails):
            raise ValueError("odd_tails must be shares between 0 and 1, at least one")
