"""Everything a rendering of a verdict shows, decided once: renderings hold no thresholds and choose no words."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from monitor.blame import blame_rows
from monitor.gate import decide_gate
from monitor.lineage import find_own
from monitor.verdict import Forecast, Status, Verdict, Version
from monitor.waivers import Waiver
from reports.advice import REPAIR, Step, list_steps, write_headline
from reports.blame import write_blame_line
from reports.dataset_view import DatasetView, view_dataset
from reports.excerpts import Excerpt, cut_excerpt
from reports.law_view import LawView, view_law
from reports.numbers import format_signs
from reports.power import PowerView, view_power
from reports.rule_view import RuleView, WaiverView, view_rules, view_waivers
from reports.training_curves import TrainingCurve
from reports.versions import VersionRow, choose_benchmark, choose_shown, list_versions
from reports.words import WORDS, Words

if TYPE_CHECKING:
    from monitor.history import HistoryEntry
    from monitor.power.outcomes import PowerResult


@dataclass(frozen=True)
class ReportData:
    """All that reports of one verdict show.

    ``blocked``: the gate lets no training start. ``version``: under the name it was accepted by, if it was.
    ``rules``: the worst results first. ``excerpts``: texts of the shown rows, by content hash. ``files``: the data file
    of each dataset, where it is known. ``versions``: of many the latest ones. ``left_out``: a sentence on the others,
    empty where there are none. ``benchmark``: the scale of every Z shown. ``training``: the loss curves of models
    trained on this version, empty as long as there are none. ``blame``: where the flagged rows come from, a sentence
    for each dataset that has some. ``power``: which accidents this gate would miss, where that was measured. ``notes``:
    what the branch changed beside its data, such as thresholds; a sentence each.
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
    left_out: str
    benchmark: str
    forecast: Forecast | None
    law: LawView
    training: tuple[TrainingCurve, ...]
    waivers: tuple[WaiverView, ...]
    config_fingerprint: str
    tool_version: str
    blame: tuple[str, ...] = ()
    power: PowerView | None = None
    notes: tuple[str, ...] = ()


def build_report_data(
    verdict: Verdict,
    history: Sequence[HistoryEntry],
    waivers: Sequence[Waiver],
    today: datetime.date | None = None,
    texts: Mapping[str, str] = MappingProxyType({}),
    files: Mapping[str, Path] = MappingProxyType({}),
    training: Sequence[TrainingCurve] = (),
    strict: bool = False,
    power: PowerResult | None = None,
) -> ReportData:
    """Gather what the reports of a verdict show.

    ``texts``: the flagged rows' texts by content hash; pass none where they must not be shown. ``files``: each
    dataset's data file, for reports that point at rows. Without ``today`` no waiver counts as expired: a report that is
    an output of the pipeline must be the same bytes for the same inputs, so it shows the date of expiry and leaves it
    to the gate to look at the calendar. ``strict``: a warning blocks too. ``power``: of this gate.
    """
    day = today or datetime.date.min
    gate = decide_gate(verdict, waivers, day, strict)
    waiver_views = view_waivers(waivers, verdict, day)
    rules = view_rules(verdict, waiver_views, strict)
    released = verdict.status == "risky" and gate.approved
    benchmark = choose_benchmark(verdict, history)
    versions = list_versions(verdict, history, benchmark)
    name = next(version.name for version in versions if version.current)
    shown = choose_shown(versions, verdict.parent.name if verdict.parent else None)
    accepted = find_own(history, verdict.config_fingerprint, verdict.version.data_hash) is not None
    # Until it is accepted, a version is called by the first digits of its hash, which say nothing to a reader.
    unnamed = verdict.version.data_hash.startswith(name)
    return ReportData(
        status=verdict.status,
        words=WORDS[verdict.status],
        headline=write_headline(verdict.status, "" if unnamed else name, released),
        summary=format_signs(verdict.summary),
        blocked=not gate.approved,
        steps=list_steps(verdict.status, rules, released, blocked=not gate.approved, accepted=accepted),
        version=replace(verdict.version, name=name),
        parent=verdict.parent,
        rules=rules,
        excerpts={row.hash: cut_excerpt(texts[row.hash]) for rule in rules for row in rule.rows if row.hash in texts},
        datasets=tuple(view_dataset(dataset, verdict) for dataset in verdict.measurements),
        files={dataset: file.as_posix() for dataset, file in files.items()},
        versions=shown,
        left_out=tell_left_out(len(versions) - len(shown), len(versions)),
        benchmark=benchmark,
        forecast=verdict.forecast,
        law=view_law(verdict),
        training=tuple(training),
        waivers=waiver_views,
        config_fingerprint=verdict.config_fingerprint,
        tool_version=verdict.tool_version,
        power=view_power(power) if power else None,
        blame=tuple(map(write_blame_line, blame_rows(verdict))),
    )


def tell_left_out(count: int, of: int) -> str:
    """A sentence about the versions that are not shown; empty where all are.

    >>> tell_left_out(960, 1001)
    '960 of 1,001 versions are left out here, all but the latest and the first; `entropylaw history` lists them all.'
    """
    if not count:
        return ""
    what = "all but the latest and the first"
    return f"{count:,} of {of:,} versions are left out here, {what}; `entropylaw history` lists them all."


def show_stale(data: ReportData, reason: str) -> ReportData:
    """The report where the verdict is of something else than is here, such as data that was changed since.

    It says so, and nothing of what was found before; ``version`` is still the one that was measured.
    """
    return replace(
        data,
        status="not_assessed",
        words=WORDS["not_assessed"],
        headline=write_headline("not_assessed", "", released=False),
        summary=reason,
        blocked=True,
        steps=(REPAIR,),
        rules=(),
        datasets=(),
        forecast=None,
        waivers=(),
        blame=(),
    )
