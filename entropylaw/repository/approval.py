"""Whether results/approval.json is what the gate says of the verdict. What follows the gate asks this first."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from corpus.errors import EntropylawError, NotAssessedError
from entropylaw.repository import layout
from entropylaw.repository.results import load_approval, load_verdict, load_waivers
from monitor.gate import SCHEMA_VERSION, GateDecision, decide_gate
from monitor.verdict import Verdict
from monitor.waivers import Waiver

REPEAT = "run `dvc repro --force gate`"


def require_approval() -> GateDecision:
    """The approval in results/approval.json, if it follows from results/verdict.json and waivers.yaml.

    Raises NotAssessedError, naming the file, where it does not: somebody edited one of them, or they are of two runs.
    """
    decision = load_approval()
    problem = find_forgery(decision, load_verdict(), load_waivers())
    if problem:
        raise NotAssessedError(f"{layout.APPROVAL}: {problem}; {REPEAT}")
    return decision


def find_forgery(approval: GateDecision, verdict: Verdict, waivers: Iterable[Waiver]) -> str | None:
    """Why the gate never gave this approval; None where it did.

    A waiver that has expired since was valid then: the day is taken from the approval's own waivers. But each of these
    must still stand in waivers.yaml.
    """
    if approval.schema_version != SCHEMA_VERSION:
        return f"schema_version is {approval.schema_version!r}, and the gate writes {SCHEMA_VERSION}"
    known = set(waivers)
    lost = [waiver.rule for waiver in approval.waivers if waiver not in known]
    if lost:
        return f"rests on a waiver of {', '.join(lost)} that is not in {layout.WAIVERS}"
    try:
        days = [datetime.date.fromisoformat(waiver.expires) for waiver in approval.waivers]
    except ValueError as error:
        return f"has a waiver that ends on no day: {error}"
    day = min(days, default=datetime.date.min)
    decision = decide_gate(verdict, approval.waivers, day)
    if not decision.approved:
        return f"approves what the gate stops: {decision.reason}"
    # With --strict it also rests on waivers of warnings.
    if not approval.approved or approval not in (decision, decide_gate(verdict, approval.waivers, day, strict=True)):
        return f"does not approve the verdict in {layout.VERDICT}"
    return None


def find_untrue_approval() -> str | None:
    """What is wrong with results/approval.json, with its name; None where nothing is, or where there is none.

    The verdict itself is not judged here.
    """
    if not layout.APPROVAL.exists():
        return None
    try:
        require_approval()
    except EntropylawError as error:
        return str(error)
    return None
