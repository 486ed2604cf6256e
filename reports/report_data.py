"""Everything a rendering of a verdict shows, decided once: renderings hold no thresholds and choose no words."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from monitor.gate import decide_gate
from monitor.law.results import LawCurve, LawPoint
from monitor.rules.registry import find_rule
from monitor.verdict import (
    PREFERENCES,
    SCORED_DATASET,
    DatasetChanges,
    FlaggedRow,
    Forecast,
    Measurements,
    NormalRange,
    RuleResult,
    RuleStatus,
    Status,
    Verdict,
    Version,
)
from monitor.waivers import Waiver, waiver_problems
from reports.advice import Step, list_steps, write_headline
from reports.excerpts import Excerpt, cut_excerpt
from reports.lengths import LengthBin, list_bins
from reports.numbers import finite, format_signs
from reports.training_curves import TrainingCurve
from reports.versions import VersionRow, choose_benchmark, list_versions
from reports.words import MEASURES, RULE_ORDER, WORDS, Measure, Words, list_measures

if TYPE_CHECKING:
    from monitor.history import HistoryEntry

# A page is read, not searched: results/verdict.json lists every row.
ROWS_PER_RULE = 20
# In a terminal, a comment or an annotation, where a reader has ten seconds.
FIRST_ROWS = 5


@dataclass(frozen=True)
class WaiverView:
    """A waiver a reader should know of; ``note`` says until when it applies, or why it does not."""

    rule: str
    reason: str
    owner: str
    expires: str
    applies: bool
    note: str


@dataclass(frozen=True)
class RuleView:
    """A rule's result with its words, the waiver that lifts it, and the rows to look at in the verdict's order."""

    id: str
    dataset: str
    status: RuleStatus
    words: Words
    title: str
    question: str
    advice: str
    reason: str
    statistic: float | None
    threshold: float | None
    p_value: float | None
    unit: str
    waiver: WaiverView | None
    rows: tuple[FlaggedRow, ...]
    rows_total: int

    @property
    def first_rows(self) -> tuple[FlaggedRow, ...]:
        return self.rows[:FIRST_ROWS]


@dataclass(frozen=True)
class Change:
    """A measure of this version beside its parent's; None where it was not measured or there is no parent.

    ``normal``: where benign updates leave it, None where that is not known.
    """

    measure: Measure
    value: float | None
    parent: float | None
    change: float | None
    normal: NormalRange | None


@dataclass(frozen=True)
class DatasetView:
    """``rows``: sources and lengths, None in a verdict made before they were measured; ``lengths``: its bins."""

    name: str
    measurements: Measurements
    parent: Measurements | None
    changes: tuple[Change, ...]
    rows: DatasetChanges | None
    lengths: tuple[LengthBin, ...]


@dataclass(frozen=True)
class CurveView:
    """Z over one measure: ``steps`` of (x, Z, low and high of the curve, low and high of one more run), none where no
    curve was fitted.
    """

    key: str
    symbol: str
    label: str
    sentence: str
    holds: bool | None
    steps: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class LawView:
    """``dataset``: the one whose Z is forecast. ``curves``: one for each measure that runs were measured in."""

    sentence: str
    dataset: str
    holds: bool | None
    n_points: int
    points: tuple[LawPoint, ...]
    curves: tuple[CurveView, ...]


@dataclass(frozen=True)
class ReportData:
    """``blocked``: the gate lets no training start. ``benchmark``: the scale of every Z shown.

    ``version`` has the name it was accepted under, if it was. ``excerpts``: of the shown rows' texts, by content hash.
    ``files``: the data file of each dataset, where they are known.
    ``training``: the curves of models trained on this version, where there are any yet.
    """

    status: Status
    words: Words
    headline: str
    summary: str
    blocked: bool
    steps: tuple[Step, ...]
    version: Version
    parent: Version | None
    rules: tuple[RuleView, ...]
    excerpts: dict[str, Excerpt]
    datasets: tuple[DatasetView, ...]
    files: dict[str, str]
    versions: tuple[VersionRow, ...]
    benchmark: str
    forecast: Forecast | None
    law: LawView
    training: tuple[TrainingCurve, ...]
    waivers: tuple[WaiverView, ...]
    config_fingerprint: str
    tool_version: str


def build_report_data(
    verdict: Verdict,
    history: Sequence[HistoryEntry],
    waivers: Sequence[Waiver],
    today: datetime.date | None = None,
    texts: Mapping[str, str] = MappingProxyType({}),
    files: Mapping[str, Path] = MappingProxyType({}),
    training: Sequence[TrainingCurve] = (),
) -> ReportData:
    """Gather what the renderings show; ``texts`` of flagged rows, by content hash, only where they may be shown;
    ``files`` by dataset, for renderings that point at rows.

    Without ``today`` no waiver counts as expired: a report kept as a pipeline output shows the date and leaves the
    calendar to the gate, so that the same inputs give the same bytes.
    """
    day = today or datetime.date.min
    gate = decide_gate(verdict, waivers, day)
    views = tuple(_view_waiver(waiver, verdict, day) for waiver in waivers if _concerns(waiver, verdict))
    applying = {view.rule: view for view in views if view.applies}
    rules = tuple(
        sorted(
            (_view_rule(rule, verdict, applying) for rule in verdict.rules),
            key=lambda rule: RULE_ORDER.index(rule.status),
        )
    )
    released = verdict.status == "risky" and gate.approved
    benchmark = choose_benchmark(verdict, history)
    versions = list_versions(verdict, history, benchmark)
    name = next(version.name for version in versions if version.current)
    # Until it is accepted, a version is called by the first digits of its hash, which say nothing to a reader.
    unnamed = verdict.version.data_hash.startswith(name)
    return ReportData(
        status=verdict.status,
        words=WORDS[verdict.status],
        headline=write_headline(verdict.status, "" if unnamed else name, released),
        summary=format_signs(verdict.summary),
        blocked=not gate.approved,
        steps=list_steps(verdict.status, rules, released),
        version=replace(verdict.version, name=name),
        parent=verdict.parent,
        rules=rules,
        excerpts={row.hash: cut_excerpt(texts[row.hash]) for rule in rules for row in rule.rows if row.hash in texts},
        datasets=tuple(_view_dataset(dataset, verdict) for dataset in verdict.measurements),
        files={dataset: file.as_posix() for dataset, file in files.items()},
        versions=versions,
        benchmark=benchmark,
        forecast=verdict.forecast,
        law=_view_law(verdict),
        training=tuple(training),
        waivers=views,
        config_fingerprint=verdict.config_fingerprint,
        tool_version=verdict.tool_version,
    )


def _concerns(waiver: Waiver, verdict: Verdict) -> bool:
    """Waivers of other data are shown only where a reader may believe they cover a rule that is risky here."""
    risky = {rule.id for rule in verdict.risky_rules()}
    return waiver.data_hash == verdict.version.data_hash or waiver.rule in risky


def _view_waiver(waiver: Waiver, verdict: Verdict, day: datetime.date) -> WaiverView:
    problem = waiver_problems([waiver], verdict.version.data_hash, day).get(waiver.rule)
    note = f"does not apply: {problem}" if problem else f"until {waiver.expires}"
    return WaiverView(waiver.rule, waiver.reason, waiver.owner, waiver.expires, problem is None, note)


def _view_rule(rule: RuleResult, verdict: Verdict, applying: Mapping[str, WaiverView]) -> RuleView:
    words = find_rule(rule.id)
    rows = tuple(row for row in verdict.rows if row.rule == rule.id and row.dataset == rule.dataset)
    return RuleView(
        id=rule.id,
        dataset=rule.dataset,
        status=rule.status,
        words=WORDS[rule.status],
        title=words.title,
        question=words.question,
        advice=words.advice,
        reason=format_signs(rule.reason),
        statistic=finite(rule.statistic),
        threshold=finite(rule.threshold),
        p_value=finite(rule.p_value),
        unit=rule.unit,
        waiver=applying.get(rule.id) if rule.status == "risky" else None,
        rows=rows[:ROWS_PER_RULE],
        rows_total=len(rows),
    )


def _view_dataset(dataset: str, verdict: Verdict) -> DatasetView:
    here = verdict.measurements[dataset]
    parent = verdict.parent_measurements.get(dataset)
    rows = verdict.changes.get(dataset)
    changes = []
    for measure in list_measures(dataset == PREFERENCES):
        value = finite(getattr(here, measure.key))
        before = finite(getattr(parent, measure.key)) if parent else None
        change = value - before if value is not None and before is not None else None
        changes.append(Change(measure, value, before, change, rows.normal.get(measure.key) if rows else None))
    return DatasetView(dataset, here, parent, tuple(changes), rows, list_bins(rows.lengths) if rows else ())


def _view_law(verdict: Verdict) -> LawView:
    law = verdict.law
    return LawView(
        sentence=format_signs(law.sentence),
        dataset=SCORED_DATASET if SCORED_DATASET in verdict.measurements else next(iter(verdict.measurements), ""),
        holds=law.holds,
        n_points=law.n_points,
        points=law.points,
        # The law is over R and L; where no run was measured there is nothing to draw.
        curves=tuple(
            _view_curve(measure, law.curves.get(measure.key))
            for measure in MEASURES
            if measure.key != "c" and law.points
        ),
    )


def _view_curve(measure: Measure, curve: LawCurve | None) -> CurveView:
    band = curve.band if curve else None
    return CurveView(
        key=measure.key,
        symbol=measure.symbol,
        label=measure.label,
        sentence=format_signs(curve.sentence if curve else f"No curve over {measure.symbol} has been fitted."),
        holds=curve.holds if curve else None,
        steps=tuple(zip(band.x, band.z, band.low, band.high, band.run_low, band.run_high, strict=True)) if band else (),
    )
