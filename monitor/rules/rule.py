"""A rule: one question about a version, the test that answers it, and its words for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from monitor.rules.drafts import Draft

if TYPE_CHECKING:
    from monitor.calibration.calibrate import Calibration
    from monitor.law.entropy_law import EntropyLaw
    from monitor.rule_params import RuleParams, Thresholds
    from monitor.rules.anchor_comparison import AnchorComparison
    from monitor.rules.parent_comparison import ParentComparison
    from monitor.verdict import Measurements

# Why there is no comparison with an anchor, where nobody looked for one.
NO_ANCHOR = "No version of the history is known to be a baseline or to be confirmed."


@dataclass(frozen=True)
class RuleInput:
    """All that a rule may look at: one dataset against its parent, what is normal on this data, and the parameters.

    ``thresholds``: the values of the parameters that the rule names as its thresholds, in that order.
    ``anchor``: the same dataset against the anchor; where there is nothing to compare, a sentence that says why.
    """

    comparison: ParentComparison
    calibration: Calibration
    law: EntropyLaw
    params: RuleParams
    thresholds: tuple[Thresholds, ...] = ()
    anchor: AnchorComparison | str = NO_ANCHOR


@dataclass(frozen=True)
class Rule:
    """One rule. A file of this folder that has a rule calls it RULE, and ``list_rules`` finds it there.

    - ``id``: the name of its file. It stands in verdict.json, in waivers.yaml and on the command line.
    - ``order``: its position in a verdict, lowest first.
    - ``title``, ``question``, ``advice``: its name for people, what it asks, and where an alarm most often comes from.
    - ``thresholds``: the keys in the section `rules` of params.yaml that say how large an effect matters. A rule that
      combines others takes theirs and has none; nor has ``drift``, which takes those of the rule that it reports.
    - ``draft``: its test, from a RuleInput to a Draft. The drafts of the rules in ``combines`` follow as further
      arguments.
    - ``combines``: the names of rules that it builds on. They must have a lower ``order``.
    - ``preferences_only``: whether it is asked of pairs of answers only.
    - ``needs``: a measure, by its name in ``Measurements``, without which it is not in the verdict at all; "" for none.
    - ``over_versions``: whether what it looks for can come in small steps, version by version. The rule ``drift`` asks
      it again, of everything that was added since the anchor.
    """

    id: str
    order: int
    title: str
    question: str
    advice: str
    thresholds: tuple[str, ...]
    draft: Callable[..., Draft]
    combines: tuple[str, ...] = ()
    preferences_only: bool = False
    needs: Literal["", "q", "second_loss"] = ""
    over_versions: bool = False

    def has_needs(self, measured: Measurements | None) -> bool:
        """Whether a version has the measure that it needs. ``measured``: None for one that has no such measure."""
        return not self.needs or getattr(measured, self.needs, None) is not None

    def ask(self, case: RuleInput, *combined: Draft) -> Draft:
        """The rule's draft on one dataset, with its thresholds as the user set them."""
        thresholds = tuple(getattr(case.params, key) for key in self.thresholds)
        return self.draft(replace(case, thresholds=thresholds), *combined)
