"""Finds the rows without which a version is not stopped: suspects are taken out, and what is left is judged again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.row_facts import hashes_of, numbers_of, sources_of
from monitor.repair.suspects import Case, list_alarms, rank_blamed, suspect_rows
from monitor.rules import coverage
from monitor.verdict import RuleResult, Status, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.assess import ComparedDataset, Judgement
    from monitor.calibration.params import CalibrationParams
    from monitor.measures.row_split import RowSplit
    from monitor.rule_params import RuleParams
    from monitor.rules.apply import AppliedRule

# A row is taken out if it is more likely damaged than not. Half the damage could often stay without an alarm, but that
# would mend the verdict and not the data.
SUSPECTED = 0.5
# Most versions pass after the first round, and what does not pass after so many is another kind of trouble.
MAX_ROUNDS = 6
# Where nothing tells rows apart, so much of what a rule blames is taken out at a time, and at least so many rows.
BLAMED_SHARE, BLAMED_ROWS = 0.1, 10

# Judges the version without these rows, by the numbers that they have in their datasets; None where too few
# rows would be left.
JudgeWithout = Callable[[Mapping[str, frozenset[int]]], "Judgement | None"]
# The exact split of a dataset's rows, where the parent's rows are at hand; else the split itself.
SplitRows = Callable[["ComparedDataset"], "RowSplit"]


@dataclass(frozen=True)
class SuspectedRow:
    """A row to take out of a version.

    ``row``: its number in the input file, from 1. ``probability``: that it is damaged, by estimate; 0 where a rule
    merely blames it more than others. ``rule`` and ``says``: what tells most against it.
    """

    dataset: str
    row: int
    hash: str
    source: str
    rule: str
    says: str
    probability: float


@dataclass(frozen=True)
class Repair:
    """Rows to take out, in their order, and the verdict ``after`` that. ``before``: the verdict on the version.

    ``rounds``: how often it was judged again. ``missing``: what stops the version and no removal of rows can mend.
    ``is_too_much``: there is no repair, because most rows of a dataset would have to go.
    """

    before: Verdict
    after: Verdict
    rows: tuple[SuspectedRow, ...]
    rounds: int
    missing: tuple[RuleResult, ...] = ()
    is_too_much: bool = False

    @property
    def mends(self) -> bool:
        """Whether the version is stopped before and not after."""
        return is_stopped(self.before.status) and not is_stopped(self.after.status)

    @property
    def honest(self) -> float:
        """How many of the rows are honest, by estimate."""
        return float(sum(1 - row.probability for row in self.rows))


def is_stopped(status: Status) -> bool:
    """Whether the gate stops a version with this status."""
    return status in ("risky", "not_assessed")


def find_repair(
    first: Judgement,
    judge_without: JudgeWithout,
    split_rows: SplitRows,
    calibration: CalibrationParams,
    params: RuleParams,
) -> Repair:
    """Take out the rows behind the alarms, judge the rest, and go on with what is found then.

    ``first``: the version as it is. It is not judged again where nothing is suspected, or where rows are missing and
    nothing else is wrong. ``split_rows``: which rows of a dataset the parent had.
    """
    taken: dict[tuple[str, int], SuspectedRow] = {}
    state, rounds = first, 0
    while is_stopped(state.verdict.status) and rounds < MAX_ROUNDS:
        more = _suspect(state, split_rows, calibration, params, is_last_resort=rounds > 0)
        if not more:
            break
        taken |= {(row.dataset, row.row): row for row in more}
        numbers: dict[str, set[int]] = {}
        for dataset, number in taken:
            numbers.setdefault(dataset, set()).add(number)
        judged = judge_without({dataset: frozenset(rows) for dataset, rows in numbers.items()})
        if judged is None:
            return Repair(first.verdict, first.verdict, (), rounds, is_too_much=True)
        state = judged
        rounds += 1
    missing = tuple(rule for rule in state.verdict.risky_rules() if rule.id == coverage.RULE.id)
    rows = tuple(taken[key] for key in sorted(taken))
    return Repair(first.verdict, state.verdict, rows, rounds, missing)


def _suspect(
    state: Judgement, split_rows: SplitRows, calibration: CalibrationParams, params: RuleParams, is_last_resort: bool
) -> list[SuspectedRow]:
    """The rows to take out next; none where nothing is to be found, or only missing rows stop the version."""
    suspected: list[SuspectedRow] = []
    for part in state.compared:
        alarms = list_alarms(state.applied, part.comparison.dataset)
        if not _has_mendable(alarms):
            continue
        case = Case(part, alarms, split_rows(part), calibration, params)
        found = suspect_rows(case, is_last_resort)
        rows = np.flatnonzero((found.probability > SUSPECTED) & _flag_removable(case))
        if rows.size:
            reasons = [found.reasons[i] for i in found.reason[rows].tolist()]
            suspected += _describe(part, rows.tolist(), reasons, found.probability[rows].tolist())
        else:
            suspected += _take_blamed(case)
    return suspected


def _flag_removable(case: Case) -> NDArray[np.bool_]:
    """Which rows may be taken out: those that the parent did not have, or the anchor where that is asked."""
    added: NDArray[np.bool_] = case.split.is_added.copy()
    if not isinstance(case.part.anchor, str):
        added |= case.part.anchor.rows.split.is_added
    return added


def _has_mendable(alarms: Sequence[AppliedRule]) -> bool:
    """Whether a rule stops the dataset that is not about rows that are gone."""
    return any(alarm.result.status == "risky" and alarm.result.id != coverage.RULE.id for alarm in alarms)


def _take_blamed(case: Case) -> list[SuspectedRow]:
    """The rows that the gravest rule blames most, where nothing tells damaged rows from others."""
    for rule, rows in rank_blamed(case):
        if rows.size:
            count = max(BLAMED_ROWS, round(BLAMED_SHARE * rows.size))
            reasons = [(rule, "are blamed most by this rule")] * count
            return _describe(case.part, rows[:count].tolist(), reasons, [0.0] * count)
    return []


def _describe(
    part: ComparedDataset, rows: Sequence[int], reasons: Sequence[tuple[str, str]], probabilities: Sequence[float]
) -> list[SuspectedRow]:
    records = part.rows.evidence.records
    numbers, sources, hashes = numbers_of(records), sources_of(records), hashes_of(records)
    return [
        SuspectedRow(part.comparison.dataset, int(numbers[i]), hashes[i], sources[i], rule, says, probability)
        for i, (rule, says), probability in zip(rows, reasons, probabilities, strict=False)
    ]
