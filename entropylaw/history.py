"""The commands that keep the history of accepted versions and the waivers: accept, history, score, waive."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corpus.errors import EntropylawError
from corpus.visible_text import is_seen, shows_something
from entropylaw.printing import note, print_json, say
from entropylaw.repository import layout
from entropylaw.repository.calendar import read_today

if TYPE_CHECKING:
    from monitor.gate import GateDecision
    from monitor.history import HistoryEntry
    from monitor.measures.evidence import Evidence
    from monitor.verdict import Verdict
    from monitor.waivers import Waiver


Sign = Annotated[bool, typer.Option("--sign", help="Sign the entry with the SSH key that Git signs with.")]


def accept(
    name: Annotated[str | None, typer.Option(help="The version's name; by default x1, x2, and so on.")] = None,
    baseline: Annotated[
        bool,
        typer.Option(
            "--baseline",
            help="Start anew with this version, even if it could not be assessed. Risky rules still need a waiver.",
        ),
    ] = False,
    anchor: Annotated[
        bool,
        typer.Option("--anchor", help="You looked at the rows and want them: small steps are counted from here on."),
    ] = False,
    reason: Annotated[
        str | None,
        typer.Option(help="With --baseline: why the version is a sound start although a rule could not run."),
    ] = None,
    owner: Annotated[str | None, typer.Option(help="With --baseline: who answers for it.")] = None,
    sign: Sign = False,
) -> None:
    """Record the version under test in history/, so that later ones are compared with it; commit the file.

    The reports of the version are written again under its name, and DVC records them: `dvc status` stays clean. For a
    version that was accepted already, --anchor confirms it, and --sign signs it.

    Example: dvc repro && entropylaw accept --name x3 && git add history results dvc.lock && git commit
    """
    from entropylaw import __version__
    from entropylaw.repository.history_guard import require_history
    from entropylaw.repository.recorded_stages import list_fresh_stages
    from entropylaw.repository.results import load_verdict
    from entropylaw.repository.signatures import find_key
    from entropylaw.repository.trust import require_trustworthy
    from monitor.accept import accept_version
    from monitor.history import find_own, read_history, write_entry

    if not baseline and (reason is not None or owner is not None):
        raise EntropylawError("--reason and --owner are for `accept --baseline`; a risky rule is for `waive`")
    if name is not None and not (shows_something(name) and all(map(is_seen, name))):
        raise EntropylawError(f"--name {name!a}: expected a name that everybody can see and type")
    key = find_key() if sign else None
    verdict = load_verdict()
    # Else the version measured last would be recorded where the one that is here is meant.
    require_trustworthy(require_history(), verdict, unsigned=verdict.version.data_hash)
    history = read_history(layout.HISTORY)
    accepted = find_own(history, verdict.config_fingerprint, verdict.version.data_hash)
    if accepted is not None and (anchor or key) and not baseline:
        change_accepted(accepted, anchor, key)
        return
    decision, waivers = require_approval(verdict, baseline)
    start = describe_start(verdict, reason, owner) if baseline else None
    evidence = load_evidence_of(verdict)
    scores = load_scores_of(verdict)
    entry = accept_version(
        verdict,
        evidence,
        name or (accepted.name if accepted else choose_name(history)),
        scores,
        [{"rule": w.rule, "reason": w.reason, "owner": w.owner, "expires": w.expires} for w in waivers],
        baseline,
        __version__,
        anchor,
        start,
    )
    fresh = list_fresh_stages()
    told = f"{entry.status}, and the anchor" if anchor else entry.status
    file = write_entry(layout.HISTORY, entry)
    say(f"{file}: {entry.name} is {told}")
    sign_anew(file, key)
    write_reports_again(fresh, judged_anew=decision.exit_code == 3)


def change_accepted(entry: HistoryEntry, anchor: bool, key: str | None) -> None:
    """Make an accepted version the ``anchor``, or only sign it."""
    from entropylaw.repository.recorded_stages import list_fresh_stages, record_stages
    from monitor.accept import confirm
    from monitor.history import replace_entry

    fresh = list_fresh_stages()
    file = replace_entry(layout.HISTORY, confirm(entry) if anchor else entry)
    if anchor:
        say(f"{file}: {entry.name} is the anchor")
    sign_anew(file, key)
    if anchor:
        write_reports_again(fresh)
    else:  # the signature lies in the folder that these stages read
        record_stages(fresh)


def sign_anew(file: Path, key: str | None) -> None:
    """Sign an entry that was just written; without a ``key``, take away the signature of what it was before."""
    from entropylaw.repository.signatures import sign_entry, signature_of

    if key is not None:
        say(f"{sign_entry(file, key)}: signed")
    elif signature_of(file).exists():
        signature_of(file).unlink()
        note(f"{file}: no longer signed, because it changed; sign it with `entropylaw accept --sign`")


def choose_name(history: Sequence[HistoryEntry]) -> str:
    """A name for the next version that no other one has: x and its number."""
    number = max((entry.number for entry in history), default=0) + 1
    # After a merge two versions are called by the same name and their hashes, as in x3-1a2b3c4d.
    taken = {part for entry in history for part in (entry.name, entry.name.partition("-")[0])}
    while f"x{number}" in taken:
        number += 1
    return f"x{number}"


def require_approval(verdict: Verdict, baseline: bool) -> tuple[GateDecision, Sequence[Waiver]]:
    """The gate's decision on a verdict today, and the waivers it rests on. Raises EntropylawError without approval.

    With ``baseline`` a version that could not be assessed is accepted too. What is risky needs its waiver all the same.
    """
    from entropylaw.repository.results import load_waivers
    from monitor.gate import decide_gate
    from monitor.waivers import valid_waivers

    waivers, today = load_waivers(), read_today()
    decision = decide_gate(verdict, waivers, today)
    if decision.approved:
        return decision, decision.waivers
    if not (baseline and decision.exit_code == 3):
        error = EntropylawError(f"not accepted: {decision.reason}")
        error.exit_code = decision.exit_code
        raise error
    risky = {rule.id for rule in verdict.risky_rules()}
    return decision, [w for w in valid_waivers(waivers, verdict.version.data_hash, today) if w.rule in risky]


def describe_start(verdict: Verdict, reason: str | None, owner: str | None) -> dict[str, str] | None:
    """The reason and the owner of a new start, as the history keeps them; None where there are none.

    Raises EntropylawError where a rule could not run on rows that could be compared, and one of the two is missing:
    then the decision stands in for a check, as a waiver does. Where there is nothing to compare with, as after a change
    of the configuration, or a dataset is new, they are welcome and not needed.
    """
    from monitor.gate import RESTART_COMMAND

    given = {"reason": (reason or "").strip(), "owner": (owner or "").strip()}
    for key, text in given.items():
        if text and not shows_something(text):
            raise EntropylawError(f"--{key}: made of invisible characters; write one that people can read")
    compared = verdict.parent_measurements
    unrun = [rule.id for rule in verdict.rules if rule.status == "not_assessed" and rule.dataset in compared]
    if not all(given.values()) and (unrun or any(given.values())):
        could_not = f"{', '.join(dict.fromkeys(unrun))} could not be assessed; " if unrun else ""
        raise EntropylawError(
            f"{could_not}say why the version is a sound start and who answers for it: `{RESTART_COMMAND}`"
        )
    return {key: given[key] for key in ("owner", "reason")} if all(given.values()) else None


def write_reports_again(fresh: Sequence[str], judged_anew: bool = False) -> None:
    """Write the reports of the version under test again, now that its entry in the history has changed, and have DVC
    record the stages that were ``fresh`` before.

    ``judged_anew``: the entry answers what could not be assessed, so the verdict is another one now.
    """
    from entropylaw.release.command import write_release
    from entropylaw.repository.recorded_stages import record_stages
    from entropylaw.verdict import assess, report

    if judged_anew:
        assess(json=False)
        report()
    elif "report" in fresh:
        report()
    if "release" in fresh:
        write_release()
    record_stages(fresh)
    if judged_anew:
        say("Next: `dvc repro`, which asks the gate again and goes on from there.")


def load_evidence_of(verdict: Verdict) -> list[Evidence]:
    """What the results folder holds of every dataset. Raises EntropylawError where the verdict is of other data."""
    from entropylaw.repository.datasets import read_datasets
    from entropylaw.repository.results import load_evidence
    from monitor.measures.evidence import version_hash

    evidence = [load_evidence(dataset) for dataset in read_datasets()]
    if version_hash({item.dataset: item.data_hash for item in evidence}) != verdict.version.data_hash:
        raise EntropylawError(f"{layout.VERDICT} is of other data than the results beside it; run `dvc repro` first")
    return evidence


def load_scores_of(verdict: Verdict) -> dict[str, float]:
    """Z by benchmark, as `evaluate` measured it and as `score` was told, where that is of this version: it may still be
    of an earlier one.
    """
    from entropylaw.repository.reported_scores import read_reported_scores
    from entropylaw.repository.results import load_evaluation

    evaluation = load_evaluation() if layout.EVALUATION.exists() else None
    measured = evaluation.z if evaluation and evaluation.data_hash == verdict.version.data_hash else {}
    return {**measured, **read_reported_scores(verdict.version.data_hash)}


def show_history(json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """List the accepted versions with what was measured on them, each below those that it follows.

    Example: entropylaw history
    """
    from monitor.history import anchor_of, list_ends, read_history
    from monitor.lineage import list_followed
    from reports.words import LEGEND

    entries = read_history(layout.HISTORY)
    followed = [[earlier.name for earlier in before] for before in list_followed(entries)]
    # Each configuration has one of its own.
    anchors = [anchor_of(entries, fingerprint, "") for fingerprint in {e.config_fingerprint for e in entries}]
    if json:
        rows = [
            {
                "number": entry.number,
                "name": entry.name,
                "status": entry.status,
                "waived": entry.waived,
                "anchor": any(entry is anchor for anchor in anchors),
                "follows": names,
                "start": entry.start,
                "data_hash": entry.data_hash,
                "config_fingerprint": entry.config_fingerprint,
                "measurements": entry.measurements,
                "scores": entry.scores,
            }
            for entry, names in zip(entries, followed, strict=True)
        ]
        print_json(rows)
        return
    if not entries:
        say("No version has been accepted yet; run `entropylaw accept` after `dvc repro`.")
        return
    say(f"{'':>3} {'version':<12} {'dataset':<12} {'rows':>8} {'R':>7} {'long R':>7} {'L':>7} {'C':>7}  status")
    above: list[str] = []
    for entry, names in zip(entries, followed, strict=True):
        # Said only where branches were merged: else each version follows the one above it.
        after = f", after {' and '.join(names) or 'none'}" if names != above else ""
        above = [entry.name]
        for dataset, m in entry.measurements.items():
            numbers = " ".join(f"{value:7.3f}" for value in (m.r, m.r_long, m.l, m.c))
            status = f"{entry.status}, waived" if entry.waived else entry.status
            status += ", anchor" if any(entry is anchor for anchor in anchors) else ""
            status += f", begun anew by {': '.join(entry.start.values())}" if entry.start else ""
            status += after
            scores = "".join(f"  Z({benchmark}) {value:.4f}" for benchmark, value in entry.scores.items())
            say(f"{entry.number:>3} {entry.name:<12} {dataset:<12} {m.rows:>8} {numbers}  {status}{scores}")
    say("", *LEGEND)
    ends = list_ends(entries)
    if len(ends) > 1:
        say(
            f"Branches were merged: {', '.join(end.name for end in ends)} are the last of each. The next version is "
            "compared with the one whose rows are nearest to its own, and follows all of them."
        )


def score(
    benchmark: Annotated[str, typer.Option(help="The benchmark's name.", show_default=False)],
    value: Annotated[float, typer.Option(help="Z, higher is better.", show_default=False)],
    version: Annotated[
        str | None,
        typer.Argument(help="The version's name in the history.", show_default="the version under test"),
    ] = None,
    sign: Sign = False,
) -> None:
    """Record the performance Z of a version that was measured elsewhere, such as by your own trainer.

    Until the version is accepted, Z is kept in results/scores.json; `entropylaw accept` carries it into the history.

    Example: entropylaw score x3 --benchmark mt_bench --value 7.08
    """
    from entropylaw.repository.recorded_stages import list_fresh_stages
    from entropylaw.repository.reported_scores import report_score
    from entropylaw.repository.results import load_verdict
    from entropylaw.repository.signatures import find_key
    from monitor.history import find_own, read_history, record_score

    key = find_key() if sign else None
    verdict, own = None, None
    with contextlib.suppress(EntropylawError):  # without a verdict no version is under test
        verdict = load_verdict()
        own = find_own(read_history(layout.HISTORY), verdict.config_fingerprint, verdict.version.data_hash)
    if version is None:
        verdict = verdict or load_verdict()
        if own is None:
            say(f"{report_score(verdict.version.data_hash, benchmark, value)}: {benchmark} {value:g}")
            return
        version = own.name
    # A score of the version under test changes nothing that it is judged by; one of an earlier version may.
    fresh = list_fresh_stages() if own is not None and own.name == version else ()
    file = record_score(layout.HISTORY, version, benchmark, value)
    say(f"{file}: {benchmark} {value:g}")
    sign_anew(file, key)
    write_reports_again(fresh)


def waive(
    rule: Annotated[str, typer.Argument(help="The rule to overrule; `all`: every risky one.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why it is safe.", show_default=False)],
    owner: Annotated[str, typer.Option(help="Who answers for it.", show_default=False)],
    expires: Annotated[str, typer.Option(help="Last day it holds, as YYYY-MM-DD.", show_default=False)],
) -> None:
    """Overrule a rule for the data version under test, in waivers.yaml; other data is not covered.

    A warning needs it only where `--strict` makes warnings block; where nothing is risky, `all` is every warning.

    Example: entropylaw waive redundancy --reason "copies are wanted here" --owner ana@example.org --expires 2030-01-31
    """
    from entropylaw.repository.results import load_verdict
    from monitor.rules.registry import rule_ids
    from monitor.waivers import Waiver, add_waiver, require_future

    require_future(expires, read_today())
    verdict = load_verdict()
    risky, warning = (
        list(dict.fromkeys(item.id for item in verdict.rules if item.status == status)) for status in ("risky", "warn")
    )
    rules = (risky or warning) if rule == "all" else [rule]
    if not rules or any(item not in (*risky, *warning) for item in rules):
        found = f"risky are: {', '.join(risky) or 'none'}; warnings are: {', '.join(warning) or 'none'}"
        raise EntropylawError(f"{rule}: no alarm of {verdict.version.name}; {found}")
    for item in rules:
        add_waiver(layout.WAIVERS, Waiver(item, verdict.version.data_hash, reason, owner, expires), rule_ids())
        say(f"{layout.WAIVERS}: {item} is waived for {verdict.version.name} until {expires}, by {owner}")
