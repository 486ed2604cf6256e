"""From measurements to a verdict: compare the version with its parent, apply the rules, name the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.records import Preference
from monitor.calibration.calibrate import Calibration
from monitor.calibration.own_updates import measure_own_updates
from monitor.history import DatasetReference, HistoryEntry, parent_of
from monitor.law.entropy_law import EntropyLaw, describe_law, fit_entropy_law
from monitor.measures.evidence import Configuration, Evidence, first_copies, locate_probe_rows, version_hash
from monitor.measures.new_text import measure_new_text
from monitor.measures.preferences import PairReference, compare_answers, compare_pairs, fit_direction
from monitor.measures.row_lengths import measure_lengths
from monitor.measures.row_sketch import RowSketch
from monitor.measures.row_sources import compare_sources, count_sources
from monitor.outliers.odd_rows import mark_rows
from monitor.rule_params import RuleParams
from monitor.rules.apply import Comparison, apply_rules, predict_version_change
from monitor.rules.flagged_rows import flag_rows
from monitor.rules.normal_ranges import predict_ranges
from monitor.verdict import (
    SCORED_DATASET,
    DatasetChanges,
    Forecast,
    Measurements,
    RuleResult,
    RuleStatus,
    Status,
    Verdict,
    Version,
    worst,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


# The scale of Z that every pipeline measures.
HELDOUT = "heldout"


def assess_version(
    evidence: Sequence[Evidence],
    calibration: Calibration,
    history: Sequence[HistoryEntry],
    configuration: Configuration,
    params: RuleParams,
    tool_version: str,
) -> Verdict:
    """Compare a version with its parent in ``history`` and decide.

    The first version is a ``baseline``. A history in which nothing is comparable gives ``not_assessed``: changing
    the configuration must not open the gate.
    """
    data_hash = version_hash({item.dataset: item.data_hash for item in evidence})
    config_fingerprint = configuration.fingerprint()
    law = fit_entropy_law(calibration.points)
    rows = sum(len(item.records) for item in evidence)
    version = Version(data_hash[:8], data_hash, rows)
    parent = parent_of(history, config_fingerprint, data_hash)
    others = [entry for entry in history if entry.data_hash != data_hash]

    def verdict(status: Status, summary: str, **parts: Any) -> Verdict:
        return Verdict(
            status=status,
            summary=summary,
            version=version,
            parent=Version(parent.name, parent.data_hash, parent.rows) if parent else None,
            law=describe_law(law, calibration.curves),
            config_fingerprint=config_fingerprint,
            tool_version=tool_version,
            **{"forecast": None, "rows": (), "rules": (), "parent_measurements": {}, **parts},
        )

    if parent is None:
        alone = {
            "measurements": {item.dataset: measure(item) for item in evidence},
            "changes": {item.dataset: describe_rows(item) for item in evidence},
        }
        if not others:
            return verdict("baseline", "First version: measured, nothing to compare it with yet.", **alone)
        return verdict("not_assessed", explain_no_parent(others, config_fingerprint), **alone)

    comparisons, measurements, changes = [], {}, {}
    additions: dict[str, NDArray[np.bool_]] = {}
    unmatched: list[RuleResult] = []
    for item in evidence:
        reference = parent.datasets.get(item.dataset)
        if reference is None:
            measurements[item.dataset] = measure(item)
            changes[item.dataset] = describe_rows(item)
            unmatched.append(
                RuleResult(
                    "redundancy", item.dataset, "not_assessed", f"{parent.name} has no dataset {item.dataset!r}; "
                    "accept a version that has it with `entropylaw accept --baseline`.",
                )
            )  # fmt: skip
            continue
        hashes = [row_hash for _, row_hash in item.records]
        difference = reference.sketch.difference(hashes)
        # None (outside the sketch's sample) is neither kept nor added: it is left out of the comparison.
        known = reference.sketch.contains(hashes)
        is_kept = np.array([flag is True for flag in known], dtype=bool)
        is_added = np.array([flag is False for flag in known], dtype=bool)
        new_text = measure_new_text(item.records, (~is_added).tolist(), configuration.compression)
        now = replace(
            measure(item, difference.added, difference.removed, difference.kept),
            added_r_long=new_text.r_long if new_text else None,
        )
        measurements[item.dataset] = now
        additions[item.dataset] = is_added
        comparison = compare(item, reference, parent.measurements[item.dataset], now, is_kept, is_added)
        marks = mark_rows(item.records, is_kept, is_added, first_copies(hashes), params)
        comparison = replace(comparison, marks=marks)
        if comparison.pairs is not None:
            # Rows of preferences are shorter than conversations: R moves more under benign updates of them.
            stayed = [row for row, flag in zip(item.records, is_kept & first_copies(hashes), strict=True) if flag]
            own_updates = measure_own_updates(stayed or item.records, configuration.compression)
            comparison = replace(comparison, own_updates=own_updates)
        comparisons.append(comparison)
        changes[item.dataset] = DatasetChanges(
            compare_sources(item.records, is_kept, is_added, reference.sources),
            measure_lengths(item.records, {"kept": is_kept, "added": is_added}),
            predict_ranges(comparison, calibration, params.false_alarm_rate),
        )

    compared = {comparison.dataset: comparison for comparison in comparisons}
    rules = unmatched + list(apply_rules(comparisons, calibration, law, params))
    statuses: list[RuleStatus] = [rule.status for rule in rules]
    status = worst(statuses)
    return verdict(
        status,
        summarise(status, rules, parent.name),
        measurements=measurements,
        changes=changes,
        parent_measurements=dict(parent.measurements),
        rules=tuple(rules),
        forecast=forecast_version(comparisons, law, parent),
        rows=tuple(
            row
            for item in evidence
            if item.dataset in additions
            for row in flag_rows(
                item, compared[item.dataset], additions[item.dataset], rules, configuration.compression, params
            )
        ),
    )


def explain_no_parent(others: Sequence[HistoryEntry], config_fingerprint: str) -> str:
    """Why no version of a history that has some can be compared with."""
    restart = "or start a new baseline with `entropylaw accept --baseline`."
    if any(entry.config_fingerprint == config_fingerprint for entry in others):
        return (
            "Every comparable version in the history was released under a waiver and is no reference. "
            f"Go back to data that needs none, {restart}"
        )
    return (
        f"None of the {len(others)} versions in the history was measured with this configuration "
        f"(codec, probe or base model changed). Restore the configuration, {restart}"
    )


def measure(
    item: Evidence, added: int | None = None, removed: int | None = None, kept: int | None = None
) -> Measurements:
    return Measurements(
        rows=len(item.records),
        r=item.compression.r,
        r_long=item.compression.r_long,
        l=item.l,
        c=item.consistency.agreement,
        added=added,
        removed=removed,
        kept=kept,
        near_duplicates=item.consistency.near_duplicates,
        contradictions=item.consistency.contradictions,
    )


def describe_rows(item: Evidence) -> DatasetChanges:
    """What can be said of the rows of a dataset that has no parent."""
    everything = np.ones(len(item.records), dtype=bool)
    return DatasetChanges(compare_sources(item.records), measure_lengths(item.records, {"all": everything}))


def compare(
    item: Evidence,
    reference: DatasetReference,
    before: Measurements,
    now: Measurements,
    is_kept: NDArray[np.bool_],
    is_added: NDArray[np.bool_],
) -> Comparison:
    """Split what was measured per row into rows the parent had and rows it did not have.

    Where a version shares almost nothing with its parent, the parent's own rows, kept in the history, stand in.
    """
    probed = locate_probe_rows(item)
    # Copies of one row say the same thing twice: they are no more evidence than the row itself.
    is_first = first_copies([row_hash for _, row_hash in item.records])
    first_probed = first_copies(item.probe_hashes)
    loss_kept = item.probe_losses[is_kept[probed] & first_probed]
    agreement_kept = item.row_agreement[is_kept & is_first]
    if len(loss_kept) < 30:
        loss_kept = np.array(reference.probe_losses)
    if np.count_nonzero(~np.isnan(agreement_kept)) < 30 and reference.agreement_n >= 10:
        # Only mean and deviation of the parent's rows are stored: as many values that have exactly these.
        signs = np.resize([1.0, -1.0], reference.agreement_n)
        standard = (signs - signs.mean()) / signs.std(ddof=1)
        agreement_kept = reference.agreement_mean + reference.agreement_sd * standard
    return Comparison(
        dataset=item.dataset,
        now=now,
        before=before,
        loss_kept=loss_kept,
        loss_added=item.probe_losses[is_added[probed] & first_probed],
        agreement_kept=agreement_kept,
        agreement_added=item.row_agreement[is_added & is_first],
        probed=int(np.count_nonzero((is_kept | is_added)[probed])),
        probed_added=int(np.count_nonzero(is_added[probed])),
        pairs=None
        if item.agreement.ndim == 1
        else compare_pairs(
            item.records, item.agreement, reference.sketch, reference.pairs, is_kept & is_first, is_added & is_first
        ),
    )


def summarise(status: Status, rules: Sequence[RuleResult], parent: str) -> str:
    """One sentence: what was found, or that nothing was."""
    if status == "pass":
        return f"No rule found more than benign updates do, against {parent}."
    named = [rule for rule in rules if rule.status == status]
    where = "; ".join(dict.fromkeys(f"{rule.id.replace('_', ' ')} in {rule.dataset}" for rule in named))
    words = {"risky": "Stopped", "warn": "Worth a look", "not_assessed": "Could not be assessed"}[status]
    return f"{words}, against {parent}: {where}."


def forecast_version(comparisons: Sequence[Comparison], law: EntropyLaw, parent: HistoryEntry) -> Forecast | None:
    """Z of this version from its parent's Z and the law's change; None where the law or the parent's Z is missing."""
    z = parent.scores.get(HELDOUT)
    scored = [comparison for comparison in comparisons if comparison.dataset == SCORED_DATASET]
    if z is None or not law.holds or not scored:
        return None
    change = predict_version_change(scored[0], law)
    return Forecast(HELDOUT, z + change.value, z + change.low, z + change.high)


