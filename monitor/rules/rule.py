"""What a rule is: one question about a version, the test that answers it, and its words for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.rules.drafts import Draft

if TYPE_CHECKING:
    from monitor.calibration.calibrate import Calibration
    from monitor.law.entropy_law import EntropyLaw
    from monitor.rule_params import RuleParams
    from monitor.rules.parent_comparison import ParentComparison


@dataclass(frozen=True)
class RuleInput:
    """All that a rule may look at: one dataset against its parent, and what is normal on this team's data."""

    comparison: ParentComparison
    calibration: Calibration
    law: EntropyLaw
    params: RuleParams


@dataclass(frozen=True)
class Rule:
    """One rule. Each file of this folder that has one names it RULE; ``list_rules`` finds it there.

    - ``id``: the name of its file. It stands in verdict.json, in waivers.yaml and on the command line.
    - ``order``: where it stands in a verdict, lowest first.
    - ``title``, ``question``, ``advice``: its name for people, what it asks, and where an alarm most often comes from.
    - ``thresholds``: the key, in the section `rules` of params.yaml, of the sizes from which a change matters; empty
      where it takes those of the rules it combines.
    - ``draft``: its test. It is called with a RuleInput and the drafts of the rules that ``combines`` names, which must
      come before it in ``order``.
    - ``preferences_only``: asked of pairs of answers only.
    """

    id: str
    order: int
    title: str
    question: str
    advice: str
    thresholds: str
    draft: Callable[..., Draft]
    combines: tuple[str, ...] = ()
    preferences_only: bool = False
