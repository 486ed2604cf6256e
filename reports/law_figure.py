"""The entropy law on your own base model: Z against R, long R and L (the paper's Figures 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.escaping import escape_invisible
from reports.law_view import CurveView
from reports.marks import NAME_LETTERS, STATUS_COLORS, TEXT_SIZE, Chart, mark_forecast, mark_points, write_above
from reports.report_data import ReportData
from reports.svg import INK, render_svg, styled_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 380.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 14.0, 34.0, 44.0
DASHES = (0, (3, 2))
# Margin above and below the points, as a share of their height. Bands that are wider are cut off by the frame.
MARGIN = 0.25
LINE_LEGEND = (
    "The line is the form that fits best, dashed where the law does not hold. The dark band is for the line itself, "
    "the light one for one more run, both at 95%."
)


def draw_law(data: ReportData) -> tuple[Chart, ...]:
    """One chart for each measure that runs were measured in; its description says what the curve is worth.

    Dots: measured runs. Line with bands: the fitted curve. Square with a bar: the forecast for the version under test
    and its interval.
    """
    return tuple(_draw_scatter(data, curve) for curve in data.law.curves)


def draw_curve(axes: Axes, steps: Sequence[tuple[float, ...]], holds: bool | None) -> None:
    """Draw a curve and its two bands; the limits of the axes stay as they are. ``steps``: as in CurveView."""
    x, z, low, high, run_low, run_high = zip(*steps, strict=True)
    limits = axes.get_ylim()
    axes.fill_between(x, run_low, run_high, color=INK, alpha=0.07, linewidth=0)
    axes.fill_between(x, low, high, color=INK, alpha=0.13, linewidth=0)
    axes.plot(x, z, color=INK, linewidth=1.2, linestyle="-" if holds else DASHES)
    axes.set_ylim(limits)


def _draw_scatter(data: ReportData, curve: CurveView) -> Chart:
    points = data.law.points
    benchmark = escape_invisible(data.benchmark, NAME_LETTERS)
    name, title = f"law-{curve.key.replace('_', '-')}", f"Z ({benchmark}) against {curve.symbol}, {len(points)} runs"
    description = escape_invisible(curve.sentence)
    color = STATUS_COLORS[data.status]
    box = (LEFT / WIDTH, BOTTOM / HEIGHT, (WIDTH - LEFT - RIGHT) / WIDTH, (HEIGHT - TOP - BOTTOM) / HEIGHT)
    with styled_figure(WIDTH, HEIGHT, name) as figure:
        axes = figure.add_axes(box)
        axes.margins(0.05, MARGIN)
        mark_points(axes, [getattr(point, curve.key) for point in points], [point.z for point in points], "o", INK, 5)
        here = next((part for part in data.datasets if part.name == data.law.dataset), None)
        x = next((change.value for change in here.changes if change.measure.key == curve.key), None) if here else None
        if data.forecast and x is not None:
            mark_forecast(axes, x, data.forecast, color)
            version = escape_invisible(data.version.name, NAME_LETTERS)
            write_above(axes, f"■ forecast for {version}", 1, ha="right", weight="bold")
        if curve.steps:
            draw_curve(axes, curve.steps, curve.holds)
        write_above(axes, "Z", 0, 4 - LEFT, weight="bold")
        write_above(axes, f"performance ({benchmark})", 0)
        axes.set_xlabel(f"{curve.symbol}: {curve.label}", size=TEXT_SIZE)
        axes.tick_params(labelsize=TEXT_SIZE, length=0)
        axes.ticklabel_format(useOffset=False)
        axes.locator_params(axis="x", nbins=6)
        axes.locator_params(axis="y", nbins=5)
        axes.grid()
        return Chart(name, title, description, render_svg(figure, name, title, description))
