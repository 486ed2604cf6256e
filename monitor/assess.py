"""From measurements to a verdict: compare each dataset with its parent, apply the rules, name the rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from corpus.errors import NotAssessedError
from corpus.formats import READER
from corpus.row_facts import hashes_of
from monitor.calibration.calibrate import Calibration
from monitor.happened import tell_what_happened
from monitor.history import HistoryEntry, find_own, parent_of
from monitor.law.entropy_law import EntropyLaw, fit_with_versions, summarise_law
from monitor.like_rows.row_reading import read_rows
from monitor.lineage import follows, list_line
from monitor.measures.evidence import Configuration, Evidence, version_hash
from monitor.measures.mixture import list_shifts
from monitor.measures.new_text import measure_new_text
from monitor.measures.row_lengths import measure_lengths
from monitor.measures.row_sources import compare_sources
from monitor.measures.row_split import split_rows
from monitor.rule_params import RuleParams
from monitor.rules.anchor_comparison import Anchor, AnchorComparison, compare_with_anchor, find_anchor
from monitor.rules.apply import AppliedRule, apply_rules
from monitor.rules.drafts import join_words
from monitor.rules.flagged_rows import flag_rows
from monitor.rules.forecast import predict_version_change
from monitor.rules.normal_ranges import predict_ranges
from monitor.rules.parent_comparison import ComparedRows, ParentComparison, compare_with_parent
from monitor.rules.scored_versions import HELDOUT, list_scored_versions
from monitor.sound_inputs import require_plausible, require_sound, require_sound_entry
from monitor.verdict import (
    SCORED_DATASET,
    DatasetChanges,
    Forecast,
    Measurements,
    RuleResult,
    Status,
    Verdict,
    Version,
    worst,
)

# So many steps from version to version, the last ones, say how far the mixture of sources moves here.
PAST_STEPS = 10


@dataclass(frozen=True)
class ComparedDataset:
    """A dataset that both the version and its parent have: what was measured, what changed, what the rules look at.

    ``anchor``: the dataset against the anchor, or why it is not compared with one.
    """

    rows: ComparedRows
    now: Measurements
    changes: DatasetChanges
    comparison: ParentComparison
    anchor: AnchorComparison | str


@dataclass(frozen=True)
class Judgement:
    """A verdict and what it was made of: the datasets that were compared, and every rule's result with its draft.

    Both are empty where the version was compared with nothing.
    """

    verdict: Verdict
    compared: tuple[ComparedDataset, ...] = ()
    applied: tuple[AppliedRule, ...] = ()


def assess_version(
    evidence: Sequence[Evidence],
    calibration: Calibration,
    history: Sequence[HistoryEntry],
    configuration: Configuration,
    params: RuleParams,
    tool_version: str,
) -> Verdict:
    """Compare a version with its parent in ``history`` and decide; see ``judge_evidence``."""
    return judge_evidence(evidence, calibration, history, configuration, params, tool_version).verdict


def judge_evidence(
    evidence: Sequence[Evidence],
    calibration: Calibration,
    history: Sequence[HistoryEntry],
    configuration: Configuration,
    params: RuleParams,
    tool_version: str,
) -> Judgement:
    """Compare a version with its parent in ``history`` and decide.

    The first version is a ``baseline``. A history in which nothing is comparable gives ``not_assessed``: changing
    the configuration must not open the gate. Where a person began anew with this very version, under this
    configuration, that answers what could not be assessed, and nothing else: what is risky stays so.

    Raises NotAssessedError where a measurement, the calibration or the parent's entry is not whole: of other data, of
    another configuration, or not a number.
    """
    for item in evidence:
        require_sound(item)
    require_plausible(calibration)
    recorded, history = history, list_read_alike(history, evidence)
    data_hash = version_hash({item.dataset: item.data_hash for item in evidence})
    config_fingerprint = configuration.fingerprint()
    law = fit_with_versions(calibration.points, list_scored_versions(history, config_fingerprint, data_hash))
    parent = parent_of(history, config_fingerprint, data_hash, lambda entry: count_changed_rows(entry, evidence))
    own = find_own(history, config_fingerprint, data_hash)
    start = own if own is not None and own.status == "baseline" else None
    # The verdict on a version without a parent. With one, what the comparison finds replaces these fields.
    alone = Verdict(
        status="baseline",
        summary=f"First version: measured, nothing to compare it with yet.{tell_leaks(evidence)}",
        version=Version(data_hash[:8], data_hash, sum(len(item.records) for item in evidence)),
        parent=None,
        rules=(),
        measurements={item.dataset: measure(item) for item in evidence},
        parent_measurements={},
        forecast=None,
        law=summarise_law(law, calibration.curves),
        rows=(),
        config_fingerprint=config_fingerprint,
        tool_version=tool_version,
        changes={
            item.dataset: describe_rows(item)
            for item in evidence
            if parent is None or item.dataset not in parent.datasets
        },
    )
    if parent is not None:
        require_sound_entry(parent)
        anchor = find_anchor(history, parent, data_hash)
        if not isinstance(anchor, str):
            require_sound_entry(anchor.entry)
        line = list_line(history, parent, data_hash)[-PAST_STEPS - 1 :]
        shifts = {
            item.dataset: list_shifts([entry.rows_by_source(item.dataset) for entry in line]) for item in evidence
        }
        compared = [
            compare_dataset(item, parent, anchor, calibration, configuration, params, shifts[item.dataset])
            for item in evidence
            if item.dataset in parent.datasets
        ]
        # Who began anew without this parent in sight did not decide about it.
        known = start if start is not None and follows(history, start, parent) else None
        anchors = {part.comparison.dataset: part.anchor for part in compared}
        applied = apply_rules([part.comparison for part in compared], calibration, law, params, anchors)
        verdict = decide_version(alone, compared, applied, parent, law, known)
        return Judgement(verdict, tuple(compared), applied)
    others = [entry for entry in recorded if entry.data_hash != data_hash]
    if not others:
        return Judgement(alone)
    if start is not None:
        alone = replace(alone, summary=f"A new start, by decision: {tell_start(start)} Nothing was compared with it.")
        return Judgement(alone)
    read_anew = 0 if len(history) == len(recorded) else sum(item.rows_read_anew for item in evidence)
    unknown = explain_no_parent(others, config_fingerprint, read_anew)
    return Judgement(replace(alone, status="not_assessed", summary=unknown))


def tell_leaks(evidence: Sequence[Evidence]) -> str:
    """What the verdict on a first version says of near copies of held-out rows; no rule asks about it."""
    found = [(item.dataset, item.leaks) for item in evidence if item.leaks is not None and item.leaks.leaked]
    return "".join(
        f" In {dataset}, {leaks.leaked:,} of {leaks.rows:,} rows are near copies of rows that models are evaluated on."
        for dataset, leaks in found
    )


def list_read_alike(history: Sequence[HistoryEntry], evidence: Sequence[Evidence]) -> list[HistoryEntry]:
    """The versions whose rows were read as the present ones are.

    A row of which an earlier edition of `corpus.formats` passed over a part has another hash now, although nobody
    edited it. Where there are such rows, versions that were read by that edition are of another configuration.
    """
    if not any(item.rows_read_anew for item in evidence):
        return list(history)
    return [entry for entry in history if entry.reader >= READER]


def compare_dataset(
    item: Evidence,
    parent: HistoryEntry,
    anchor: Anchor | str,
    calibration: Calibration,
    configuration: Configuration,
    params: RuleParams,
    past_shifts: tuple[float, ...] = (),
) -> ComparedDataset:
    """Compare one dataset with the parent's dataset of the same name, which must exist. ``past_shifts``: how far the
    sources' shares moved from each accepted version to the next.
    """
    reference = parent.datasets[item.dataset]
    hashes = hashes_of(item.records)
    difference = reference.sketch.difference(hashes)
    split = split_rows(hashes, reference.sketch)
    # Where it is not known whether the parent had a row, its text counts as old.
    new_text = measure_new_text(item.records, (~split.is_added).tolist(), configuration.compression)
    now = replace(
        measure(item),
        added=difference.added,
        removed=difference.removed,
        kept=difference.kept,
        added_r_long=new_text.r_long if new_text else None,
    )
    rows = ComparedRows(item, split, configuration.compression, read_rows(item.records, split.is_kept, split.is_added))
    before = parent.measurements[item.dataset]
    comparison = compare_with_parent(rows, now, before, reference, calibration.params, params)
    comparison = replace(comparison, past_shifts=past_shifts)
    changes = DatasetChanges(
        compare_sources(item.records, split.is_kept, split.is_added, reference.sources),
        measure_lengths(item.records, {"kept": split.is_kept, "added": split.is_added}),
        predict_ranges(comparison, calibration, params.false_alarm_rate),
    )
    since_anchor = compare_with_anchor(rows, now, anchor, calibration.params, params)
    return ComparedDataset(rows, now, changes, comparison, since_anchor)


def decide_version(
    alone: Verdict,
    compared: Sequence[ComparedDataset],
    applied: Sequence[AppliedRule],
    parent: HistoryEntry,
    law: EntropyLaw,
    start: HistoryEntry | None = None,
) -> Verdict:
    """The verdict on a version that has a parent. ``alone``: the same verdict before the comparison. ``start``: its own
    entry in the history, where a person began anew with it.
    """
    rules = (*refuse_new_datasets(alone, parent), *(rule.result for rule in applied))
    status = worst([rule.status for rule in rules])
    summary = summarise(status, rules, parent.name)
    if start is not None and any(rule.status == "not_assessed" for rule in rules):
        rules = tuple(answer_unassessed(rule, start) for rule in rules)
        status = worst([rule.status for rule in rules])
        found = "A new start, by decision:" if status == "pass" else summarise(status, rules, parent.name)
        status, summary = "baseline" if status == "pass" else status, f"{found} {tell_start(start)}"
    rows = tuple(
        row
        for part in compared
        for row in flag_rows(part.rows, applied, None if isinstance(part.anchor, str) else part.anchor.rows)
    )
    measurements = alone.measurements | {part.comparison.dataset: part.now for part in compared}
    changes = alone.changes | {part.comparison.dataset: part.changes for part in compared}
    happened = tell_what_happened(applied, status, rows, changes)
    return replace(
        alone,
        status=status,
        summary=f"{happened} {summary}".lstrip(),
        parent=Version(parent.name, parent.data_hash, parent.rows),
        rules=rules,
        measurements=measurements,
        parent_measurements=dict(parent.measurements),
        forecast=forecast_version([part.comparison for part in compared], law, parent),
        rows=rows,
        changes={dataset: changes[dataset] for dataset in measurements},
    )


def refuse_new_datasets(alone: Verdict, parent: HistoryEntry) -> list[RuleResult]:
    """A result for each dataset that the parent does not have: not assessed, and what to do about it."""
    return [
        RuleResult(
            "redundancy",
            dataset,
            "not_assessed",
            f"{parent.name} has no dataset {dataset!r}; accept a version that has it with "
            "`entropylaw accept --baseline`.",
        )
        for dataset in alone.measurements
        if dataset not in parent.datasets
    ]


def answer_unassessed(rule: RuleResult, start: HistoryEntry) -> RuleResult:
    """The result of a rule that could not run, once a person began anew with the version; others stay as they are."""
    if rule.status != "not_assessed":
        return rule
    return replace(rule, status="skipped", reason=f"Could not be assessed: {rule.reason} {tell_start(start)}")


def tell_start(start: HistoryEntry) -> str:
    """Who began anew with a version, and why, as far as it was recorded."""
    if not start.start:
        return f"{start.name} was accepted as a baseline."
    return f"{start.name} was accepted as a baseline by {start.start['owner']} ({start.start['reason']})."


def count_changed_rows(entry: HistoryEntry, evidence: Sequence[Evidence]) -> float:
    """How many rows lie between an accepted version and the measured one: added, removed, or of a dataset that only one
    of them has.
    """
    measured = {item.dataset: hashes_of(item.records) for item in evidence}
    changed = sum(reference.sketch.rows for name, reference in entry.datasets.items() if name not in measured)
    for name, hashes in measured.items():
        reference = entry.datasets.get(name)
        difference = reference.sketch.difference(hashes) if reference else None
        changed += difference.added + difference.removed if difference else len(hashes)
    return changed


def explain_no_parent(others: Sequence[HistoryEntry], config_fingerprint: str, rows_read_anew: int = 0) -> str:
    """Why a version cannot be compared with any of the ``others`` in the history, and what to do about it.

    ``rows_read_anew``: of the version, where some of the others were read by an earlier edition of `corpus.formats`.
    """
    restart = "or start a new baseline with `entropylaw accept --baseline`."
    if rows_read_anew:
        return (
            f"The versions in the history were read by an earlier version of the tool, which passed over a part of "
            f"{rows_read_anew} of these rows: system texts, histories, tools, reasoning or masks. That is another "
            f"configuration. Measure them again with `entropylaw backfill`, {restart}"
        )
    if any(entry.config_fingerprint == config_fingerprint for entry in others):
        return (
            "Every comparable version in the history was released under a waiver and is no reference. "
            f"Go back to data that needs none, {restart}"
        )
    none = f"None of the {len(others)} other versions in the history was"
    if len(others) == 1:
        none = "The other version in the history was not"
    return (
        f"{none} measured with this configuration "
        f"(codec, probe or base model changed). Restore the configuration, {restart}"
    )


def measure(item: Evidence) -> Measurements:
    """What was measured on a dataset, without its parent. Raises NotAssessedError where a measure is not a number."""
    measured = {
        "R": item.compression.r,
        "long R": item.compression.r_long,
        "L": item.l,
        "C": item.consistency.agreement,
    }
    for name, value in measured.items():
        if not math.isfinite(value):
            raise NotAssessedError(f"{item.dataset}: {name} could not be measured, so nothing is compared")
    return Measurements(
        rows=len(item.records),
        r=item.compression.r,
        r_long=item.compression.r_long,
        l=item.l,
        c=item.consistency.agreement,
        near_duplicates=item.consistency.near_duplicates,
        contradictions=item.consistency.contradictions,
        read_share=item.read_share,
        unread=item.unread,
        q=item.grades.summary.mean if item.grades else None,
        second_loss=item.second.mean if item.second else None,
    )


def describe_rows(item: Evidence) -> DatasetChanges:
    """The sources and lengths of the rows of a dataset without a parent."""
    everything = np.ones(len(item.records), dtype=bool)
    return DatasetChanges(compare_sources(item.records), measure_lengths(item.records, {"all": everything}))


def summarise(status: Status, rules: Sequence[RuleResult], parent: str) -> str:
    """The verdict in one sentence."""
    if status == "pass":
        return f"No rule found more than benign updates do, against {parent}."
    named: dict[str, list[str]] = {}
    for rule in rules:
        if rule.status == status:
            named.setdefault(rule.dataset, []).append(rule.id.replace("_", " "))
    where = "; ".join(f"{join_words(list(dict.fromkeys(ids)))} in {dataset}" for dataset, ids in named.items())
    words = {"risky": "Stopped", "warn": "Worth a look", "not_assessed": "Could not be assessed"}[status]
    return f"{words}, against {parent}: {where}."


def forecast_version(comparisons: Sequence[ParentComparison], law: EntropyLaw, parent: HistoryEntry) -> Forecast | None:
    """Z of this version from its parent's Z and the law's change; None where the law or the parent's Z is missing."""
    z = parent.scores.get(HELDOUT)
    scored = [comparison for comparison in comparisons if comparison.dataset == SCORED_DATASET]
    if z is None or not law.holds or not scored:
        return None
    change = predict_version_change(scored[0], law)
    return Forecast(HELDOUT, z + change.value, z + change.low, z + change.high)