def describe_pairs(item: Evidence) -> PairReference | None:
    """What the next version needs to know of this one's pairs; None of conversations."""
    if item.agreement.ndim == 1:
        return None
    records = [record for record, _ in item.records]
    pairs = sum(isinstance(record, Preference) for record in records)
    return PairReference(
        pairs, item.consistency.flipped_pairs or 0, fit_direction(compare_answers(records, item.agreement))
    )


def accept_version(
    verdict: Verdict,
    evidence: Sequence[Evidence],
    name: str,
    scores: dict[str, float],
    waivers: Sequence[dict[str, str]],
    as_baseline: bool,
    tool_version: str,
) -> HistoryEntry:
    """What the history keeps of an accepted version: numbers, row sketch and probe, never text.

    A new baseline carries its waivers but does not count as waived: later versions are compared with it.
    """
    return HistoryEntry(
        name=name,
        data_hash=verdict.version.data_hash,
        config_fingerprint=verdict.config_fingerprint,
        status="baseline" if as_baseline else verdict.status,
        waived=bool(waivers) and not as_baseline,
        waivers=tuple(waivers),
        rows=verdict.version.rows,
        measurements=dict(verdict.measurements),
        datasets={
            item.dataset: DatasetReference(
                data_hash=item.data_hash,
                sketch=RowSketch.of(row_hash for _, row_hash in item.records),
                probe_hashes=tuple(item.probe_hashes),
                probe_losses=tuple(item.probe_losses.tolist()),
                agreement_mean=item.consistency.agreement,
                agreement_sd=item.consistency.agreement_sd,
                agreement_n=item.consistency.measured,
                pairs=describe_pairs(item),
                sources=count_sources(record.source for record, _ in item.records),
            )
            for item in evidence
        },
        scores=scores,
        tool_version=tool_version,
    )
