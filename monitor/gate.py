"""The gate: may this data version be trained on? It obeys the verdict and fails closed."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from monitor.rules.registry import list_rules
from monitor.verdict import Verdict
from monitor.verdict_consistency import find_contradiction
from monitor.waivers import Waiver, valid_waivers, waiver_problems

SCHEMA_VERSION = 1

# What could not be assessed is let through only by a person who begins anew with it, by name and with a reason.
RESTART_COMMAND = 'entropylaw accept --baseline --reason "…" --owner NAME'
# A verdict that contradicts itself was not written by `assess`, or by that of an older release: it takes seconds anew.
REASSESS = "run `dvc repro --force assess`, then `dvc repro`"
RESTART_ADVICE = f"Repair what keeps a rule from running or, if it is wanted, begin anew: `{RESTART_COMMAND}`."

# Part of the command-line contract: 0 approved, 1 risky, 3 could not be assessed.
ExitCode = Literal[0, 1, 3]


@dataclass(frozen=True)
class GateDecision:
    """The gate's answer, written as results/approval.json. ``waivers``: those that the approval rests on."""

    approved: bool
    exit_code: ExitCode
    status: str
    reason: str
    version: str
    data_hash: str
    config_fingerprint: str
    waivers: tuple[Waiver, ...]
    schema_version: int = SCHEMA_VERSION


def decide_gate(
    verdict: Verdict, waivers: Iterable[Waiver], today: datetime.date, strict: bool = False
) -> GateDecision:
    """Approve, or say what blocks and what to do.

    A risky rule blocks unless a waiver bound to this data holds ``today``. With ``strict`` a warning blocks in the same
    way. What was not assessed blocks and cannot be waived: a check that could not run is never a pass. Nor is a verdict
    that does not follow from its own rules (``find_contradiction``).
    """
    waivers = tuple(waivers)
    blocking_statuses = ("risky", "warn") if strict else ("risky",)
    blocking = list(dict.fromkeys(rule.id for rule in verdict.rules if rule.status in blocking_statuses))
    valid = [w for w in valid_waivers(waivers, verdict.version.data_hash, today) if w.rule in blocking]
    open_rules = [rule for rule in blocking if rule not in {waiver.rule for waiver in valid}]
    unassessed = list(dict.fromkeys(rule.id for rule in verdict.rules if rule.status == "not_assessed"))
    name = verdict.version.name

    def decide(exit_code: ExitCode, reason: str) -> GateDecision:
        return GateDecision(
            approved=exit_code == 0,
            exit_code=exit_code,
            status=verdict.status,
            reason=reason,
            version=name,
            data_hash=verdict.version.data_hash,
            config_fingerprint=verdict.config_fingerprint,
            waivers=tuple(valid) if exit_code == 0 else (),
        )

    # A verdict that is risky without naming a rule blocks too: no waiver can be for it.
    if open_rules or (verdict.status in blocking_statuses and not blocking):
        problems = waiver_problems(waivers, verdict.version.data_hash, today)
        found = ", ".join(f"{rule} ({problems[rule]})" if rule in problems else rule for rule in open_rules)
        todo = "repair the rows that results/verdict.json lists, or let it through with `entropylaw waive`"
        return decide(1, f"{name} is {verdict.status}: {found or 'no rule named'}; {todo}")
    if contradiction := find_contradiction(verdict, list_rules()):
        return decide(3, f"{name} could not be assessed: the verdict does not hold: {contradiction}; {REASSESS}")
    if unassessed or verdict.status == "not_assessed":
        if not unassessed:
            return decide(3, f"{name} could not be assessed, which cannot be waived: {verdict.summary}")
        return decide(
            3,
            f"{name} could not be assessed ({', '.join(unassessed)}), which cannot be waived: {verdict.summary} "
            f"{RESTART_ADVICE}",
        )
    if valid:
        names = ", ".join(f"{waiver.rule} (by {waiver.owner}, until {waiver.expires})" for waiver in valid)
        return decide(0, f"{name} is {verdict.status} and approved under a waiver of {names}")
    return decide(0, f"{name} is approved: {verdict.status}")
