"""Checks of what was decided: the verdict, the history of accepted versions, the waivers."""

from __future__ import annotations

from collections.abc import Iterator

from corpus.errors import EntropylawError
from entropylaw.doctor.checkout import Checkout
from entropylaw.doctor.finding import Finding
from entropylaw.repository import layout
from entropylaw.repository.calendar import read_today
from entropylaw.repository.history_guard import require_history
from entropylaw.repository.results import load_verdict, load_waivers
from monitor.history import read_history
from monitor.history_entry import HistoryEntry
from monitor.lineage import anchor_of, find_own, parent_of
from monitor.verdict import Verdict

# Without the full stop and the rest of a long summary.
SUMMARY_LETTERS = 90


def check_verdict(checkout: Checkout) -> Iterator[Finding]:
    """What the last verdict says, and whether it is of the data that is here."""
    if not layout.VERDICT.exists():
        yield Finding("verdict", "to do", "none yet", f"run `{checkout.repro}`")
        return
    try:
        verdict = load_verdict()
    except EntropylawError as error:  # damaged, or of an earlier release
        text, _, _ = str(error).rpartition("; ")
        yield Finding("verdict", "to do", text or str(error), f"run `{checkout.repro}`")
        return
    summary = verdict.summary if len(verdict.summary) <= SUMMARY_LETTERS else f"{verdict.summary[:SUMMARY_LETTERS]}…"
    text = f"{verdict.version.name}: {verdict.status}. {summary}"
    if checkout.is_stale("assess"):
        yield Finding(
            "verdict", "to do", f"out of date ({checkout.stale['assess']}); it was {text}", f"run `{checkout.repro}`"
        )
    elif verdict.status in ("risky", "not_assessed"):
        yield Finding(
            "verdict", "to do", text, "`entropylaw check` names rules and rows; then mend the data or `waive`"
        )
    else:
        yield Finding("verdict", "ok", text)


def check_history(checkout: Checkout) -> Iterator[Finding]:
    """Which versions were accepted, and with which one the next is compared.

    Raises NotAssessedError, as the gate does, where accepted versions are missing that are in Git.
    """
    require_history()
    entries, verdict = read_history(layout.HISTORY), _find_verdict()
    if not entries:
        yield Finding(
            "history", "to do", "no accepted version yet", f"run `{checkout.repro} && entropylaw accept`, then commit"
        )
        return
    fingerprint = verdict.config_fingerprint if verdict else entries[-1].config_fingerprint
    count = f"{len(entries)} accepted version{'s' if len(entries) > 1 else ''}"
    parent = parent_of(entries, fingerprint, "")
    if parent is None:
        yield Finding(
            "history",
            "to do",
            f"{count}, none of this configuration",
            "restore the configuration, or start anew with `entropylaw accept --baseline`",
        )
        return
    anchor = anchor_of(entries, fingerprint, "")
    text = f"{count}, the latest {parent.name}" + (f", anchor {anchor.name}" if anchor else ", no anchor")
    if verdict is not None and _is_acceptable(verdict, entries) and not checkout.is_stale("assess"):
        yield Finding(
            "history", "to do", f"{text}; {verdict.version.name} is not in it", "run `entropylaw accept`, then commit"
        )
    else:
        yield Finding("history", "ok", text)


def check_waivers(checkout: Checkout) -> Iterator[Finding]:
    """How many decisions against a rule there are, and whether they still hold."""
    waivers, today = load_waivers(), read_today().isoformat()
    expired = [waiver for waiver in waivers if waiver.expires < today]
    verdict = _find_verdict()
    own = [waiver for waiver in waivers if verdict and waiver.data_hash == verdict.version.data_hash]
    if not waivers:
        yield Finding("waivers", "ok", "none")
        return
    text = f"{len(waivers) - len(expired)} valid, {len(expired)} expired"
    if needed := [waiver for waiver in own if waiver in expired and verdict and verdict.status == "risky"]:
        yield Finding(
            "waivers",
            "broken",
            f"{text}; that of {needed[0].rule} for this version expired on {needed[0].expires}",
            f"mend the data, or renew it with `entropylaw waive {needed[0].rule}`",
        )
    elif own:
        yield Finding("waivers", "ok", f"{text}; for this version: {', '.join(waiver.rule for waiver in own)}")
    else:
        yield Finding("waivers", "ok", f"{text}; none is for this version")


def _find_verdict() -> Verdict | None:
    try:
        return load_verdict()
    except EntropylawError:
        return None


def _is_acceptable(verdict: Verdict, entries: tuple[HistoryEntry, ...]) -> bool:
    """Whether the version could be accepted and was not."""
    own = find_own(entries, verdict.config_fingerprint, verdict.version.data_hash)
    return own is None and verdict.status in ("baseline", "pass", "warn")
