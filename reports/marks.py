"""What the figures share: colours, sizes, and how a version, a flagged version and a forecast are marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monitor.verdict import Forecast

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Mid tones, with a contrast of at least 3:1 on white paper and on a dark page.
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
    """One figure. ``name``: its file name without suffix. ``description``: read out to those who cannot see it."""

    name: str
    title: str
    description: str
    svg: str


def mark_points(
    axes: Axes, xs: Sequence[float], ys: Sequence[float], shape: str, color: str, size: float, crossed: bool = False
) -> None:
    """Draw filled marks; ``crossed``: hollow ones with a cross, for versions found risky. ``size`` in points."""
    face = "none" if crossed else color
    axes.plot(xs, ys, shape, color=color, markerfacecolor=face, markersize=size, markeredgewidth=1.4, clip_on=False)
    if crossed:
        axes.plot(xs, ys, "x", color=color, markersize=size * 0.5, markeredgewidth=1.4, clip_on=False)


def mark_forecast(axes: Axes, x: float, forecast: Forecast, color: str) -> None:
    """Draw a forecast: a square, and a bar over its prediction interval."""
    reach = [[forecast.value - forecast.low], [forecast.high - forecast.value]]
    axes.errorbar([x], [forecast.value], reach, color=color, capsize=4, linewidth=1.4)
    mark_points(axes, [x], [forecast.value], "s", color, 5)


def write_above(axes: Axes, text: str, at: float, shift: float = 0, **style: Any) -> None:
    """Write text above the axes, as it is and not as a formula.

    ``at``: 0 for the left end of the axes, 1 for the right. ``shift``: to the right from there, in points.
    """
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
