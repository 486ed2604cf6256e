"""Markdown: the check for a step summary or a pull request's one sticky comment, and results/report.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from reports.dataset_view import DatasetView
from reports.escaping import escape_markdown, markdown_code
from reports.excerpts import Excerpt
from reports.markdown_changes import list_changed_rows, list_training
from reports.markdown_table import table
from reports.numbers import MISSING, format_change, format_count, format_number, format_p_value
from reports.power import list_power
from reports.report_data import ReportData
from reports.rule_view import RuleView, count_statuses
from reports.words import ALARMS, MEASURES, NOTES, SIDE_BY_SIDE, SIDE_BY_SIDE_COMMAND

# A CI job finds its earlier comment by this line, to replace it.
COMMENT_MARKER = "<!-- entropylaw-check -->"
HASH_DIGITS = 12


def render_markdown_check(data: ReportData) -> str:
    """Short enough for a comment: verdict, next steps, alarms; other checks, measures and first rows folded away."""
    blocks = [COMMENT_MARKER, *_verdict(data, 3), *_beside(data), *_steps(data), *_alarms_first(data.rules, brief=True)]
    blocks += _fold("Measures", [block for dataset in data.datasets for block in _measures(dataset, data)])
    blocks += _fold("Rows to look at", _rows(data.rules, first=True))
    blocks += _waivers(data, "####")
    return _join([*blocks, _identity(data)])


def render_markdown_report(data: ReportData) -> str:
    """The whole report as Markdown: the same numbers as the HTML page, without its figures."""
    blocks = [*_verdict(data, 1), "## What to do first", *_steps(data)]
    blocks += ["## Checks", *_alarms_first(data.rules), *_waivers(data, "##")]
    blocks += ["## Versions", data.left_out]
    for dataset in data.datasets:
        blocks += [f"### {escape_markdown(dataset.name)}", _version_table(dataset.name, data)]
    blocks += ["## What changed"]
    for dataset in data.datasets:
        blocks += [f"### {escape_markdown(dataset.name)}", *_measures(dataset, data), *list_changed_rows(dataset)]
    rows = _rows(data.rules, data.excerpts)
    side_by_side = f"{SIDE_BY_SIDE} `{SIDE_BY_SIDE_COMMAND}`"
    blocks += ["## Rows to look at", *([side_by_side, *rows] if rows else ["No rows were singled out."])]
    blocks += ["## Entropy law", escape_markdown(data.law.sentence), *_law(data)]
    blocks += list_training(data.training)
    blocks += list_power(data.power)
    blocks += ["## How to reproduce", _identity(data), "```sh\ndvc pull\ndvc repro report\n```"]
    return _join(blocks)


def _join(blocks: Iterable[str]) -> str:
    return "\n\n".join(block for block in blocks if block) + "\n"


def _verdict(data: ReportData, level: int) -> list[str]:
    title = f"{data.words.icon} {data.words.word}: {escape_markdown(data.headline)}"
    return [f"{'#' * level} {title}", escape_markdown(data.summary), *map(escape_markdown, data.blame)]


def _beside(data: ReportData) -> list[str]:
    notes = [f"- {escape_markdown(note)}" for note in data.notes]
    return [f"#### {NOTES}", "\n".join(notes)] if notes else []


def _steps(data: ReportData) -> list[str]:
    lines = []
    for number, step in enumerate(data.steps, start=1):
        lines.append(f"{number}. {escape_markdown(step.text)}")
        lines += [f"   - `{command}`" for command in step.commands]
    return ["\n".join(lines)]


def _rule_table(rules: Sequence[RuleView], brief: bool = False) -> str:
    """``brief``: without units and p-values, so that a comment has room for the reasons, which name the units."""
    if not rules:
        return ""
    rows = []
    for rule in rules:
        result = f"{rule.words.icon} {rule.words.word}" + (", waived" if rule.waiver else "")
        start = [result, rule.title, escape_markdown(rule.dataset)]
        numbers = [format_number(rule.statistic), rule.limit]
        test = [] if brief else [escape_markdown(rule.unit) or MISSING, format_p_value(rule.p_value)]
        rows.append([*start, *numbers, *test, escape_markdown(rule.reason)])
    if brief:
        return table(["Result", "Check", "Dataset", "Measured", "Limit", "Why"], rows, "lllrrl")
    return table(["Result", "Check", "Dataset", "Measured", "Limit", "Unit", "p", "Why"], rows, "lllrrlrl")


def _alarms_first(rules: Sequence[RuleView], brief: bool = False) -> list[str]:
    """The checks that raised an alarm, and the others folded away."""
    alarms = [rule for rule in rules if rule.status in ALARMS]
    others = [rule for rule in rules if rule.status not in ALARMS]
    title = f"{'Other checks' if alarms else 'Checks'}: {count_statuses(others)}"
    return [_rule_table(alarms, brief), *_fold(title, [_rule_table(others, brief)] if others else [])]


def _measures(dataset: DatasetView, data: ReportData) -> list[str]:
    """The measures beside the parent's, and the rows added, removed and kept."""
    parent = markdown_code(data.parent.name) if data.parent else "parent"
    rows = [
        [
            f"{change.measure.symbol}, {change.measure.label}" + (f" ({change.note})" if change.note else ""),
            format_number(change.parent),
            format_number(change.value),
            format_change(change.change),
            change.measure.meaning,
        ]
        for change in dataset.changes
    ]
    here = dataset.measurements
    counts = (
        f"{escape_markdown(dataset.name)}: {format_count(here.rows)} rows; {format_count(here.added)} added, "
        f"{format_count(here.removed)} removed, {format_count(here.kept)} kept; "
        f"near-duplicates {format_count(here.near_duplicates)}, contradictions {format_count(here.contradictions)}."
    )
    if here.added_r_long is not None:
        counts += f" Added text compresses {format_number(here.added_r_long)} to 1, once the other rows are known."
    header = ["Measure", parent, markdown_code(data.version.name), "Change", "Meaning"]
    return [counts, table(header, rows, "lrrrl")]


