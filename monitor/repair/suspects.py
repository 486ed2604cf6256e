"""Which rows are behind the alarms of a dataset: what each alarm itself says of rows, and what tells rows apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from monitor.like_rows.like_comparison import LikeComparison, compare_like_with_like
from monitor.measures.evidence import row_losses, second_row_losses
from monitor.measures.row_edits import RowEdits
from monitor.repair.suspicion import Suspicion, join_suspicions, suspect_unlike_rows
from monitor.rules import (
    agreement,
    both_rise,
    copies,
    damage,
    drift,
    edits,
    level,
    loss,
    redundancy,
    second_loss,
    style,
)
from monitor.rules.edit_findings import DAMAGE_TESTS, find_damage, find_harder
from monitor.verdict import SEVERITY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.assess import ComparedDataset
    from monitor.calibration.params import CalibrationParams
    from monitor.measures.repeated_rows import Repeats
    from monitor.measures.row_split import RowSplit
    from monitor.rule_params import RuleParams
    from monitor.rules.apply import AppliedRule
    from monitor.rules.parent_comparison import ComparedRows, ParentComparison

# Rules whose alarms are about rows unlike the rows most like them.
ABOUT_UNLIKE_ROWS = {
    rule.RULE.id for rule in (damage, loss, second_loss, agreement, style, level, both_rise, drift, edits)
}
# These blame rows by a number that every row has, so their scores alone do not tell which rows are behind the alarm.
GRADED = {rule.RULE.id for rule in (redundancy, loss, second_loss, level, both_rise, agreement)}
# So many added rows are compared with like rows at a time, as many as an assessment reads of a large version.
SLICE_ROWS = 4_000


@dataclass(frozen=True)
class Case:
    """One dataset of a version with an alarm, and what is needed to look at its rows again.

    ``alarms``: the rules that warn or stop, the gravest first. ``split``: which rows the parent had, exactly where its
    rows are at hand.
    """

    part: ComparedDataset
    alarms: Sequence[AppliedRule]
    split: RowSplit
    calibration: CalibrationParams
    params: RuleParams

    @property
    def rows(self) -> int:
        return len(self.part.rows.evidence.records)

    def is_alarm(self, rule: str) -> bool:
        return any(alarm.result.id == rule for alarm in self.alarms)


def list_alarms(applied: Sequence[AppliedRule], dataset: str) -> list[AppliedRule]:
    """The rules that warn of a dataset or stop it, the gravest first."""
    alarms = [rule for rule in applied if rule.result.dataset == dataset and rule.result.status in ("warn", "risky")]
    return sorted(alarms, key=lambda rule: (SEVERITY.index(rule.result.status), rule.result.p_value))


def suspect_rows(case: Case, is_last_resort: bool = False) -> Suspicion:
    """How likely each row is one of those behind the alarms.

    Copies, edits and what a rule flags row by row are taken as they are. Where an alarm is about rows unlike others, or
    as a last resort, rows are told apart by all signs together.
    """
    found: list[Suspicion | None] = [Suspicion(np.zeros(case.rows), np.full(case.rows, -1), ())]
    comparison = case.part.comparison
    if case.is_alarm(copies.RULE.id):
        found += [_suspect_repeats(repeats) for repeats in (comparison.repeated_rows, comparison.repeated_answers)]
    if case.is_alarm(edits.RULE.id) and comparison.edits is not None:
        found.append(_suspect_edits(comparison.edits, case))
    found += [_suspect_flagged(alarm, case) for alarm in case.alarms]
    if is_last_resort or any(alarm.result.id in ABOUT_UNLIKE_ROWS for alarm in case.alarms):
        found += [suspect_unlike_rows(like, case.rows) for like in _compare(case)]
    return join_suspicions([item for item in found if item is not None])


def rank_blamed(case: Case) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """For each alarm that can blame rows, the gravest first: its rule, and the added rows, the worst first."""
    for alarm in case.alarms:
        rows = _rows_of(alarm, case)
        if alarm.draft.blame is None or rows is None:
            continue
        scored = alarm.draft.blame(rows)
        known = np.flatnonzero(rows.split.is_added & ~np.isnan(scored.scores))
        values = scored.scores[known]
        yield alarm.result.id, known[np.argsort(-values if scored.highest else values, kind="stable")]


def _rows_of(alarm: AppliedRule, case: Case) -> ComparedRows | None:
    """The rows that an alarm is about: those added since the parent, or since the anchor."""
    if not alarm.draft.asks_again:
        return case.part.rows
    return None if isinstance(case.part.anchor, str) else case.part.anchor.rows


def _suspect_repeats(repeats: Repeats | None) -> Suspicion | None:
    """Added rows that say the same again. Of these, as large a share is honest as of the kept rows repeats others."""
    if repeats is None or not repeats.surplus:
        return None
    share = repeats.surplus / max(repeats.added, 1)
    return _flag(
        repeats.is_repeat, max(0.0, 1 - repeats.usual / share), copies.RULE.id, "say again what other rows say"
    )


def _suspect_edits(found: RowEdits, case: Case) -> Suspicion | None:
    """Rows that an edit harmed. As many went the other way by chance are honest."""
    by_model = find_harder(found)
    findings = [(finding, DAMAGE_TESTS) for finding in find_damage(found)]
    findings += [(finding, len(by_model)) for finding in by_model]
    suspicions = [
        _flag(
            _mark(found.rows[finding.went], case.rows),
            finding.share * (finding.measured or found.count) / max(int(finding.went.sum()), 1),
            edits.RULE.id,
            f"were edited: {finding.words}",
        )
        for finding, tests in findings
        if finding.worse and 3 * tests * finding.p_value <= case.params.risky_rate
    ]
    return join_suspicions(suspicions) if suspicions else None


def _suspect_flagged(alarm: AppliedRule, case: Case) -> Suspicion | None:
    """Rows that a rule flags without a degree, where the rule may stop a version."""
    rows = _rows_of(alarm, case)
    if alarm.result.status != "risky" or alarm.result.id in GRADED or alarm.draft.blame is None or rows is None:
        return None
    scores = alarm.draft.blame(rows).scores
    known = ~np.isnan(scores) & rows.split.is_added
    if not known.any() or np.unique(scores[known]).size > 1 or known.sum() == rows.split.is_added.sum():
        return None
    return _flag(known, 1.0, alarm.result.id, "are flagged by this rule")


def _flag(rows: NDArray[np.bool_], probability: float, rule: str, says: str) -> Suspicion:
    return Suspicion(np.where(rows, min(probability, 1.0), 0.0), np.where(rows, 0, -1), ((rule, says),))


def _mark(rows: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    flags = np.zeros(count, dtype=bool)
    flags[rows] = True
    return flags


def _compare(case: Case) -> Iterator[LikeComparison]:
    """The added rows beside kept rows like them: as they were assessed, then those that were not read, part by part."""
    comparisons: list[ParentComparison] = [case.part.comparison]
    if case.is_alarm(drift.RULE.id) and not isinstance(case.part.anchor, str):
        comparisons.append(case.part.anchor.comparison)
    for comparison in comparisons:
        if comparison.like is not None:
            yield comparison.like
    read = _mark(comparisons[0].like.rows, case.rows) if comparisons[0].like is not None else np.zeros(case.rows, bool)
    unread = np.flatnonzero(case.split.is_added & case.split.is_first & ~read)
    item = case.part.rows.evidence
    losses, second = row_losses(item), second_row_losses(item)
    for start in range(0, len(unread), SLICE_ROWS):
        part = replace(case.split, is_added=_mark(unread[start : start + SLICE_ROWS], case.rows))
        like = compare_like_with_like(
            item.records,
            part,
            np.zeros(case.rows, dtype=bool),
            losses,
            case.calibration,
            case.params.rare_character_bits,
            second_losses=second,
        )
        if like is not None:
            yield like
