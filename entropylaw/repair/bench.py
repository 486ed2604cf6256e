"""The version under test on a workbench: rows are taken out or put back to what they were, and it is judged again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from corpus.progress import Progress, StageProgress, ignore_progress
from corpus.records import HashedRecord
from corpus.row_facts import numbers_of
from corpus.stored_rows import store_rows
from entropylaw import __version__
from entropylaw.probe_memory import explain_probe_memory
from entropylaw.probed_models import load_models
from entropylaw.repair.past_rows import PastRows, find_past_rows
from entropylaw.repository import layout
from entropylaw.repository.evaluation_sets import LEAKS, LeakSearch
from entropylaw.repository.results import load_evidence
from entropylaw.repository.setting import Setting
from monitor.assess import ComparedDataset, Judgement, judge_evidence
from monitor.history import HistoryEntry
from monitor.measures.evidence import Evidence
from monitor.measures.measurement import measure_dataset, probe_dataset
from monitor.measures.row_split import RowSplit
from training.probed_model import ProbedModel

# Where more of the rows would be dropped, the commit is to be undone, and not its rows.
MOST_DROPPED = 0.5


class Bench:
    """Judges the version that was measured last, as it is and with changes. The data itself is not touched.

    ``folder``: for copies of the parent's data. Raises NotAssessedError where the results are not here or not whole.
    """

    def __init__(
        self, setting: Setting, history: tuple[HistoryEntry, ...], folder: Path, progress: StageProgress
    ) -> None:
        self._setting, self._history, self._folder, self._progress = setting, history, folder, progress
        self._evidence = {dataset: load_evidence(dataset) for dataset in setting.datasets}
        self._base: ProbedModel | None = None
        # What `prepare` looked for near copies of, by dataset.
        self._leaks = {
            dataset: LeakSearch(item.leaks.sets if item.leaks is not None else ())
            for dataset, item in self._evidence.items()
        }
        self._past: dict[str, PastRows | None] = {}
        # By dataset: the row of the parent that each edited row was, by the edited row's number.
        self._before: dict[str, dict[int, int]] = {}
        # Of the rows that were judged last, by dataset.
        self.data_hashes: dict[str, str] = {}

    def judge(self) -> Judgement:
        """The version as it is."""
        return self._judge(list(self._evidence.values()))

    def look_for_past(self, judgement: Judgement, progress: Progress = ignore_progress) -> None:
        """Look in Git and DVC's cache for the parent's rows, of each dataset that a rule stops."""
        parent = judgement.verdict.parent
        entry = next((e for e in self._history if parent is not None and e.data_hash == parent.data_hash), None)
        for part in judgement.compared if entry is not None else ():
            dataset = part.comparison.dataset
            if not any(rule.dataset == dataset for rule in judgement.verdict.risky_rules()):
                continue
            past = find_past_rows(
                dataset,
                self._setting.datasets[dataset],
                entry.dataset_hashes[dataset],  # type: ignore[union-attr]  # else there is nothing to go through
                self._setting.prepare,
                self._setting.held_out,
                self._setting.readings[dataset],
                self._folder / dataset,
                progress,
            )
            self._past[dataset] = past
            if past is not None:
                numbers = numbers_of(part.rows.evidence.records)
                matched = past.match(part.rows.evidence.records, part.rows.split)
                self._before[dataset] = {int(numbers[row]): was for row, was in matched.items()}

    def past(self, dataset: str) -> PastRows | None:
        """The parent's rows of a dataset, where they are here."""
        return self._past.get(dataset)

    def row_before(self, dataset: str, number: int) -> HashedRecord | None:
        """What an edited row was in the parent, by its number in the version; None where that is not known."""
        past, index = self._past.get(dataset), self._before.get(dataset, {}).get(number)
        return None if past is None or index is None else past.records[index]

    def split(self, part: ComparedDataset) -> RowSplit:
        """Which rows the parent had: exactly, where its rows are here."""
        past = self._past.get(part.comparison.dataset)
        split = part.rows.split
        return split if past is None else past.split(part.rows.evidence.records, split)

    def judge_without(self, rows: Mapping[str, frozenset[int]]) -> Judgement | None:
        """The version with the rows of these numbers put back to what they were, or taken out where that is not known.

        All is measured and judged anew, as the stages of the pipeline would. None where more than MOST_DROPPED of
        the rows of a dataset would go.
        """
        for dataset, changed in rows.items():
            back = sum(number in self._before.get(dataset, {}) for number in changed)
            if len(changed) - back > MOST_DROPPED * len(self._evidence[dataset].records):
                return None
        return self._judge(
            [
                self._measure(dataset, rows[dataset]) if rows.get(dataset) else evidence
                for dataset, evidence in self._evidence.items()
            ]
        )

    def _measure(self, dataset: str, changed: frozenset[int]) -> Evidence:
        before = self._evidence[dataset]
        records = store_rows(self._change(dataset, changed), f"{dataset} without suspected rows")
        configuration = self._setting.configuration
        measured = measure_dataset(
            dataset, records, configuration.compression, configuration.consistency, self._progress
        )
        leaks = self._leaks[dataset].find(records, lambda done, total: self._progress(LEAKS, done, total))
        measured = replace(measured, rows_read_anew=before.rows_read_anew, leaks=leaks)
        with explain_probe_memory("repair", configuration.probe):
            self._base = self._base or load_models(layout.BASE_MODEL)
            return probe_dataset(measured, self._base, configuration.probe, self._progress)

    def _change(self, dataset: str, changed: frozenset[int]) -> Iterator[HashedRecord]:
        for record, row_hash in self._evidence[dataset].records:
            if record.row not in changed:
                yield HashedRecord(record, row_hash)
            elif (past := self.row_before(dataset, record.row)) is not None:
                yield HashedRecord(replace(past.record, row=record.row), past.hash)

    def _judge(self, evidence: list[Evidence]) -> Judgement:
        setting = self._setting
        self.data_hashes = {item.dataset: item.data_hash for item in evidence}
        return judge_evidence(
            evidence, setting.calibration, self._history, setting.configuration, setting.rules, __version__
        )