def _version_table(dataset: str, data: ReportData) -> str:
    rows = []
    for version in data.versions:
        measured = version.measurements.get(dataset)
        name = f"**{markdown_code(version.name)}** (this version)" if version.current else markdown_code(version.name)
        status = f"{version.words.icon} {escape_markdown(version.words.word)}" + (", waived" if version.waived else "")
        if not version.comparable:
            status += ", other configuration"
        numbers = [format_number(getattr(measured, measure.key) if measured else None) for measure in MEASURES]
        count = format_count(measured.rows if measured else None)
        rows.append([name, status, count, *numbers, format_number(version.z)])
    symbols = [measure.symbol for measure in MEASURES]
    header = ["Version", "Verdict", "Rows", *symbols, f"Z ({escape_markdown(data.benchmark)})"]
    return table(header, rows, "llrrrrrr")


def _rows(
    rules: Sequence[RuleView], excerpts: Mapping[str, Excerpt] = MappingProxyType({}), first: bool = False
) -> list[str]:
    blocks = []
    header, align = ["Row", "Hash", "Source", "Score", "Unit"], "rllrl"
    if excerpts:
        header, align = [*header, "Text"], align + "l"
    for rule in rules:
        shown = rule.first_rows if first else rule.rows
        if not shown:
            continue
        blocks.append(f"**{rule.title}** in {escape_markdown(rule.dataset)}, {len(shown)} of {rule.rows_total} rows:")
        cells = [
            [
                str(row.row) if row.file is None else escape_markdown(row.name),
                markdown_code(row.hash[:HASH_DIGITS]),
                markdown_code(row.source) if row.source else MISSING,
                format_number(row.score),
                escape_markdown(row.unit),
                *([_excerpt(excerpts.get(row.hash))] if excerpts else []),
            ]
            for row in shown
        ]
        blocks.append(table(header, cells, align))
    return blocks


def _excerpt(excerpt: Excerpt | None) -> str:
    return escape_markdown(excerpt.start) if excerpt else MISSING


def _law(data: ReportData) -> list[str]:
    blocks = ["\n".join(f"- {escape_markdown(curve.sentence)}" for curve in data.law.curves)]
    if data.forecast:
        low, value, high = (format_number(x) for x in (data.forecast.low, data.forecast.value, data.forecast.high))
        name, scale = markdown_code(data.version.name), escape_markdown(data.forecast.benchmark)
        blocks.append(f"Forecast for {name}: Z ({scale}) = {value}, between {low} and {high}.")
    if data.law.points:
        rows = [
            [escape_markdown(point.name), *(format_number(x) for x in (point.r, point.r_long, point.l, point.z))]
            for point in data.law.listed
        ]
        if len(rows) < len(data.law.points):
            blocks.append(f"{data.law.table_title}.")
        blocks.append(table(["Run", "R", "long R", "L", "Z"], rows, "lrrrr"))
    return blocks


def _waivers(data: ReportData, heading: str) -> list[str]:
    if not data.waivers:
        return []
    rows = [
        [escape_markdown(cell) for cell in (waiver.rule, waiver.owner, waiver.reason, waiver.note)]
        for waiver in data.waivers
    ]
    return [f"{heading} Waivers", table(["Check", "Owner", "Reason", "Standing"], rows, "llll")]


def _identity(data: ReportData) -> str:
    parent = (
        f"parent {markdown_code(data.parent.name)} (data {markdown_code(data.parent.data_hash)})"
        if data.parent
        else "no parent"
    )
    return (
        f"Version {markdown_code(data.version.name)}, {format_count(data.version.rows)} rows, "
        f"data {markdown_code(data.version.data_hash)}, {parent}, "
        f"configuration {markdown_code(data.config_fingerprint)}, entropylaw {escape_markdown(data.tool_version)}."
    )


def _fold(summary: str, blocks: Sequence[str]) -> list[str]:
    return ["<details>", f"<summary>{summary}</summary>", *blocks, "</details>"] if blocks else []
