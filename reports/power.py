"""What a gate would stop, warn of or miss on this data: for a terminal, and as a section of the reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.escaping import escape_markdown
from reports.markdown_table import table

if TYPE_CHECKING:
    from monitor.power.outcomes import Outcome, PowerResult, Rate

TITLE = "What this gate would miss"
NAMED = "A cell such as 48/50: of the first 50 rows that the verdict names, 48 are damaged."
_NOTHING = "–"


@dataclass(frozen=True)
class PowerView:
    """What is shown of results/power.json, with every word chosen.

    ``about``: on which version. ``shares``: the heads of the columns of ``accidents``, whose rows begin with the kind.
    ``others``: lost rows and benign updates, each with the gate's answer and its rules. ``totals``: under
    ``TOTALS_HEAD``.
    """

    sentences: tuple[str, ...]
    about: str
    shares: tuple[str, ...]
    accidents: tuple[tuple[str, ...], ...]
    others: tuple[tuple[str, ...], ...]
    totals: tuple[tuple[str, ...], ...]


OTHERS_HEAD = ("Rows lost, benign updates", "Gate", "Checks")
TOTALS_HEAD = ("", "Versions", "Stopped (95%)", "At least warned of (95%)", "Named rows damaged")


def view_power(result: PowerResult) -> PowerView:
    """Decide what is shown."""
    accidents = [outcome for outcome in result.outcomes if outcome.group == "accident"]
    shares = sorted({outcome.share for outcome in accidents})
    several = len(result.datasets) > 1
    rows: dict[str, dict[float, str]] = {}
    for outcome in accidents:
        rows.setdefault(_name_kind(outcome, several), {})[outcome.share] = show_answer(outcome)
    return PowerView(
        result.summary,
        tell_about(result),
        tuple("all" if share == 1 else f"{100 * share:g}%" for share in shares),
        tuple((kind, *(cells.get(share, _NOTHING) for share in shares)) for kind, cells in rows.items()),
        tuple(
            (_name_kind(outcome, several), show_answer(outcome), ", ".join(outcome.rules).replace("_", " "))
            for outcome in result.outcomes
            if outcome.group != "accident"
        ),
        tuple(map(_show_rate, result.rates)),
    )


def _name_kind(outcome: Outcome, several: bool) -> str:
    begins = outcome.kind.startswith(f"{outcome.dataset}: ")
    return f"{outcome.dataset}: {outcome.kind}" if several and not begins else outcome.kind


def show_answer(outcome: Outcome) -> str:
    """The gate's answer to one version, with the share of the named rows that are damaged."""
    word = outcome.answer
    if outcome.status in ("not_assessed", "refused"):
        return f"stopped: {outcome.status.replace('_', ' ')}"
    if outcome.group == "benign":
        return word
    shown = "missed" if word == "passed" else word
    return f"{shown} {outcome.named_damaged}/{outcome.named}" if outcome.named and outcome.damaged else shown


def _show_rate(rate: Rate) -> tuple[str, ...]:
    labels = {"loss": "rows lost", "benign": "benign updates"}
    accidents = "accidents to every row" if rate.share == 1 else f"accidents at {100 * rate.share:g}%"
    named = f"{rate.named_damaged / rate.named:.0%}" if rate.named and rate.group == "accident" else _NOTHING
    return (
        labels.get(rate.group, accidents),
        str(rate.trials),
        f"{rate.stopped / rate.trials:.0%} ({100 * rate.stopped_low:.0f} to {100 * rate.stopped_high:.0f})",
        f"{(rate.stopped + rate.warned) / rate.trials:.0%} "
        f"({100 * rate.alarmed_low:.0f} to {100 * rate.alarmed_high:.0f})",
        named,
    )


def tell_about(result: PowerResult) -> str:
    """Which rows it was found on, and which way it errs."""
    parts = []
    for dataset, sizes in result.datasets.items():
        taken = sizes.parent + sizes.fresh
        of = f"{taken:,} of {sizes.rows:,} rows" if taken < sizes.rows else f"{sizes.rows:,} rows"
        parts.append(
            f"{dataset}, {of}: {sizes.parent:,} as the version before, {sizes.fresh:,} held back as fresh rows"
        )
    accepted = "" if result.accepted else ", which was not accepted"
    return (
        f"Found on {result.version}{accepted} ({'; '.join(parts)}). With more rows a gate "
        "sees more, so on the whole version it misses less; one draw of each kind, so a single cell may be chance."
    )


def render_power(result: PowerResult) -> list[str]:
    """The lines for a terminal: what is missed, then every kind, then the rates."""
    view = view_power(result)
    lines = [*view.sentences]
    if view.accidents:
        lines += ["", *_align([("accident to so many rows", *view.shares), *view.accidents]), NAMED]
    if view.others:
        lines += ["", *_align([tuple(map(str.lower, OTHERS_HEAD)), *view.others])]
    if view.totals:
        lines += ["", *_align([tuple(map(str.lower, TOTALS_HEAD)), *view.totals])]
    return [*lines, "", view.about]


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def list_power(view: PowerView | None) -> list[str]:
    """The section of report.md; nothing where nothing was measured."""
    if view is None:
        return []
    blocks = [f"## {TITLE}", "\n".join(f"- {escape_markdown(sentence)}" for sentence in view.sentences)]
    for head, rows in (
        (("Accident to so many rows", *view.shares), view.accidents),
        (OTHERS_HEAD, view.others),
        (TOTALS_HEAD, view.totals),
    ):
        if rows:
            cells = [[escape_markdown(cell) for cell in row] for row in rows]
            blocks.append(table(head, cells, "l" * len(head)))
    return [*blocks, NAMED, escape_markdown(view.about)]
