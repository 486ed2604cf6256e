"""What the figures share: colours, sizes, and how a version, a flagged version and a forecast are marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monitor.verdict import Forecast

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Mid tones: each stands out by at least 3:1 from white paper and from a dark page.
STATUS_COLORS = {
    "baseline": "#2f7fc1",
    "pass": "#2c8a4f",
    "warn": "#b26b00",
    "risky": "#d8433b",
    "not_assessed": "#8a63d2",
}
TEXT_SIZE = 10.0
# Names in a figure are cut to this many letters; the tables have them whole.
NAME_LETTERS = 12


@dataclass(frozen=True)
class Chart:
    """One SVG; ``name`` serves as file stem, ``description`` is read out where the picture is not seen."""

    name: str
    title: str
    description: str
    svg: str


def mark_points(
    axes: Axes, xs: Sequence[float], ys: Sequence[float], shape: str, color: str, size: float, crossed: bool = False
) -> None:
    """Filled marks, or hollow ones with a cross for what was found risky."""
    face = "none" if crossed else color
    axes.plot(xs, ys, shape, color=color, markerfacecolor=face, markersize=size, markeredgewidth=1.4, clip_on=False)
    if crossed:
        axes.plot(xs, ys, "x", color=color, markersize=size * 0.5, markeredgewidth=1.4, clip_on=False)


def mark_forecast(axes: Axes, x: float, forecast: Forecast, color: str) -> None:
    """A square on its prediction interval."""
    reach = [[forecast.value - forecast.low], [forecast.high - forecast.value]]
    axes.errorbar([x], [forecast.value], reach, color=color, capsize=4, linewidth=1.4)
    mark_points(axes, [x], [forecast.value], "s", color, 5)


def write_above(axes: Axes, text: str, at: float, shift: float = 0, **style: Any) -> None:
    """Text in the strip above the axes, ``at`` a share of their width; never read as a formula."""
    axes.annotate(
        text,
        (at, 1),
        (shift, 9),
        xycoords="axes fraction",
        textcoords="offset points",
        size=TEXT_SIZE,
        parse_math=False,
        **style,
    )
