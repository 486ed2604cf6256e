"""Measures past versions one after another as the pipeline would: fetch, prepare, measure, judge, record."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.errors import DataError, EntropylawError, NotAssessedError
from corpus.prepare import prepare_file
from corpus.progress import StageProgress
from corpus.stored_rows import StoredRows
from entropylaw import __version__
from entropylaw.backfill.past_versions import PastVersion
from entropylaw.backfill.plan import BackfilledVersion, BackfillPlan
from entropylaw.printing import note
from entropylaw.probe_memory import explain_probe_memory
from entropylaw.repository import layout
from entropylaw.repository.datasets import KINDS
from entropylaw.repository.evaluation_sets import LEAKS, LeakSearch, list_sets
from entropylaw.repository.locking import one_at_a_time
from entropylaw.repository.revisions import DataFile, locate_data
from entropylaw.repository.setting import Setting
from entropylaw.terminal import show_progress, show_stages
from monitor.accept import accept_version
from monitor.assess import assess_version
from monitor.calibration.cost import describe_duration
from monitor.history import HistoryEntry, place_entry, write_entry
from monitor.measures.evidence import Evidence, version_hash
from monitor.measures.measurement import COMPRESSION, CONSISTENCY, PROBE, measure_dataset, probe_dataset
from monitor.verdict import Verdict

if TYPE_CHECKING:
    from training.probed_model import ProbedModel

FETCH, READ = "fetch MiB", "read"


def measure_versions(plan: BackfillPlan, setting: Setting, history: Sequence[HistoryEntry]) -> list[BackfilledVersion]:
    """Measure, judge and record what is planned, oldest first, each against the latest of the plan's references and of
    what was recorded before it. After the first one stderr is told how long the others take.
    """
    versions, planned = plan.versions, plan.planned
    todo = [i for i, item in enumerate(planned) if item.outcome == "to measure"]
    done = list(planned)
    if not todo:
        return done
    with explain_probe_memory("backfill", setting.configuration.probe):
        recorder = Recorder(setting, history, plan.references)
    labels = {
        f"{versions[i].commit} {stage}": f"{planned[i].name} ({count} of {len(todo)}): {stage}"
        for count, i in enumerate(todo, start=1)
        for stage in (FETCH, READ, COMPRESSION, CONSISTENCY, LEAKS, PROBE)
    }
    started = time.monotonic()
    try:
        with show_stages(labels) as report, explain_probe_memory("backfill", setting.configuration.probe):
            for i in todo:
                done[i] = recorder.record(versions[i], planned[i], report)
                if i == todo[0] and len(todo) > 1:
                    seconds = (time.monotonic() - started) * (len(todo) - 1)
                    note(f"backfill: {len(todo) - 1} more, {describe_duration(seconds)}")
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; what is recorded stays, and `entropylaw backfill` goes on after it") from None
    return done


class Recorder:
    """Adds past versions to the history, oldest first.

    ``history``: all that is in it; ``references``: the entries that the next version may be compared with. Both grow.
    """

    def __init__(self, setting: Setting, history: Sequence[HistoryEntry], references: Sequence[HistoryEntry]) -> None:
        from entropylaw.probed_models import load_models
        from training.fine_tuning import quiet_libraries

        quiet_libraries()
        self.base: ProbedModel = load_models(layout.BASE_MODEL)
        self.setting = setting
        # A past version is held against what must not be trained on today, as it is prepared without today's held-out
        # rows.
        self.leaks = LeakSearch(list_sets(layout.HELDOUT))
        # A set that cannot be read is no fault of any version: it is said before the first one.
        self.leaks.read()
        self.history = list(history)
        self.references = [entry for entry in references if not entry.waived]
        # By dataset, of the version that was prepared last.
        self.rows_read_anew: dict[str, int] = {}
        with tempfile.TemporaryDirectory(prefix="entropylaw-") as folder, show_progress("present version") as progress:
            here = {
                dataset: DataFile(file.as_posix(), file, reading=setting.readings[dataset])
                for dataset, file in setting.datasets.items()
            }
            self.present = self.prepare(here, Path(folder), lambda stage, done, total: progress(done, total))

    def record(self, version: PastVersion, planned: BackfilledVersion, report: StageProgress) -> BackfilledVersion:
        """Measure and judge a version, and write it to the history unless it is risky or could not be assessed."""

        def follow(stage: str, done: int, total: int | None) -> None:
            report(f"{version.commit} {stage}", done, total)

        try:
            with tempfile.TemporaryDirectory(prefix="entropylaw-") as name:
                folder = Path(name)
                data_hash = self.fetch(version, folder, follow)
                if known := self.describe_same_rows(data_hash):
                    return replace(planned, outcome="left out", reason=known)
                evidence = [self.measure(dataset, folder, follow) for dataset in self.setting.datasets]
            verdict = assess_version(
                evidence,
                self.setting.calibration,
                self.references,
                self.setting.configuration,
                self.setting.rules,
                __version__,
            )
        except EntropylawError as error:
            # One version that cannot be had, read or probed is no reason to do without the others.
            status = "not_assessed" if isinstance(error, NotAssessedError) else None
            return replace(planned, outcome="left out", reason=str(error), status=status)
        return self.write(version, replace(planned, data_hash=data_hash), evidence, verdict)

    def fetch(self, version: PastVersion, folder: Path, report: StageProgress) -> str:
        """Get the data of a version and write its canonical rows into ``folder``; the version's hash."""
        files = {
            dataset: replace(
                locate_data(version.name_file(dataset), dataset, folder / dataset, partial(report, FETCH)),
                reading=version.data[dataset].reading,
            )
            for dataset in self.setting.datasets
        }
        return self.prepare(files, folder, report)

    def describe_same_rows(self, data_hash: str) -> str | None:
        """Where a version's rows stand already, so that it need not be measured; None where they are new."""
        if data_hash == self.present:
            return "its rows are those that are here now"
        same = self.find_recorded(data_hash)
        if same is None:
            return None
        if not self.references and not same.waived:
            # Begun anew with data that had been there before.
            self.references = [same]
        return f"its rows are those of {same.name}"

    def write(
        self, version: PastVersion, planned: BackfilledVersion, evidence: Sequence[Evidence], verdict: Verdict
    ) -> BackfilledVersion:
        """Add a judged version to the history and to the references, or say why it may not be there."""
        # The same data under another configuration: it keeps its name, and the waiver that it needed then.
        known = next((entry for entry in reversed(self.history) if entry.data_hash == planned.data_hash), None)
        waivers = known.waivers if known and known.waived else ()
        measured = replace(
            planned,
            name=known.name if known else self.choose_name(version, str(planned.data_hash)),
            status=verdict.status,
            rows=verdict.version.rows,
            measurements=verdict.measurements,
        )
        if verdict.status == "not_assessed" or (verdict.status == "risky" and not waivers):
            return replace(measured, outcome="left out", reason=explain(verdict))
        entry = accept_version(verdict, evidence, measured.name, {}, waivers, False, __version__)
        entry = place_entry(self.history, replace(entry, commit=version.commit))
        with one_at_a_time():
            write_entry(layout.HISTORY, entry)
        self.history.append(entry)
        if not entry.waived:
            self.references.append(entry)
        return replace(measured, outcome="recorded")

    def prepare(self, files: Mapping[str, DataFile], folder: Path, report: StageProgress) -> str:
        """Write the canonical rows of a version into ``folder``, as the stage does; the version's hash."""
        hashes = {}
        for dataset, file in files.items():
            try:
                prepared = prepare_file(
                    file.path,
                    prepared_file(folder, dataset),
                    self.setting.prepare,
                    self.setting.held_out,
                    KINDS[dataset],
                    partial(report, READ),
                    file.reading or self.setting.readings[dataset],
                )
                hashes[dataset], self.rows_read_anew[dataset] = prepared.data_hash, prepared.rows_read_anew
            except DataError as error:
                raise file.rename(error) from None
        return version_hash(hashes)

    def find_recorded(self, data_hash: str) -> HistoryEntry | None:
        """The entry of these rows, measured with the present configuration."""
        key = (data_hash, self.setting.configuration.fingerprint())
        return next((entry for entry in self.history if (entry.data_hash, entry.config_fingerprint) == key), None)

    def measure(self, dataset: str, folder: Path, report: StageProgress) -> Evidence:
        """Raises NotAssessedError when R, L or C has no value."""
        rows = StoredRows(prepared_file(folder, dataset))
        configuration = self.setting.configuration
        evidence = measure_dataset(dataset, rows, configuration.compression, configuration.consistency, report)
        leaks = self.leaks.find(rows, partial(report, LEAKS))
        evidence = replace(evidence, rows_read_anew=self.rows_read_anew[dataset], leaks=leaks)
        evidence = probe_dataset(evidence, self.base, configuration.probe, report)
        measured = (("R", evidence.compression.r), ("L", evidence.l), ("C", evidence.consistency.agreement))
        for name, value in measured:
            if not math.isfinite(value):
                raise NotAssessedError(f"{dataset}: {name} could not be measured")
        return evidence

    def choose_name(self, version: PastVersion, data_hash: str) -> str:
        """Its tag or short id, and more where other data has that name: without other held-out rows, for example."""
        taken = {entry.name for entry in self.history}
        return f"{version.name}-{data_hash[:8]}" if version.name in taken else version.name


def prepared_file(folder: Path, dataset: str) -> Path:
    return folder / "prepared" / f"{dataset}.jsonl"


def explain(verdict: Verdict) -> str:
    """Why a version may not be recorded in the history, and with which version it was compared."""
    reasons = " ".join(rule.reason for rule in verdict.rules if rule.status == verdict.status)
    against = f"{verdict.status.replace('_', ' ')} against {verdict.parent.name}: " if verdict.parent else ""
    return against + (reasons or verdict.summary)
