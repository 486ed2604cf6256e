"""When a change is an alarm: the rates of false alarms, and the thresholds from which a change matters."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

# Weights such as three times 0.3333333 and 0.0000001 add up to a little more than 1 in binary.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Thresholds:
    """The smallest change of a whole version that is worth a warning, and the smallest that is worth stopping for."""

    warn: float
    risky: float

    def __post_init__(self) -> None:
        if not 0 <= self.warn <= self.risky:
            raise ValueError("warn must lie between 0 and risky")


@dataclass(frozen=True)
class WarningThreshold:
    """The smallest change of a whole version that is worth a warning. None is worth stopping for."""

    warn: float

    def __post_init__(self) -> None:
        if not self.warn >= 0:
            raise ValueError("warn must be at least 0")

    @property
    def risky(self) -> float:
        return math.inf


@dataclass(frozen=True)
class RuleParams:
    """When a rule warns, and when it stops a version.

    - ``false_alarm_rate``: how often the rules of an honest version may warn, all together (Holm's correction).
      ``risky_rate``: how often they may stop it.

    With enough rows every real change is significant, so a change must also be large enough to matter. These thresholds
    are changes of the whole version:

    - ``ratio_rise``: relative change of R. ``loss_rise``: in nats per token. ``agreement_fall``: in cosine.
      ``forecast_fall``: in units of Z. ``flipped_share``: of the rows of preferences. ``outlier_share``: of all rows.
      ``coverage_loss``: of the parent's rows. ``leak_share``: of the rows, or of those of an evaluation set, whichever
      is larger. ``mixture_shift``: of the rows. ``quality_fall``: in standard deviations of the parent's grades.

    Of the mixture of sources:

    - ``mixture_weights``: the intended share of the rows by source; empty where the history says what is normal. Other
      sources share what is left of 1.

    Of single rows:

    - ``rare_character_bits``: a character is rare if its probability among the kept rows is below two to the power of
      minus this.
    """

    false_alarm_rate: float = 0.05
    risky_rate: float = 0.01
    ratio_rise: Thresholds = Thresholds(0.005, 0.015)
    loss_rise: Thresholds = Thresholds(0.01, 0.02)
    agreement_fall: Thresholds = Thresholds(0.005, 0.01)
    forecast_fall: Thresholds = Thresholds(0.02, 0.05)
    flipped_share: Thresholds = Thresholds(0.01, 0.03)
    outlier_share: Thresholds = Thresholds(0.01, 0.02)
    coverage_loss: Thresholds = Thresholds(0.02, 0.05)
    leak_share: Thresholds = Thresholds(0.002, 0.005)
    mixture_shift: WarningThreshold = WarningThreshold(0.1)
    quality_fall: WarningThreshold = WarningThreshold(0.05)
    mixture_weights: dict[str, float] = field(default_factory=dict)
    rare_character_bits: float = 16.0

    # Files of releases up to 0.2.0 lack these.
    ADDED: ClassVar[tuple[str, ...]] = ("leak_share", "mixture_shift", "mixture_weights", "quality_fall")
    RENAMED: ClassVar[dict[str, str]] = {"odd_rows": "outlier_share"}
    RETIRED: ClassVar[dict[str, str]] = dict.fromkeys(
        ("outlier_quantiles", "odd_tails"), "every row is compared with kept rows like it"
    )

    def __post_init__(self) -> None:
        if not 0 < self.risky_rate <= self.false_alarm_rate < 1:
            raise ValueError("risky_rate must lie between 0 and false_alarm_rate, and both below 1")
        weights = self.mixture_weights.values()
        if not all(0 <= weight <= 1 for weight in weights) or math.fsum(weights) > 1 + ROUNDING:
            raise ValueError("mixture_weights must be shares of at least 0, of 1 in all at most")
