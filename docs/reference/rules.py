"""rules.md: the rules, from the registry that the verdict reads."""

from __future__ import annotations

import inspect
import math

from docs.reference.constants import escape
from monitor.rule_params import RuleParams
from monitor.rules.registry import list_rules
from monitor.rules.rule import Rule

HEADER = """\
# Rules

The questions that a verdict asks of each dataset, in the order of its results. The name in the first column stands in
`results/verdict.json`, in `waivers.yaml` and on the command line (`entropylaw waive NAME`). This page is made by
`make docs` from the code. [How the verdict is made](../how-the-verdict-works.md) says how each rule tests.
"""


def write_rules() -> str:
    """The page's text."""
    rules = list_rules()
    rows = [f"| [`{rule.id}`](#{rule.id}) | {escape(rule.question)} | {_name_datasets(rule)} |" for rule in rules]
    table = "\n".join(["| rule | asks | of |", "|---|---|---|", *rows])
    return "\n\n".join([HEADER.strip("\n"), table, *map(_describe, rules)]) + "\n"


def _name_datasets(rule: Rule) -> str:
    return "preferences" if rule.preferences_only else "every dataset"


def _describe(rule: Rule) -> str:
    path = f"monitor/rules/{rule.id}.py"
    lines = [
        f"## {rule.id}",
        f"**{rule.title}.** {rule.question} {rule.advice}",
        inspect.cleandoc(rule.draft.__doc__ or "").replace("``", "`"),
        _name_thresholds(rule),
        f"Its file: [{path}](../../{path}).",
    ]
    return "\n\n".join(lines)


def _name_thresholds(rule: Rule) -> str:
    if not rule.thresholds and not rule.combines:
        return "It takes the thresholds of the rule that it reports."
    if not rule.thresholds:
        return f"It takes the thresholds of the rules that it combines: {', '.join(rule.combines)}."
    defaults = {key: getattr(RuleParams(), key) for key in rule.thresholds}
    stops = {
        key: f", stop from {default.risky:g}" if math.isfinite(default.risky) else ""
        for key, default in defaults.items()
    }
    named = [
        f"[`rules.{key}`](parameters.md#rules) (default: warn from {default.warn:g}{stops[key]})"
        for key, default in defaults.items()
    ]
    return f"How large a change matters: {', and '.join(named)}."
