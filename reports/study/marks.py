"""What the figures of a selection study share: sizes, colours, marks, and a chart with the numbers it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.marks import STATUS_COLORS, TEXT_SIZE, Chart, write_above
from reports.study.runs import ZMeasure
from reports.study.study import MethodRow
from reports.svg import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# All lengths are in points.
WIDTH = 520.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 14.0, 34.0, 44.0
# The paper's own method stands out by shape and colour; random, which all are compared with, by shape.
ZIP_COLOR = STATUS_COLORS["baseline"]
Z_LABELS: dict[ZMeasure, str] = {
    "heldout": "minus held-out loss, nats per token",
    "margin": "margin of held-out pairs, nats per token",
    "mt_bench": "mean grade in MT-bench",
}


@dataclass(frozen=True)
class StudyChart:
    """A chart and the numbers it shows, as CSV."""

    chart: Chart
    csv: str


def add_axes(figure: Figure, bottom: float, width: float, height: float, figure_height: float) -> Axes:
    """New axes at the left margin of a figure."""
    return figure.add_axes((LEFT / WIDTH, bottom / figure_height, width / WIDTH, height / figure_height))


def choose_color(row: MethodRow) -> str:
    """The colour of a method's marks."""
    return ZIP_COLOR if row.settings.method == "zip" else INK


def choose_shape(row: MethodRow) -> str:
    """The shape of a method's marks, as matplotlib names it."""
    return {"zip": "D", "random": "s"}.get(row.settings.method, "o")


def style_axes(axes: Axes, label: str, measure: ZMeasure) -> None:
    """Set up axes that show Z upwards and what ``label`` names to the right."""
    write_above(axes, "Z", 0, 4 - LEFT, weight="bold")
    write_above(axes, Z_LABELS[measure], 0)
    axes.set_xlabel(label, size=TEXT_SIZE)
    axes.tick_params(labelsize=TEXT_SIZE, length=0)
    axes.ticklabel_format(useOffset=False)
    axes.locator_params(axis="x", nbins=6)
    axes.locator_params(axis="y", nbins=5)
    axes.grid()
