"""When a change is an alarm: the rates of false alarms, and the thresholds from which a change matters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Thresholds:
    """The smallest change of a whole version that is worth a warning, and the smallest that is worth stopping for."""

    warn: float
    risky: float

    def __post_init__(self) -> None:
        if not 0 <= self.warn <= self.risky:
            raise ValueError("warn must lie between 0 and risky")


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
      is larger.

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
    rare_character_bits: float = 16.0

    # Files of releases up to 0.2.0 lack these.
    ADDED: ClassVar[tuple[str, ...]] = ("leak_share",)
    RENAMED: ClassVar[dict[str, str]] = {"odd_rows": "outlier_share"}
    RETIRED: ClassVar[dict[str, str]] = dict.fromkeys(
        ("outlier_quantiles", "odd_tails"), "every row is compared with kept rows like it"
    )

    def __post_init__(self) -> None:
        if not 0 < self.risky_rate <= self.false_alarm_rate < 1:
            raise ValueError("risky_rate must lie between 0 and false_alarm_rate, and both below 1")
