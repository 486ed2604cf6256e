"""Compares a verdict with the small files of the repository that it was made from, so that an edited one is found.

`dvc.lock` says which files belong together, but whoever edits one can have DVC record it. So the verdict is also held
against the results that it was made of, `params.yaml` and the history: these would all have to be edited to match.
`check --verify` goes on from there and judges the version again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.artifacts import read_json, to_json
from corpus.errors import EntropylawError, NotAssessedError
from corpus.formats import READER
from corpus.params import read_section
from entropylaw.repository import layout
from entropylaw.repository.datasets import read_datasets
from entropylaw.repository.evaluation_sets import ContaminationParams
from entropylaw.repository.lockfile import LOCK_FILE, read_lock
from entropylaw.repository.pipeline_folder import is_pipeline
from entropylaw.repository.results import load_calibration, load_configuration
from monitor.gate import REASSESS
from monitor.history import HistoryEntry, find_own
from monitor.lineage import list_parents
from monitor.measures.evidence import version_hash
from monitor.rules.registry import list_rules
from monitor.verdict import Measurements, Verdict
from monitor.verdict_consistency import find_contradiction

# What of a dataset's measurements stands in which result, and under which key.
MEASURED: dict[str, dict[str, str]] = {
    "prepare.json": {"rows": "rows_kept"},
    "compression.json": {"rows": "rows", "r": "r", "r_long": "r_long"},
    "consistency.json": {
        "rows": "rows",
        "c": "agreement",
        "near_duplicates": "near_duplicates",
        "contradictions": "contradictions",
    },
    "probe.json": {"l": "l", "read_share": "tokens_read_share"},
}


@dataclass(frozen=True)
class Difference:
    """What does not belong: the file, what is wrong with it, and what to do."""

    path: Path
    cause: str
    todo: str = REASSESS

    def __str__(self) -> str:
        return f"{self.path}: {self.cause}; {self.todo}"


def require_recomputed(path: Path, verdict: Verdict, history: tuple[HistoryEntry, ...]) -> None:
    """Raise NotAssessedError, naming the file, unless the verdict in ``path`` is what the results, the parameters and
    the ``history`` here say.

    A verdict that lies elsewhere, or that no pipeline made, is held against nothing but itself.
    """
    if contradiction := find_contradiction(verdict, list_rules()):
        raise NotAssessedError(str(Difference(path, f"does not hold: {contradiction}")))
    if Path(os.path.relpath(path)) != layout.VERDICT or not (is_pipeline(Path()) and LOCK_FILE.exists()):
        return
    for difference in list_differences(path, verdict, history):
        raise NotAssessedError(str(difference))


def list_differences(path: Path, verdict: Verdict, history: tuple[HistoryEntry, ...]) -> Iterator[Difference]:
    """Whatever the verdict says and the files here do not, the causes first."""
    read = {file for stage in read_lock(REASSESS) if path.as_posix() in stage.outs for file in stage.deps}
    datasets = sorted(read_datasets())
    if sorted(verdict.measurements) != datasets:
        found = f"is about {', '.join(sorted(verdict.measurements)) or 'no dataset'}"
        yield Difference(path, f"{found}, and params.yaml has {', '.join(datasets)}")
        return
    hashes: dict[str, str] = {}
    read_anew = 0
    for dataset in datasets:
        for name, keys in MEASURED.items():
            file = layout.result(dataset, name)
            if not file.exists() and file.as_posix() not in read:
                continue
            result = _read_result(file)
            if name == "prepare.json":
                hashes[dataset] = str(result.get("data_hash"))
                read_anew += result.get("rows_read_anew", 0)
                if unasked := list_unasked_sets(result):
                    cause = f"no near copies of {', '.join(unasked)} were looked for"
                    yield Difference(file, cause, "run `dvc repro --force prepare`")
            measured = verdict.measurements[dataset]
            if other := [key for key, named in keys.items() if not _is_same(getattr(measured, key), result.get(named))]:
                yield Difference(path, f"{', '.join(other)} of {dataset} are not what {file} says")
    if sorted(hashes) == datasets:
        if version_hash(hashes) != verdict.version.data_hash:
            yield Difference(path, f"is of other data than {layout.result(datasets[0], 'prepare.json')} says")
        if verdict.version.rows != sum(measured.rows for measured in verdict.measurements.values()):
            yield Difference(path, "counts other rows in the version than in its datasets")
    if layout.CALIBRATION.exists() or layout.CALIBRATION.as_posix() in read:
        fingerprint = load_configuration(load_calibration(), datasets).fingerprint()
        if fingerprint != verdict.config_fingerprint:
            cause = f"config_fingerprint is {verdict.config_fingerprint}, and that of params.yaml and {layout.RESULTS}"
            yield Difference(path, f"{cause} is {fingerprint}", "run `dvc repro`")
    for entry in history:
        parts = entry.dataset_hashes
        if parts and version_hash(parts) != entry.data_hash:
            cause = f"data_hash of {entry.name} is not that of its datasets"
            yield Difference(layout.HISTORY, cause, "restore it from Git")
    if problem := find_other_parent(verdict, history, read_anew > 0):
        yield Difference(path, problem)


def list_unasked_sets(prepared: Mapping[str, Any]) -> list[str]:
    """The sets that params.yaml names and of which prepare.json, as JSON has it, knows nothing."""
    leaks = prepared.get("leaks")
    looked_for = leaks.get("sets", {}) if isinstance(leaks, dict) else {}
    return [name for name in read_section(ContaminationParams, "contamination").sets if name not in looked_for]


def find_other_parent(verdict: Verdict, history: tuple[HistoryEntry, ...], read_anew: bool) -> str | None:
    """What is wrong with the version that a verdict was compared with, by the history; None where nothing is.

    ``read_anew``: whether earlier editions of `corpus.formats` passed over a part of the version's rows.
    """
    recorded, history = history, tuple(entry for entry in history if not read_anew or entry.reader >= READER)
    fingerprint, data_hash = verdict.config_fingerprint, verdict.version.data_hash
    own = find_own(history, fingerprint, data_hash)
    begun = own is not None and own.status == "baseline"
    parents = list_parents(history, fingerprint, data_hash)
    if verdict.parent is None:
        if verdict.status != "baseline" or begun:
            return None
        others = [entry.name for entry in recorded if entry.data_hash != data_hash]
        return f"is a baseline, and {layout.HISTORY} has {', '.join(others[:3])}" if others else None
    named = (verdict.parent.data_hash, verdict.parent.rows)
    same = [entry for entry in parents if (entry.data_hash, entry.rows) == named]
    if not same:
        return f"names a parent, {verdict.parent.name}, that is not the one to compare with in {layout.HISTORY}"
    if not any(_is_same(verdict.parent_measurements, entry.measurements) for entry in same):
        return f"says of its parent {verdict.parent.name} what its entry in {layout.HISTORY} does not"
    if verdict.status == "baseline" and not begun:
        return f"is a baseline with a parent, and {layout.HISTORY} has no new start of this version"
    return None


def _read_result(file: Path) -> Mapping[str, Any]:
    """A result as JSON has it. Raises NotAssessedError where it is missing or is none."""
    try:
        document = read_json(file)
    except EntropylawError as error:
        raise NotAssessedError(f"{error}; restore it from Git, or run `dvc repro`") from None
    if not isinstance(document, dict):
        raise NotAssessedError(f"{file}: not a result of this tool; restore it from Git, or run `dvc repro`")
    return document


def _is_same(one: Measurements | Any, other: Any) -> bool:
    """Whether two values are the same once written to a file: nine digits, and null for what is not finite."""
    return to_json(one) == to_json(other)
