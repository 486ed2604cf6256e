"""A rule: one question about a version, the test that answers it, and its words for people."""

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
    """All that a rule may look at: one dataset against its parent, what is normal on this data, and the thresholds."""

    comparison: ParentComparison
    calibration: Calibration
    law: EntropyLaw
    params: RuleParams


@dataclass(frozen=True)
class Rule:
    """One rule. A file of this folder that has a rule calls it RULE, and ``list_rules`` finds it there.

    - ``id``: the name of its file. It stands in verdict.json, in waivers.yaml and on the command line.
    - ``order``: its position in a verdict, lowest first.
    - ``title``, ``question``, ``advice``: its name for people, what it asks, and where an alarm most often comes from.
    - ``thresholds``: its key in the section `rules` of params.yaml, which says from which size a change matters; empty
      where the rule combines others and takes theirs.
    - ``draft``: its test, from a RuleInput to a Draft. The drafts of the rules in ``combines`` follow as further
      arguments.
    - ``combines``: the names of rules that it builds on. They must have a lower ``order``.
    - ``preferences_only``: whether it is asked of pairs of answers only.
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
