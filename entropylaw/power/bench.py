"""Versions with accidents in them, measured and judged in memory as the pipeline does from file to file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from corpus.dropped_rows import DroppedRows, require_usable
from corpus.errors import DataError, NotAssessedError
from corpus.prepare import decide_record
from corpus.records import HashedRecord, Record
from corpus.stored_rows import ChosenRows, StoredRows, store_rows
from entropylaw import __version__
from entropylaw.probe_memory import explain_probe_memory
from entropylaw.probed_models import load_models
from entropylaw.repository import layout
from entropylaw.repository.evaluation_sets import LeakSearch, list_sets
from entropylaw.repository.setting import Setting
from monitor.accept import accept_version
from monitor.assess import judge_evidence
from monitor.history import HistoryEntry, place_entry, read_history
from monitor.history_file import write_file
from monitor.measures.evidence import Evidence
from monitor.measures.measurement import measure_dataset, probe_dataset
from monitor.power.outcomes import Outcome
from monitor.power.pool import HELD_BACK_SHARE, Pool, hold_back
from monitor.power.trials import Trial, make_trial
from monitor.verdict import Verdict
from training.probed_model import ProbedModel

# Of fewer rows in the parent, 2% are a row or none.
MIN_ROWS = 100
# How many of the rows that a verdict names are looked at: a person looks at no more.
NAMED_ROWS = 50
# What the parent is called in its own history.
PARENT = "parent"
_ALARMS = ("warn", "risky", "not_assessed")


@dataclass(frozen=True)
class BenchOptions:
    """``seed``: another one holds back and damages other rows. ``most``: so many rows of a larger version are taken.

    ``folder``: where the parent's entry is kept.
    """

    seed: int
    most: int
    folder: Path


def split_version(dataset: str, options: BenchOptions) -> Pool:
    """The prepared rows of a dataset as a parent and fresh rows.

    Raises NotAssessedError where they are too few.
    """
    records = StoredRows(layout.prepared(dataset))
    rng = np.random.default_rng([options.seed, 0])
    chosen = np.sort(rng.permutation(len(records))[: options.most]).tolist()
    pool = hold_back([record for record, _ in ChosenRows(records, chosen)], rng)
    if len(pool.baseline) < MIN_ROWS:
        needed = round(MIN_ROWS / (1 - HELD_BACK_SHARE))
        raise NotAssessedError(
            f"{layout.prepared(dataset)}: {len(records)} rows are too few to damage a share of; {needed} are needed"
        )
    return pool


class PowerBench:
    """Makes versions out of the one that is here, and judges each against the parent made of the same rows.

    A version differs from the parent in one dataset; the others are the parent's.
    """

    def __init__(self, setting: Setting, options: BenchOptions, pools: Mapping[str, Pool] | None = None) -> None:
        self._setting, self._options = setting, options
        self.pools = pools or {dataset: split_version(dataset, options) for dataset in setting.datasets}
        self._leaks = LeakSearch(list_sets(layout.HELDOUT))
        # A set that cannot be read is no fault of any trial.
        self._leaks.read()
        self._base: ProbedModel | None = None
        self._parents: dict[str, Evidence] = {}
        self._history: tuple[HistoryEntry, ...] = ()

    def prepare_parent(self) -> None:
        """Measure the parent and keep its history entry, unless it is kept already."""
        folder = self._options.folder / PARENT
        if not read_history(folder):
            evidence = [self._measure_parent(dataset) for dataset in self.pools]
            verdict = self._judge(evidence, ())
            entry = accept_version(verdict, evidence, PARENT, {}, (), True, __version__)
            # Read again from its file, its numbers are rounded as those of every accepted version are.
            write_file(folder / f"{PARENT}.json", place_entry((), entry))
        self._history = read_history(folder)

    def judge(self, trial: Trial) -> Outcome:
        """What the gate says of a trial's version."""
        if not self._history:
            self.prepare_parent()
        version = make_trial(trial, self.pools[trial.dataset], self._options.seed)
        status, rules, named = self._ask(trial.dataset, version.records)
        return Outcome(
            trial.group,
            trial.kind,
            trial.dataset,
            trial.share,
            trial.expected,
            rows=len(version.records),
            damaged=len(version.rows),
            status=status,
            rules=rules,
            named=len(named),
            named_damaged=len(version.rows.intersection(named)),
        )

    def _ask(self, dataset: str, records: Iterable[Record]) -> tuple[str, tuple[str, ...], list[int]]:
        """The status of a version, the rules that raised an alarm, and the rows named first."""
        others = [name for name in self.pools if name != dataset]
        try:
            evidence = [self._measure(dataset, records), *map(self._measure_parent, others)]
            verdict = self._judge(evidence, self._history)
        except DataError:
            return "refused", (), []
        except NotAssessedError:
            return "not_assessed", (), []
        rules = dict.fromkeys(rule.id for rule in verdict.rules if rule.status in _ALARMS)
        named = dict.fromkeys(row.row for row in verdict.rows if row.dataset == dataset)
        return verdict.status, tuple(rules), list(named)[:NAMED_ROWS]

    def _judge(self, evidence: list[Evidence], history: tuple[HistoryEntry, ...]) -> Verdict:
        setting = self._setting
        in_order = sorted(evidence, key=lambda item: list(self.pools).index(item.dataset))
        return judge_evidence(
            in_order, setting.calibration, history, setting.configuration, setting.rules, __version__
        ).verdict

    def _measure_parent(self, dataset: str) -> Evidence:
        if dataset not in self._parents:
            self._parents[dataset] = self._measure(dataset, self.pools[dataset].baseline)
        return self._parents[dataset]

    def _measure(self, dataset: str, records: Iterable[Record]) -> Evidence:
        configuration = self._setting.configuration
        stored = store_rows(self._keep_usable(dataset, records), f"{dataset} of a trial")
        measured = measure_dataset(dataset, stored, configuration.compression, configuration.consistency)
        measured = replace(measured, leaks=self._leaks.find(stored))
        with explain_probe_memory("power", configuration.probe):
            self._base = self._base or load_models(layout.BASE_MODEL)
            return probe_dataset(measured, self._base, configuration.probe)

    def _keep_usable(self, dataset: str, records: Iterable[Record]) -> Iterator[HashedRecord]:
        """The rows that `prepare` keeps. Raises DataError where it would refuse the file."""
        params, dropped, number = self._setting.prepare, DroppedRows(), 0
        for number, record in enumerate(records, start=1):
            decision = decide_record(replace(record, row=number), params, self._setting.held_out)
            if decision.reason is None:
                yield HashedRecord(decision.record, decision.hash)
            else:
                dropped.add(number, decision.reason)
        require_usable(dataset, number, dropped.counts, dropped.in_order(), params.max_dropped_share)
