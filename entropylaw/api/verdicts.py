"""Two measured versions side by side, and a version against the history of accepted ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from corpus.errors import EntropylawError, NotAssessedError
from entropylaw.api.measures import MeasuredDataset
from entropylaw.version import __version__
from monitor import accept, assess, version_diff
from monitor.calibration.calibrate import Calibration
from monitor.history import HistoryEntry, write_entry
from monitor.measures.evidence import Configuration, version_hash
from monitor.verdict import Verdict
from monitor.version_diff import MeasuredFile, VersionComparison


def compare_versions(
    a: MeasuredDataset, b: MeasuredDataset, calibration: Calibration | None = None, names: tuple[str, str] = ("A", "B")
) -> VersionComparison:
    """The numbers of two versions of a dataset, the rows between them, and how much new the added rows say.

    ``a`` is the earlier one; changes are B minus A. With a ``calibration`` the rules of the verdict are asked about the
    change, for which both versions need L; without one ``rules`` is None.

    Raises EntropylawError when one holds conversations and the other preferences, and when they were measured with
    different settings; NotAssessedError when the rules are asked for and L is missing or of another base model.

    >>> from entropylaw import Conversation, Message, compare_versions, measure_rows, prepare_records
    >>> records = [
    ...     Conversation((Message("user", f"What is {n} + 1?"), Message("assistant", f"It is {n + 1}.")), row=n)
    ...     for n in range(1, 21)
    ... ]
    >>> before, after = (measure_rows(prepare_records(part).rows) for part in (records[:15], records[5:]))
    >>> comparison = compare_versions(before, after)
    >>> comparison.rows
    RowDifference(added=5, removed=5, kept=10)
    >>> comparison.change.rows, comparison.rules
    (0, None)
    """
    if a.evidence.dataset != b.evidence.dataset:
        raise EntropylawError("compare_versions: one version holds conversations and the other preferences")
    _require_same_settings("compare_versions", (a, b))
    rules = None
    if calibration is not None:
        configuration = _configure("compare_versions", (a, b), calibration)
        params = a.settings.rules
        rules = version_diff.apply_rules_to_change(
            a.evidence, b.evidence, calibration, configuration, params, __version__
        )
    sides = [MeasuredFile(name, None, {}, side.evidence) for name, side in zip(names, (a, b), strict=True)]
    return version_diff.compare_versions(sides[0], sides[1], a.settings.compression, rules)


def assess_version(
    datasets: Sequence[MeasuredDataset], calibration: Calibration, history: Sequence[HistoryEntry] = ()
) -> Verdict:
    """Judge a version against its parent: the last comparable version in ``history`` (see `read_history`).

    After a merge of branches that each accepted one, it is the one whose rows are nearest.

    ``datasets``: conversations, preferences or one of each, all with L. The verdict's ``status`` is `baseline` (there
    is no history yet), `pass`, `warn`, `risky`, or `not_assessed`, which is never to be read as a pass: then no entry
    of the history was measured with the same settings and base model, or a rule could not run. ``rules`` holds each
    rule's reason and numbers, ``rows`` the added rows that are responsible, by their numbers in the data file.

    Raises EntropylawError when two datasets are of one kind or were measured with different settings, and
    NotAssessedError when a dataset has no L, or one from another base model than the calibration.
    """
    kinds = [item.evidence.dataset for item in datasets]
    if not kinds or len(set(kinds)) < len(kinds):
        raise EntropylawError("assess_version: expected one dataset of each kind, at least one")
    _require_same_settings("assess_version", datasets)
    configuration = _configure("assess_version", datasets, calibration)
    evidence = [item.evidence for item in datasets]
    return assess.assess_version(evidence, calibration, history, configuration, datasets[0].settings.rules, __version__)


def accept_version(
    verdict: Verdict,
    datasets: Sequence[MeasuredDataset],
    name: str,
    folder: str | Path = "history",
    scores: Mapping[str, float] | None = None,
    as_baseline: bool = False,
    as_anchor: bool = False,
) -> Path:
    """Add an assessed version to the history, so that later ones are compared with it; returns the file it wrote.

    The file holds numbers and hashes, no text. ``scores``: Z by benchmark, higher is better; `heldout` is what the
    verdict forecasts. ``as_baseline``: start anew, where the verdict is `not_assessed` because the configuration
    changed. ``as_anchor``: a person confirmed the rows, and small steps of later versions are counted from here.
    A risky version can be accepted only by the command, which asks for a waiver.

    Raises EntropylawError when the verdict does not allow it or is of other data, and when the history has this data
    or this name already.
    """
    allowed = ("baseline", "pass", "warn", "not_assessed") if as_baseline else ("baseline", "pass", "warn")
    if verdict.status not in allowed:
        error = EntropylawError(f"accept_version: {name} is {verdict.status}: {verdict.summary}")
        error.exit_code = 1 if verdict.status == "risky" else 3
        raise error
    evidence = [item.evidence for item in datasets]
    if version_hash({item.dataset: item.data_hash for item in evidence}) != verdict.version.data_hash:
        raise EntropylawError("accept_version: the verdict is of other data than these datasets")
    entry = accept.accept_version(verdict, evidence, name, dict(scores or {}), (), as_baseline, __version__, as_anchor)
    return write_entry(folder, entry)


def _require_same_settings(what: str, datasets: Sequence[MeasuredDataset]) -> None:
    ways = {(item.settings.compression, item.settings.consistency, item.settings.probe) for item in datasets}
    if len(ways) > 1:
        raise EntropylawError(
            f"{what}: the datasets were measured with different settings (compression, consistency or probe)"
        )


def _configure(what: str, datasets: Sequence[MeasuredDataset], calibration: Calibration) -> Configuration:
    """What the measures depend on. Raises NotAssessedError unless all have L, from the calibration's base model."""
    for item in datasets:
        if item.base_identity is None:
            raise NotAssessedError(f"{what}: {item.evidence.dataset} has no L; call measure_loss first")
        if item.base_identity != calibration.base_identity:
            raise NotAssessedError(
                f"{what}: L of {item.evidence.dataset} is from another base model than the calibration"
            )
    settings = datasets[0].settings
    return Configuration(settings.compression, settings.consistency, settings.probe, calibration.base_identity)
