"""The list of all checks and of all issues: every file of this folder that has a CHECK."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Sequence

import monitor.lint
from monitor.lint.check import Check
from monitor.lint.issue import Issue


@functools.cache
def list_checks() -> tuple[Check, ...]:
    """Every check, in the order of the first code that it reports."""
    names = [module.name for module in pkgutil.iter_modules(monitor.lint.__path__)]
    modules = [importlib.import_module(f"monitor.lint.{name}") for name in names]
    checks = [module.CHECK for module in modules if hasattr(module, "CHECK")]
    return tuple(sorted(checks, key=lambda check: check.issues[0].code[1:]))


@functools.cache
def list_issues() -> tuple[Issue, ...]:
    """Every issue, by family and number. Raises ValueError where two have one code or one name.

    >>> [issue.code for issue in list_issues()][:2]
    ['E101', 'E102']
    """
    issues = [issue for check in list_checks() for issue in check.issues]
    for key in ("code", "name"):
        values = [getattr(issue, key) for issue in issues]
        if twice := {value for value in values if values.count(value) > 1}:
            raise ValueError(f"monitor/lint/: two issues have the {key} {', '.join(sorted(twice))}")
    numbers = [issue.code[1:] for issue in issues]
    if twice := {number for number in numbers if numbers.count(number) > 1}:
        raise ValueError(f"monitor/lint/: two issues have the number {', '.join(sorted(twice))}")
    return tuple(sorted(issues, key=lambda issue: issue.code[1:]))


def choose_codes(select: Sequence[str], ignore: Sequence[str]) -> frozenset[str]:
    """The codes that are reported: those that ``select`` names, or all, without those that ``ignore`` names.

    A name is a code, the beginning of one (`W`, `E1`), the beginning of its number (`4`), or an issue's name. Raises
    ValueError for any other, with a sentence that names it.

    >>> sorted(choose_codes(["E1"], ["E102"]))
    ['E101']
    """
    chosen = frozenset(code for name in select for code in _match(name)) if select else frozenset(_all_codes())
    return chosen - {code for name in ignore for code in _match(name)}


def _all_codes() -> list[str]:
    return [issue.code for issue in list_issues()]


def _match(name: str) -> list[str]:
    found = [issue.code for issue in list_issues() if issue.name == name.lower()]
    if not found and name:
        found = [code for code in _all_codes() if code.startswith(name.upper()) or code[1:].startswith(name)]
    if not found:
        raise ValueError(f"no issue has the code or the name {name!r}; codes are {', '.join(_all_codes())}")
    return found
