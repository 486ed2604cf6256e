"""All figures of a report, and the main one: R, long R, L, C and Z of the versions, as in the paper's Figure 5."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.verdict import PREFERENCES, Forecast, NormalRange
from reports.escaping import escape_invisible
from reports.law_figure import draw_law
from reports.lengths_figure import draw_lengths
from reports.marks import NAME_LETTERS, STATUS_COLORS, TEXT_SIZE, Chart, mark_forecast, mark_points, write_above
from reports.numbers import finite, format_change, format_number
from reports.report_data import ReportData
from reports.svg import INK, render_svg, styled_figure
from reports.training_figure import draw_training
from reports.words import list_measures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# All lengths are in points of the drawing; a phone shows a point as about one CSS pixel.
WIDTH = 380.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 14.0, 2.0, 24.0
PANEL_HEIGHT, STRIP_HEIGHT = 66.0, 34.0
# The mean width of a letter in the widest common sans-serif font, in units of its size; narrower fonts leave room.
LETTER_WIDTH = 0.66
# A panel spans at least this share of its value, so that a tiny difference does not look like a cliff.
MIN_SPAN = 0.02
MANY_VERSIONS = 20


@dataclass(frozen=True)
class Figures:
    """The charts of a report, by the name of their dataset.

    ``versions``: of every dataset. ``lengths``: of datasets whose rows' lengths were measured. ``training``: of
    datasets that a model was trained on. ``law``: empty where no run was measured.
    """

    versions: dict[str, Chart]
    lengths: dict[str, Chart]
    law: tuple[Chart, ...]
    training: dict[str, Chart]

    def charts(self) -> tuple[Chart, ...]:
        """All of them."""
        return (*self.versions.values(), *self.lengths.values(), *self.law, *self.training.values())


def draw_figures(data: ReportData) -> Figures:
    """All charts of a report; the same bytes for the same data."""
    names = {dataset.name: name_dataset(dataset.name, number) for number, dataset in enumerate(data.datasets, start=1)}
    return Figures(
        versions={name: draw_versions(data, name, f"versions-{plain}") for name, plain in names.items()},
        lengths={
            dataset.name: draw_lengths(dataset, STATUS_COLORS[data.status], f"lengths-{names[dataset.name]}")
            for dataset in data.datasets
            if dataset.rows
        },
        law=draw_law(data),
        training={
            curve.dataset: draw_training(curve, f"training-{names[curve.dataset]}")
            for curve in data.training
            if curve.dataset in names
        },
    )


def name_dataset(dataset: str, number: int) -> str:
    """A name for files and identifiers: the dataset's own where it is plain, else its number.

    >>> name_dataset("sft", 1), name_dataset("../sft", 2)
    ('sft', '2')
    """
    return dataset if re.fullmatch("[A-Za-z][A-Za-z0-9_-]{0,60}", dataset) else str(number)


def draw_versions(data: ReportData, dataset: str, name: str) -> Chart:
    """The measures of one dataset over the versions measured with the same configuration.

    Solid line: versions that were not found risky. Diamond on a shaded band: the version under test. Hollow and
    crossed: versions found risky. A gap: not measured. A square with a bar: the forecast of a Z that is not known yet.
    A band that opens from the parent: the range in which benign updates of this size leave the measure.
    """
    shown = [version for version in data.versions if version.comparable]
    current = next(i for i, version in enumerate(shown) if version.current)
    flagged = [version.flagged for version in shown]
    color = STATUS_COLORS[data.status]
    panels = _list_panels(data, dataset)
    height = TOP + len(panels) * (STRIP_HEIGHT + PANEL_HEIGHT) + BOTTOM
    title = f"{escape_invisible(dataset)}: R, long R, L, C and Z of {len(shown)} version{'s' * (len(shown) > 1)}"
    description = f"{escape_invisible(data.headline)}. Every number is in the table of versions."
    with styled_figure(WIDTH, height, name) as figure:
        for row, panel in enumerate(panels):
            bottom = height - TOP - (row + 1) * (STRIP_HEIGHT + PANEL_HEIGHT)
            box = (LEFT / WIDTH, bottom / height, (WIDTH - LEFT - RIGHT) / WIDTH, PANEL_HEIGHT / height)
            axes = figure.add_axes(box)
            _draw_panel(axes, panel, flagged, current, color)
            axes.set_xticks([])
        names = [escape_invisible(version.name, NAME_LETTERS) for version in shown]
        _label_versions(axes, names, current)
        return Chart(name, title, description, render_svg(figure, name, title, description))


@dataclass(frozen=True)
class _Panel:
    """One measure: a value for each version shown, NaN where there is none."""

    symbol: str
    label: str
    values: list[float]
    normal: NormalRange | None = None
    forecast: Forecast | None = None


def _list_panels(data: ReportData, dataset: str) -> list[_Panel]:
    shown = [version for version in data.versions if version.comparable]
    view = next(view for view in data.datasets if view.name == dataset)
    normal = {change.measure.key: change.normal for change in view.changes}
    panels = []
    for measure in list_measures(dataset == PREFERENCES):
        measured = [version.measurements.get(dataset) for version in shown]
        values = [finite(getattr(part, measure.key)) if part else None for part in measured]
        panels.append(_Panel(measure.symbol, measure.label, _with_gaps(values), normal[measure.key]))
    scores = [version.z for version in shown]
    known = any(version.current and version.z is not None for version in shown)
    label = f"performance ({escape_invisible(data.benchmark, NAME_LETTERS)})"
    return [*panels, _Panel("Z", label, _with_gaps(scores), forecast=None if known else data.forecast)]


def _with_gaps(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def _draw_panel(axes: Axes, panel: _Panel, flagged: Sequence[bool], current: int, color: str) -> None:
    count, value = len(panel.values), panel.values[current]
    reach = min(0.4, 16 * count / (WIDTH - LEFT - RIGHT))
    axes.set_xlim(-0.5, count - 0.5)
    axes.axvspan(current - reach, current + reach, color=color, alpha=0.12, linewidth=0)
    good = [x for x in range(count) if not flagged[x] and x != current]
    bad = [x for x in range(count) if flagged[x] and x != current]
    known = [x for x in good if x < current and math.isfinite(panel.values[x])]
    before = panel.values[known[-1]] if known else math.nan
    size = 3.0 if count > MANY_VERSIONS else 4.5
    if known and panel.normal:
        _draw_normal(axes, panel.normal, known[-1], before, current + reach)
    axes.plot(good, [panel.values[x] for x in good], color=INK, linewidth=1.2)
    if known and math.isfinite(value):
        axes.plot([known[-1], current], [before, value], "--", color=color, linewidth=1.2)
    mark_points(axes, good, [panel.values[x] for x in good], "o", INK, size)
    mark_points(axes, bad, [panel.values[x] for x in bad], "o", INK, size + 2, crossed=True)
    mark_points(axes, [current], [value], "D", color, 7, crossed=flagged[current])
    if panel.forecast:
        mark_forecast(axes, current, panel.forecast, color)
    spans = [span for span in (panel.normal, panel.forecast) if span]
    _set_range(axes, [*panel.values, *(limit for span in spans for limit in (span.low, span.high))])
    write_above(axes, panel.symbol, 0, 4 - LEFT, weight="bold")
    write_above(axes, panel.label, 0)
    write_above(axes, _describe_current(value, before, panel.forecast), 1, ha="right", weight="bold")


def _draw_normal(axes: Axes, normal: NormalRange, parent: int, before: float, end: float) -> None:
    """The normal range as a band from the parent to the version under test, with outlines because it may be thin."""
    reached = (parent + end) / 2
    xs = [parent, reached, end]
    low, high = ([before, limit, limit] for limit in (normal.low, normal.high))
    axes.fill_between(xs, low, high, color=INK, alpha=0.16, linewidth=0)
    for limits in (low, high):
        axes.plot(xs, limits, color=INK, linewidth=0.7, alpha=0.6)


def _describe_current(value: float, before: float, forecast: Forecast | None) -> str:
    if forecast:
        return f"forecast {format_number(forecast.value)}"
    if math.isnan(value):
        return "not measured"
    change = value - before
    return format_number(value) + (f" ({format_change(change)})" if math.isfinite(change) else "")


def _set_range(axes: Axes, values: Sequence[float]) -> None:
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    known = [value for value in values if math.isfinite(value)]
    if not known:
        axes.set_yticks([])
        axes.text(0.02, 0.5, "none measured yet", transform=axes.transAxes, va="center", size=TEXT_SIZE, style="italic")
        return
    middle = (min(known) + max(known)) / 2
    span = max(1.3 * (max(known) - min(known)), MIN_SPAN * abs(middle), 1e-6)
    axes.set_ylim(middle - span / 2, middle + span / 2)
    axes.yaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2))
    axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    axes.tick_params(axis="y", labelsize=TEXT_SIZE, length=0)
    axes.grid(axis="y")


def _label_versions(axes: Axes, names: Sequence[str], current: int) -> None:
    """Names below the lowest panel."""
    letter = LETTER_WIDTH * TEXT_SIZE
    step = (WIDTH - LEFT - RIGHT) / len(names)
    for index, centre in place_labels(names, current, (LEFT + step / 2) / letter, step / letter, WIDTH / letter):
        axes.annotate(
            names[index],
            (0, 0),
            (centre * letter - LEFT, -14),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="center",
            size=TEXT_SIZE,
            parse_math=False,
            weight="bold" if index == current else "normal",
        )


def place_labels(
    names: Sequence[str], current: int, start: float, step: float, width: float
) -> list[tuple[int, float]]:
    """Indices of the names to write, each with its centre, so that no two touch and none leaves the drawing.

    The version under test (``current``) is always named, then as many others as fit, latest first. Lengths are in
    letters: name i belongs at ``start + i * step`` in a drawing ``width`` letters wide.

    >>> place_labels(["x1", "x2", "x3"], current=2, start=3.0, step=5.0, width=16.0)
    [(0, 3.0), (1, 8.0), (2, 13.0)]
    >>> place_labels(["2031-01", "2031-02", "2031-03"], current=2, start=3.0, step=5.0, width=16.0)
    [(0, 3.5), (2, 12.5)]
    """
    chosen: dict[int, float] = {}
    for index in [current, *reversed(range(len(names)))]:
        half = len(names[index]) / 2
        centre = min(max(start + index * step, half), width - half)
        if all(abs(centre - other) >= half + len(names[i]) / 2 + 1 for i, other in chosen.items()):
            chosen[index] = centre
    return sorted(chosen.items())
