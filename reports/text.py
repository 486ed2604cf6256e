"""The verdict in a terminal of 80 columns: what is wrong, what was measured, what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from reports.dataset_view import DatasetView
from reports.escaping import escape_log
from reports.numbers import format_added, format_change, format_count, format_number, format_p_value
from reports.report_data import ReportData
from reports.rule_view import RuleView
from reports.words import ALARMS, COMPARED, LEGEND, MEASURES, NOTES, Words

WIDTH = 80
HASH_DIGITS = 12


def render_text(data: ReportData) -> str:
    """The whole check as text of at most 80 columns, ending in a newline."""
    waivers = [f"WAIVER {waiver.rule}: {waiver.reason} ({waiver.owner}; {waiver.note})" for waiver in data.waivers]
    blocks = [
        wrap(f"{data.words.icon} {data.words.word.upper()}: {data.headline}"),
        wrap(data.summary),
        [line for sentence in data.blame for line in wrap(sentence)],
        _list_beside(data),
        _list_checks(data.rules),
        _list_measures(data),
        [line for waiver in waivers for line in wrap(waiver, rest="  ")],
        ["NEXT", *_list_steps(data)],
        _identify(data),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def wrap(text: str, first: str = "", rest: str = "") -> list[str]:
    """The text in lines of at most 80 columns, safe to print. ``first``, ``rest``: what the lines begin with."""
    return textwrap.wrap(escape_log(text), WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def _list_beside(data: ReportData) -> list[str]:
    notes = [line for note in data.notes for line in wrap(note, first="  ! ", rest="    ")]
    return [NOTES.upper(), *notes] if notes else []


def _fit(name: str, width: int) -> str:
    return f"{escape_log(name)[:width]:<{width}}"


def _list_checks(rules: Sequence[RuleView]) -> list[str]:
    """A line for every check that raised an alarm, with the reason below it, and the names of the others."""
    if not rules:
        return []
    alarms = [rule for rule in rules if rule.status in ALARMS]
    columns = f"{'measured':>9}{'limit':>11}{'p':>9}" if alarms else ""
    lines = [f"{'CHECKS':<48}{columns}".rstrip()]
    for rule in alarms:
        line = f"  {rule.words.icon} {rule.words.word:<12} {rule.title:<17} {_fit(rule.dataset, 12)} "
        if rule.statistic is not None:
            line += f"{format_number(rule.statistic):>9}{rule.limit:>11}"
            line += f"{format_p_value(rule.p_value):>9}"
        lines.append(line.rstrip())
        lines += wrap(rule.reason, first="      ", rest="      ")
        if rule.waiver:
            lines += wrap(f"Waived by {rule.waiver.owner} {rule.waiver.note}.", first="      ", rest="      ")
    return lines + _name_others([rule for rule in rules if rule.status not in ALARMS])


def _name_others(rules: Sequence[RuleView]) -> list[str]:
    """The checks without an alarm by status and dataset, in a line or two each."""
    groups: dict[tuple[Words, str], list[str]] = {}
    for rule in rules:
        groups.setdefault((rule.words, rule.dataset), []).append(rule.title)
    lines = []
    for (words, dataset), titles in groups.items():
        first = f"  {words.icon} {words.word:<12} "
        lines += wrap(f"{dataset}: {', '.join(titles)}", first=first, rest=" " * len(first))
    return lines


def _list_measures(data: ReportData) -> list[str]:
    if not data.datasets:
        return []
    columns = [*(measure.symbol for measure in MEASURES), "rows"]
    lines = [f"{'MEASURES':<26}" + "".join(f"{column:>9}" for column in columns)]
    for dataset in data.datasets:
        lines += _describe_dataset(dataset, data)
    return lines + [f"  {line}" for line in LEGEND] + ([f"  {COMPARED}"] if data.parent else [])


def _describe_dataset(dataset: DatasetView, data: ReportData) -> list[str]:
    here, before = dataset.measurements, dataset.parent
    values = [*(format_number(change.value) for change in dataset.changes), format_count(here.rows)]
    if before is None or data.parent is None:
        return [_number_line(dataset.name, data.version.name, values), *_list_notes(dataset)]
    parents = [*(format_number(change.parent) for change in dataset.changes), format_count(before.rows)]
    changes = [*(format_change(change.change) for change in dataset.changes), format_added(here.rows - before.rows)]
    lines = [
        _number_line(dataset.name, data.parent.name, parents),
        _number_line("", data.version.name, values),
        _number_line("", "change", changes),
    ]
    if here.added is not None:
        added, removed, kept = (format_count(count) for count in (here.added, here.removed, here.kept))
        lines.append(f"{'':<15}{added} rows added, {removed} removed, {kept} kept")
    lines += _list_notes(dataset)
    if here.added_r_long is not None:
        lines.append(f"{'':<15}added text: {format_number(here.added_r_long)} to 1, once the other rows are known")
    return lines


def _list_notes(dataset: DatasetView) -> list[str]:
    """What a reader must know to judge a measure, below the numbers."""
    lines = []
    for change in dataset.changes:
        if change.note:
            first = f"{'':<15}{change.measure.symbol}: "
            lines += wrap(change.note, first=first, rest=" " * len(first))
    return lines


def _number_line(dataset: str, name: str, numbers: Sequence[str]) -> str:
    return f"  {_fit(dataset, 12)} {_fit(name, 10)} " + "".join(f"{number:>9}" for number in numbers)


def _list_steps(data: ReportData) -> list[str]:
    lines = []
    for number, step in enumerate(data.steps, start=1):
        lines += wrap(step.text, first=f"  {number}. ", rest="     ")
        lines += [f"       {command}" for command in step.commands]
    return lines


def _identify(data: ReportData) -> list[str]:
    here = f"{data.version.name}: {format_count(data.version.rows)} rows, data {data.version.data_hash[:HASH_DIGITS]}"
    parent = f"; against {data.parent.name}, data {data.parent.data_hash[:HASH_DIGITS]}" if data.parent else ""
    return [*wrap(here + parent), *wrap(f"Configuration {data.config_fingerprint}, entropylaw {data.tool_version}")]
