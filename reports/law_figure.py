"""The entropy law on one's own base model: Z against long R and against L (the paper's Figures 3 and 4)."""

from __future__ import annotations

from reports.escaping import escape_invisible
from reports.marks import NAME_LETTERS, STATUS_COLORS, TEXT_SIZE, Chart, mark_forecast, mark_points, write_above
from reports.report_data import ReportData
from reports.svg import INK, render_svg, styled_figure

WIDTH, HEIGHT = 380.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 14.0, 34.0, 44.0
AXES = (
    ("r_long", "long R", "R long: compression ratio, long window"),
    ("l", "L", "L: mean probe loss, nats per token"),
)


def draw_law(data: ReportData) -> tuple[Chart, ...]:
    """Measured runs as dots, the fitted curve with its band, the version under test as a forecast with its interval.

    Empty where no run was measured.
    """
    return tuple(
        _draw_scatter(data, key, symbol, label)
        for key, symbol, label in AXES
        if any(getattr(point, key) is not None for point in data.law.points)
    )


def _draw_scatter(data: ReportData, key: str, symbol: str, label: str) -> Chart:
    points = [point for point in data.law.points if getattr(point, key) is not None]
    benchmark = escape_invisible(data.benchmark, NAME_LETTERS)
    name, title = f"law-{key.replace('_', '-')}", f"Z ({benchmark}) against {symbol}, {len(points)} measured runs"
    description = f"{escape_invisible(data.law.sentence)} Every number is in the table of runs."
    color = STATUS_COLORS[data.status]
    box = (LEFT / WIDTH, BOTTOM / HEIGHT, (WIDTH - LEFT - RIGHT) / WIDTH, (HEIGHT - TOP - BOTTOM) / HEIGHT)
    with styled_figure(WIDTH, HEIGHT, name) as figure:
        axes = figure.add_axes(box)
        if key == "r_long" and data.law.curve:
            curve = data.law.curve
            axes.fill_between(curve.r_long, curve.low, curve.high, color=INK, alpha=0.12, linewidth=0)
            axes.plot(curve.r_long, curve.z, color=INK, linewidth=1.2)
        mark_points(axes, [getattr(point, key) for point in points], [point.z for point in points], "o", INK, 5)
        here = next((part for part in data.datasets if part.name == data.law.dataset), None)
        place = next((change.value for change in here.changes if change.measure.key == key), None) if here else None
        if data.forecast and place is not None:
            mark_forecast(axes, place, data.forecast, color)
            version = escape_invisible(data.version.name, NAME_LETTERS)
            write_above(axes, f"■ forecast for {version}", 1, ha="right", weight="bold")
        write_above(axes, "Z", 0, 4 - LEFT, weight="bold")
        write_above(axes, f"performance ({benchmark})", 0)
        axes.set_xlabel(label, size=TEXT_SIZE)
        axes.tick_params(labelsize=TEXT_SIZE, length=0)
        axes.ticklabel_format(useOffset=False)
        axes.locator_params(axis="x", nbins=6)
        axes.locator_params(axis="y", nbins=5)
        axes.grid()
        return Chart(name, title, description, render_svg(figure, name, title, description))
