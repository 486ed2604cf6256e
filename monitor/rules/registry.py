"""The list of all rules: every file of this folder that has a RULE."""

from __future__ import annotations

import functools
import importlib
import pkgutil

import monitor.rules
from monitor.rules.rule import Rule


@functools.cache
def list_rules() -> tuple[Rule, ...]:
    """Every rule, in the order in which a verdict names them.

    >>> [rule.id for rule in list_rules()][:3]
    ['redundancy', 'loss', 'level']
    """
    names = [module.name for module in pkgutil.iter_modules(monitor.rules.__path__)]
    modules = {name: importlib.import_module(f"monitor.rules.{name}") for name in names}
    rules = {name: module.RULE for name, module in modules.items() if hasattr(module, "RULE")}
    for name, rule in rules.items():
        if rule.id != name:
            raise ValueError(f"monitor/rules/{name}.py: its RULE is called {rule.id!r}; it must have the file's name")
    return tuple(sorted(rules.values(), key=lambda rule: (rule.order, rule.id)))


def rule_ids() -> tuple[str, ...]:
    """The names of all rules, in the order in which a verdict names them."""
    return tuple(rule.id for rule in list_rules())


def find_rule(rule_id: str) -> Rule:
    """The rule of this name. Raises KeyError where there is none."""
    return {rule.id: rule for rule in list_rules()}[rule_id]
