"""Z of the methods of a study against R, long R and L of what they select (the paper's Figures 3 and 4)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from monitor.law.results import LawMeasure
from reports.law_figure import LINE_LEGEND, draw_curve
from reports.marks import TEXT_SIZE, Chart, mark_points
from reports.study.marks import (
    BOTTOM,
    LEFT,
    TOP,
    WIDTH,
    ZIP_COLOR,
    StudyChart,
    add_axes,
    choose_color,
    choose_shape,
    style_axes,
)
from reports.study.study import MethodRow, Study
from reports.study.table import render_csv
from reports.svg import render_svg, styled_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Names stand in a column of their own beside the dots: dots of methods that equal random lie on each other.
NAMES_WIDTH, NAME_HEIGHT, SCATTER_HEIGHT = 156.0, 14.0, 230.0

SCATTERS: dict[LawMeasure, tuple[str, str]] = {
    "r": ("R", "R: compression ratio of the selection, 32 KiB window"),
    "r_long": ("long R", "long R: compression ratio of the selection, long window"),
    "l": ("L", "L: mean probe loss of the selection, nats per token"),
}

Steps = Sequence[tuple[float, ...]]


def draw_scatter(study: Study, key: LawMeasure) -> StudyChart:
    """Z against R, long R or L: one mark a method with its standard deviations, and the law where it was fitted."""
    symbol, label = SCATTERS[key]
    rows = study.methods
    variants = [row for row in study.entries if row not in rows]
    curve = study.curves[key]
    steps = list(zip(*astuple(curve.band), strict=True)) if curve.band else []
    name, title = f"z-against-{key.replace('_', '-')}", f"Z against {symbol}"
    description = "Means over seeds; bars are one standard deviation."
    if variants:
        description += " Small marks are ZIP at other sizes."
    description += f" {curve.sentence}"
    if steps:
        description += f" {LINE_LEGEND}"
    inner = max(SCATTER_HEIGHT, NAME_HEIGHT * len(rows))
    height = TOP + inner + BOTTOM
    with styled_figure(WIDTH, height, name) as figure:
        axes = add_axes(figure, BOTTOM, WIDTH - LEFT - NAMES_WIDTH, inner, height)
        mark_points(axes, [getattr(row, key) for row in variants], [row.z for row in variants], "D", ZIP_COLOR, 2)
        for row in rows:
            x, color = getattr(row, key), choose_color(row)
            axes.errorbar(x, row.z, row.z_sd or 0.0, _spread(row, key), color=color, linewidth=1.2)
            mark_points(axes, [x], [row.z], choose_shape(row), color, 6)
        axes.margins(0.06, 0.08)
        if steps:
            draw_curve(axes, steps, curve.holds)
        style_axes(axes, label, study.z_measure)
        _name_marks(axes, rows, key, inner)
        svg = render_svg(figure, name, title, description)
    return StudyChart(Chart(name, title, description, svg), _tabulate(rows, variants, steps, key))


def _tabulate(rows: Sequence[MethodRow], variants: Sequence[MethodRow], steps: Steps, key: LawMeasure) -> str:
    header = ("kind", "method", key, f"{key}_sd", "z", "z_sd", "z_low", "z_high", "run_low", "run_high")
    lines: list[tuple[Any, ...]] = [
        (kind, row.name, getattr(row, key), _spread(row, key), row.z, row.z_sd, *[None] * 4)
        for kind, part in (("method", rows), ("variant", variants))
        for row in part
    ]
    lines += [("law", None, x, None, z, None, *bands) for x, z, *bands in steps]
    return render_csv(header, lines)


def _spread(row: MethodRow, key: LawMeasure) -> float:
    values = [getattr(run.selected, key) for run in row.runs]
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _name_marks(axes: Axes, rows: Sequence[MethodRow], key: LawMeasure, inner: float) -> None:
    """Names in a column at the right, in the order of their marks, each joined to its mark by a thin line.

    ``inner``: the height of the axes in points.
    """
    low, high = axes.get_ylim()
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(low, high)
    wanted = [(row.z - low) / (high - low) * inner for row in rows]
    for row, y in zip(rows, spread_labels(wanted, NAME_HEIGHT, inner), strict=True):
        color = choose_color(row)
        axes.annotate(
            f"{row.name[:20]}",
            (getattr(row, key), row.z),
            (1, y / inner),
            textcoords="axes fraction",
            va="center",
            size=TEXT_SIZE,
            color=color,
            parse_math=False,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": color, "alpha": 0.45, "linewidth": 0.7, "shrinkB": 4},
        )


def spread_labels(wanted: Sequence[float], gap: float, top: float) -> list[float]:
    """Heights of labels between 0 and ``top``, at least ``gap`` apart, near the wanted ones and in their order.

    >>> spread_labels([50.0, 52.0, 10.0], gap=14.0, top=60.0)
    [46.0, 60.0, 10.0]
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [wanted[i] for i in order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    ceiling = top
    for i in reversed(range(len(placed))):
        placed[i] = ceiling = min(placed[i], ceiling)
        ceiling -= gap
    heights = [0.0] * len(wanted)
    for i, height in zip(order, placed, strict=True):
        heights[i] = height
    return heights
