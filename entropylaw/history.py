"""The commands that keep the history of accepted versions and the waivers: accept, history, score, waive."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from corpus.errors import EntropylawError
from entropylaw.repository import layout

if TYPE_CHECKING:
    from monitor.history import HistoryEntry
    from monitor.measures.evidence import Evidence
    from monitor.verdict import Verdict
    from monitor.waivers import Waiver


def accept(
    name: Annotated[str | None, typer.Option(help="The version's name; by default x1, x2, and so on.")] = None,
    baseline: Annotated[
        bool,
        typer.Option("--baseline", help="Start anew: later versions are compared with this one, whatever it is."),
    ] = False,
    anchor: Annotated[
        bool,
        typer.Option("--anchor", help="You looked at the rows and want them: small steps are counted from here on."),
    ] = False,
) -> None:
    """Record the version under test in history/, so that later ones are compared with it; commit the file.

    With --anchor a version that was accepted already is confirmed.

    Example: dvc repro && entropylaw accept --name x3 && git add history && git commit
    """
    from entropylaw import __version__
    from entropylaw.repository.results import load_verdict
    from monitor.accept import accept_version, confirm
    from monitor.history import read_history, replace_entry, write_entry

    verdict = load_verdict()
    history = read_history(layout.HISTORY)
    accepted = find_accepted(history, verdict)
    if anchor and accepted is not None and not baseline:
        typer.echo(f"{replace_entry(layout.HISTORY, confirm(accepted))}: {accepted.name} is the anchor")
        return
    waivers = require_approval(verdict, baseline)
    evidence = load_evidence_of(verdict)
    scores = load_scores_of(verdict)
    entry = accept_version(
        verdict,
        evidence,
        name or f"x{max((entry.number for entry in history), default=0) + 1}",
        scores,
        [{"rule": w.rule, "reason": w.reason, "owner": w.owner, "expires": w.expires} for w in waivers],
        baseline,
        __version__,
        anchor,
    )
    told = f"{entry.status}, and the anchor" if anchor else entry.status
    typer.echo(f"{write_entry(layout.HISTORY, entry)}: {entry.name} is {told}")


def find_accepted(history: Sequence[HistoryEntry], verdict: Verdict) -> HistoryEntry | None:
    """The entry of the version under test, where it was accepted already."""
    own = (verdict.version.data_hash, verdict.config_fingerprint)
    return next((entry for entry in history if (entry.data_hash, entry.config_fingerprint) == own), None)


def require_approval(verdict: Verdict, baseline: bool) -> Sequence[Waiver]:
    """The waivers that a verdict is approved under today. Raises EntropylawError, as the gate would, without approval.

    With ``baseline`` a version that could not be assessed is accepted too: nothing has to be compared with it.
    """
    from entropylaw.repository.results import load_waivers
    from monitor.gate import decide_gate

    decision = decide_gate(verdict, load_waivers(), datetime.date.today())
    restart = baseline and verdict.status == "not_assessed"
    if not decision.approved and not restart:
        error = EntropylawError(f"not accepted: {decision.reason}")
        error.exit_code = decision.exit_code
        raise error
    return decision.waivers


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
    """Z by benchmark, where results/evaluation.json is of this version: it may still be of an earlier one."""
    from corpus.artifacts import read_json

    evaluation = read_json(layout.EVALUATION) if layout.EVALUATION.exists() else {}
    return dict(evaluation["z"]) if evaluation.get("data_hash") == verdict.version.data_hash else {}


def show_history(json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """List the accepted versions with what was measured on them.

    Example: entropylaw history
    """
    from corpus.artifacts import to_json
    from monitor.history import anchor_of, read_history
    from reports.words import LEGEND

    entries = read_history(layout.HISTORY)
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
                "data_hash": entry.data_hash,
                "config_fingerprint": entry.config_fingerprint,
                "measurements": entry.measurements,
                "scores": entry.scores,
            }
            for entry in entries
        ]
        sys.stdout.write(to_json(rows))
        return
    if not entries:
        typer.echo("No version has been accepted yet; run `entropylaw accept` after `dvc repro`.")
        return
    typer.echo(f"{'':>3} {'version':<12} {'dataset':<12} {'rows':>8} {'R':>7} {'long R':>7} {'L':>7} {'C':>7}  status")
    for entry in entries:
        for dataset, m in entry.measurements.items():
            numbers = " ".join(f"{value:7.3f}" for value in (m.r, m.r_long, m.l, m.c))
            status = f"{entry.status}, waived" if entry.waived else entry.status
            status += ", anchor" if any(entry is anchor for anchor in anchors) else ""
            scores = "".join(f"  Z({benchmark}) {value:.4f}" for benchmark, value in entry.scores.items())
            typer.echo(f"{entry.number:>3} {entry.name:<12} {dataset:<12} {m.rows:>8} {numbers}  {status}{scores}")
    typer.echo("\n" + "\n".join(LEGEND))


def score(
    version: Annotated[str, typer.Argument(help="The version's name in the history.", show_default=False)],
    benchmark: Annotated[str, typer.Option(help="The benchmark's name.", show_default=False)],
    value: Annotated[float, typer.Option(help="Z, higher is better.", show_default=False)],
) -> None:
    """Record the performance Z of an accepted version that was measured elsewhere.

    Example: entropylaw score x3 --benchmark mt-bench --value 7.08
    """
    from monitor.history import record_score

    typer.echo(f"{record_score(layout.HISTORY, version, benchmark, value)}: {benchmark} {value:g}")


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
    from monitor.waivers import Waiver, add_waiver

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
        typer.echo(f"{layout.WAIVERS}: {item} is waived for {verdict.version.name} until {expires}, by {owner}")
