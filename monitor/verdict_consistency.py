"""Whether a verdict follows from its own rules: the gate recomputes what it can, and believes nothing that it need not.

`results/verdict.json` is a file like any other: a hand, a merge or an older tool may have written it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import get_args

from monitor.rules.rule import Rule
from monitor.verdict import PREFERENCES, SCHEMA_VERSION, Measurements, RuleStatus, Status, Verdict, worst

STATUSES, RULE_STATUSES = get_args(Status), get_args(RuleStatus)


def find_contradiction(verdict: Verdict, rules: Sequence[Rule]) -> str | None:
    """What in a verdict cannot have been written by `assess` with these ``rules``; None where all fits together.

    With a parent, every rule must have been asked of every dataset that both have, once, and the status must be the
    worst of the answers. Without one, no rule was asked, and the version is a baseline or was not assessed.
    """
    return (
        _find_unknown(verdict, rules)
        or (_find_unasked(verdict, rules) if verdict.parent else _find_asked(verdict))
        or _find_other_status(verdict)
    )


def list_asked(dataset: str, rules: Sequence[Rule], measured: Measurements | None = None) -> list[str]:
    """The names of the rules that are asked of a dataset. ``measured``: None for one without what some rules need."""
    return [
        rule.id for rule in rules if (dataset == PREFERENCES or not rule.preferences_only) and rule.has_needs(measured)
    ]


def _find_unknown(verdict: Verdict, rules: Sequence[Rule]) -> str | None:
    """A value that no verdict has, or a number that is none."""
    if type(verdict.schema_version) is not int or verdict.schema_version != SCHEMA_VERSION:
        return f"schema_version is {verdict.schema_version!r}, and this tool writes {SCHEMA_VERSION}"
    if verdict.status not in STATUSES:
        return f"status is {verdict.status!r}, which is no status"
    known = {rule.id for rule in rules}
    for result in verdict.rules:
        where = f"rule {result.id!r} of {result.dataset!r}"
        if result.id not in known:
            return f"{where} is none of this tool's"
        if result.status not in RULE_STATUSES:
            return f"{where} has {result.status!r} for a status, which is none"
        if result.dataset not in verdict.measurements:
            return f"{where} is about a dataset that was not measured"
        if result.status in ("pass", "warn", "risky") and not _is_number(result.p_value):
            return f"{where} has the status {result.status!r} without a p-value"
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _find_unasked(verdict: Verdict, rules: Sequence[Rule]) -> str | None:
    """A rule without an answer, or with two; of a dataset that the parent lacks, not even a word."""
    if not verdict.parent_measurements:
        return "it names a parent and nothing that was measured on it"
    answers = Counter((result.dataset, result.id) for result in verdict.rules)
    for dataset, measured in verdict.measurements.items():
        if dataset not in verdict.parent_measurements:
            if not any(result.dataset == dataset for result in verdict.rules):
                return f"nothing is said of the dataset {dataset!r}, which the parent does not have"
            continue
        missing = [rule for rule in list_asked(dataset, rules, measured) if not answers[dataset, rule]]
        if missing:
            return f"of the dataset {dataset!r} it has no answer of {', '.join(missing)}"
    twice = next(
        (f"rule {rule!r} of {dataset!r} stands there twice" for (dataset, rule), n in answers.items() if n > 1), None
    )
    return twice


def _find_asked(verdict: Verdict) -> str | None:
    """Anything that only a comparison with a parent gives."""
    if verdict.rules or verdict.parent_measurements:
        return "it has rules, and no parent that they could compare with"
    if verdict.status not in ("baseline", "not_assessed"):
        return f"status is {verdict.status!r}, and it was compared with nothing"
    return None


def _find_other_status(verdict: Verdict) -> str | None:
    """A status that is not the worst of the rules'. A version that a person began anew with is called a baseline
    where its rules pass.
    """
    if verdict.parent is None:
        return None
    found = worst([result.status for result in verdict.rules])
    if verdict.status != found and (verdict.status, found) != ("baseline", "pass"):
        return f"status is {verdict.status!r}, and the worst of its rules is {found!r}"
    return None
