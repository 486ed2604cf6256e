"""Two data versions side by side in a terminal: A, B, the change, and the rows between them."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.measures.new_text import RowText
from monitor.rules.registry import find_rule
from monitor.verdict import RuleResult
from monitor.version_diff import ComparedVersion, Numbers, SourceComparison, VersionComparison
from reports.escaping import escape_invisible, escape_log
from reports.numbers import MISSING, format_added, format_change, format_count, format_number
from reports.text import wrap
from reports.words import list_measures

LABEL_WIDTH = 44
NUMBER_WIDTH = 11
SOURCE_WIDTH = 17
SHORT_COMMIT = 7

COUNTS = {
    "exact_duplicates": "exact duplicates",
    "near_duplicates": "near-duplicates",
    "contradictions": "contradictions",
}
MARGIN = "margin of chosen over rejected, cosine"


def render_comparison(result: VersionComparison) -> list[str]:
    """The comparison as lines of at most 80 columns; only long names make them longer."""
    lines = [f"{side}  {_name(version)}" for side, version in (("A", result.a), ("B", result.b))]
    lines += ["", *_list_numbers(result), ""]
    lines += _describe_rows(result)
    if result.sources:
        lines += ["", *_list_sources(result.sources)]
    if result.rules:
        lines += ["", *_list_rules(result.rules)]
    if result.notes:
        lines += ["", *(line for note in result.notes for line in wrap(note))]
    return lines


def _name(version: ComparedVersion) -> str:
    commit = f" ({version.commit[:SHORT_COMMIT]})" if version.commit else ""
    name = f"{escape_log(version.name)}{commit}"
    if not version.left_out:
        return name
    rows = format_count(version.numbers.rows + sum(version.left_out.values()))
    left_out = ", ".join(f"{format_count(count)} {reason}" for reason, count in version.left_out.items())
    return f"{name}; of {rows} rows left out: {left_out}"


def _list_numbers(result: VersionComparison) -> list[str]:
    a, b, change = result.a.numbers, result.b.numbers, result.change

    def line(label: str, *cells: str) -> str:
        return f"{label:<{LABEL_WIDTH}}" + "".join(f"{cell:>{NUMBER_WIDTH}}" for cell in cells)

    lines = [line("", "A", "B", "change"), line("rows compared", *_counts("rows", a, b, change))]
    for measure in list_measures(result.a.kind == result.b.kind == "preferences"):
        now, before, by = (getattr(numbers, measure.key) for numbers in (b, a, change))
        lines.append(
            line(f"{measure.symbol:<8}{measure.label}", format_number(before), format_number(now), format_change(by))
        )
    if a.chosen_margin is not None or b.chosen_margin is not None:
        cells = (format_number(a.chosen_margin), format_number(b.chosen_margin), format_change(change.chosen_margin))
        lines.append(line(MARGIN, *cells))
    return lines + [line(label, *_counts(key, a, b, change)) for key, label in COUNTS.items()]


def _counts(key: str, a: Numbers, b: Numbers, change: Numbers) -> tuple[str, str, str]:
    return format_count(getattr(a, key)), format_count(getattr(b, key)), format_added(getattr(change, key))


def _describe_rows(result: VersionComparison) -> list[str]:
    if result.reordered:
        return [f"The same {format_count(result.rows.kept)} rows, in another order."]
    added, removed, kept = (format_count(n) for n in (result.rows.added, result.rows.removed, result.rows.kept))
    lines = [f"{added} rows added, {removed} removed, {kept} kept."]
    return lines + [_describe_text(w, t) for w, t in (("Added", result.added), ("Removed", result.removed)) if t]


def _describe_text(word: str, text: RowText) -> str:
    size, new = format_count(text.raw_bytes), format_count(text.new_bytes)
    return f"{word}: {size} bytes that compress to {new} after the kept rows ({text.r_long:.2f} to 1)."


def _list_sources(sources: dict[str, SourceComparison]) -> list[str]:
    def line(name: str, cells: Sequence[str]) -> str:
        shown = escape_invisible(name, SOURCE_WIDTH - 1)
        return f"{shown:<{SOURCE_WIDTH}}" + "".join(f"{cell:>9}" for cell in cells)

    lines = [line("SOURCE", ("added", "removed", "kept", "R: A", "B", "long: A", "B"))]
    for name, source in sources.items():
        rows = [format_count(n) for n in (source.rows.added, source.rows.removed, source.rows.kept)]
        sides = (source.a, source.b)
        ratios = [format_number(side.r) if side else MISSING for side in sides]
        ratios += [format_number(side.r_long) if side else MISSING for side in sides]
        lines.append(line(name or "(none)", [*rows, *ratios]))
    return lines


def _list_rules(rules: Sequence[RuleResult]) -> list[str]:
    lines = []
    for rule in rules:
        if rule.status in ("risky", "warn"):
            lines += wrap(f"{find_rule(rule.id).title}: {rule.reason}", first="  ", rest="  ")
    if lines:
        return ["Beyond what benign updates do:", *lines]
    unknown = [rule for rule in rules if rule.status == "not_assessed"]
    if unknown:
        return [line for rule in unknown for line in wrap(f"{find_rule(rule.id).title}: {rule.reason}")]
    return ["No more than benign updates do."]
