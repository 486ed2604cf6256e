"""The figures of a selection study: token lengths (the paper's Figure 2), Z against R and L (3 and 4), K1 to K3 (7)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from monitor.law.results import LawMeasure
from reports.law_figure import DASHES, LINE_LEGEND, draw_curve
from reports.marks import STATUS_COLORS, TEXT_SIZE, Chart, mark_points, write_above
from reports.study import SIZES, MethodRow, SizeName, Study, list_variants
from reports.study_runs import Lengths
from reports.study_table import render_csv
from reports.svg import INK, render_svg, styled_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 520.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 14.0, 34.0, 44.0
# Names stand in a column of their own beside the dots: dots of methods that equal random lie on each other.
NAMES_WIDTH, NAME_HEIGHT, SCATTER_HEIGHT = 156.0, 14.0, 230.0
STRIP_HEIGHT, RIDGE_HEIGHT, SIZE_HEIGHT = 22.0, 30.0, 100.0
REFERENCE_WIDTH = 74.0
LENGTH_BINS = 40
# The paper's own method stands out by shape and colour; random, which all are compared with, by shape.
ZIP_COLOR = STATUS_COLORS["baseline"]

SCATTERS: dict[LawMeasure, tuple[str, str]] = {
    "r": ("R", "R: compression ratio of the selection, 32 KiB window"),
    "r_long": ("long R", "R long: compression ratio of the selection, long window"),
    "l": ("L", "L: mean probe loss of the selection, nats per token"),
}
Z_LABEL = "minus held-out loss, nats per token"


@dataclass(frozen=True)
class StudyChart:
    """A chart and the numbers it shows, as CSV."""

    chart: Chart
    csv: str


def draw_study(study: Study) -> tuple[StudyChart, ...]:
    """All figures of a study; the same bytes for the same study. One of K1 to K3 for each ZIP entry with variants."""
    scatters = [draw_scatter(study, key) for key in SCATTERS]
    sizes = [draw_sizes(study, row) for row in study.methods if study.variants.get(row.name)]
    return (draw_lengths(study), *scatters, *sizes)


def draw_lengths(study: Study) -> StudyChart:
    """How long the rows are that each method selects: one silhouette a method on a common scale."""
    edges = bin_lengths([tokens for row in study.methods for tokens in row.lengths])
    shares = {row.name: share_by_bin(row.lengths, edges) for row in study.methods}
    # Bins are equal on the logarithmic scale but for the shortest rows, so areas are comparable by height alone.
    heights = {name: share / np.diff(np.log(edges)) for name, share in shares.items()}
    top = max(float(height.max()) for height in heights.values())
    random = study.random
    name, title = "token-lengths", "Token lengths of the selected rows"
    description = "Share of the selected rows by their length in tokens, logarithmic scale; the tick is the mean." + (
        f" The dashed line repeats {random.name}, which is about the whole pool." if random else ""
    )
    height = len(study.methods) * (STRIP_HEIGHT + RIDGE_HEIGHT) + BOTTOM
    with styled_figure(WIDTH, height, name) as figure:
        for place, row in enumerate(study.methods):
            bottom = height - (place + 1) * (STRIP_HEIGHT + RIDGE_HEIGHT)
            axes = figure.add_axes(_box(LEFT, bottom, WIDTH - LEFT - RIGHT, RIDGE_HEIGHT, height))
            axes.stairs(heights[row.name], edges, fill=True, color=_color(row), alpha=0.35, linewidth=0)
            axes.stairs(heights[row.name], edges, color=_color(row), linewidth=1.0, baseline=None)
            if random and row is not random:
                axes.stairs(heights[random.name], edges, color=INK, linewidth=0.9, linestyle=DASHES, baseline=None)
            axes.plot([row.mean_tokens] * 2, [0, 0.45 * top], color=INK, linewidth=2)
            axes.set(xscale="log", xlim=(edges[0], edges[-1]), ylim=(0, 1.05 * top), yticks=[])
            axes.spines["left"].set_visible(False)
            _label_tokens(axes, edges, is_last=place == len(study.methods) - 1)
            write_above(axes, f"{row.name} (dashed in the others)" if row is random else row.name, 0, weight="bold")
            write_above(axes, f"mean {row.mean_tokens:.0f} tokens", 1, ha="right")
        axes.set_xlabel("tokens in a row", size=TEXT_SIZE)
        svg = render_svg(figure, name, title, description)
    bins = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    rows = [(row.name, *bins[i], float(share)) for row in study.methods for i, share in enumerate(shares[row.name])]
    return StudyChart(
        Chart(name, title, description, svg), render_csv(("method", "tokens_from", "tokens_below", "share"), rows)
    )


def bin_lengths(lengths: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Whole numbers of tokens as edges of bins about equal on a logarithmic scale, around all lengths.

    >>> bin_lengths([3, 5]).tolist()
    [3.0, 4.0, 5.0, 6.0]
    """
    low = max(1, min(lengths))
    high = max(low, *lengths) + 1
    return np.unique(np.round(np.geomspace(low, high, LENGTH_BINS + 1)))


def share_by_bin(lengths: Lengths, edges: Any) -> Any:
    """The share of the rows in each bin. A row without a token counts in the first."""
    values = np.maximum(list(lengths), edges[0])
    counts, _ = np.histogram(values, edges, weights=list(lengths.values()))
    return counts / counts.sum()


def _label_tokens(axes: Axes, edges: Any, *, is_last: bool) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    # Numbers of many digits stand wider than the steps of 1, 2, 5 on a long scale.
    factors = (1, 2, 5) if edges[-1] < 1000 * edges[0] else (1, 3)
    ticks = [factor * 10**power for power in range(7) for factor in factors]
    ticks = [tick for tick in ticks if edges[0] <= tick <= edges[-1]]
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(ticks, [f"{tick:,}" if is_last else "" for tick in ticks], size=TEXT_SIZE)
    axes.tick_params(length=3 if is_last else 0)


def draw_scatter(study: Study, key: LawMeasure) -> StudyChart:
    """Z against R, long R or L: one mark a method with its standard deviations, and the law where it was fitted."""
    symbol, label = SCATTERS[key]
    rows = study.methods
    variants = [row for row in study.entries if row not in rows]
    places = [(getattr(row, key), row.z) for row in rows]
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
        axes = figure.add_axes(_box(LEFT, BOTTOM, WIDTH - LEFT - NAMES_WIDTH, inner, height))
        mark_points(axes, [getattr(row, key) for row in variants], [row.z for row in variants], "D", ZIP_COLOR, 2)
        for row, (x, z) in zip(rows, places, strict=True):
            axes.errorbar(x, z, row.z_sd or 0.0, _spread(row, key), color=_color(row), linewidth=1.2)
            mark_points(axes, [x], [z], _shape(row), _color(row), 6)
        axes.margins(0.06, 0.08)
        if steps:
            draw_curve(axes, steps, curve.holds)
        _style_axes(axes, label)
        _name_marks(axes, rows, places, inner)
        svg = render_svg(figure, name, title, description)
    header = ("kind", "method", key, f"{key}_sd", "z", "z_sd", "z_low", "z_high", "run_low", "run_high")
    lines: list[tuple[Any, ...]] = [
        ("method", row.name, x, _spread(row, key), z, row.z_sd, *[None] * 4)
        for row, (x, z) in zip(rows, places, strict=True)
    ]
    lines += [
        ("variant", row.name, getattr(row, key), _spread(row, key), row.z, row.z_sd, *[None] * 4) for row in variants
    ]
    lines += [("law", None, x, None, z, None, *bands) for x, z, *bands in steps]
    return StudyChart(Chart(name, title, description, svg), render_csv(header, lines))


def _spread(row: MethodRow, key: LawMeasure) -> float:
    values = [getattr(run.selected, key) for run in row.runs]
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _name_marks(axes: Axes, rows: Sequence[MethodRow], places: Sequence[tuple[float, float]], inner: float) -> None:
    """Names in a column at the right, in the order of their marks, each joined to its mark by a thin line."""
    low, high = axes.get_ylim()
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(low, high)
    wanted = [(z - low) / (high - low) * inner for _, z in places]
    for row, (x, z), y in zip(rows, places, spread_labels(wanted, NAME_HEIGHT, inner), strict=True):
        axes.annotate(
            f"{row.name[:20]}",
            (x, z),
            (1, y / inner),
            textcoords="axes fraction",
            va="center",
            size=TEXT_SIZE,
            color=_color(row),
            parse_math=False,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": _color(row), "alpha": 0.45, "linewidth": 0.7, "shrinkB": 4},
        )


def spread_labels(wanted: Sequence[float], gap: float, top: float) -> list[float]:
    """Places between 0 and ``top``, at least ``gap`` apart, in the order of the wanted ones and near them.

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
    places = [0.0] * len(wanted)
    for i, place in zip(order, placed, strict=True):
        places[i] = place
    return places


def draw_sizes(study: Study, base: MethodRow) -> StudyChart:
    """Z of a ZIP entry and its variants over K1, K2 and K3, each where it takes at least two values."""
    panels = [(size, list_variants(study, base, size)) for size in SIZES]
    panels = [(size, rows) for size, rows in panels if len(rows) > 1]
    name, title = f"sizes-{base.name}", f"Z of {base.name} over {_list_sizes([size for size, _ in panels])}"
    own = base.settings
    description = (
        f"Means over seeds; bars and the band are one standard deviation. The large mark is {base.name} itself "
        f"(K1 {own.k1:,}, K2 {own.k2:,}, K3 {own.k3:,}); in each panel one of the three varies."
    )
    random = study.random
    height = TOP + len(panels) * SIZE_HEIGHT + (len(panels) - 1) * (TOP + 10) + 24
    # One scale for all panels, or a flat one would look as steep as the others.
    compared = [row for _, rows in panels for row in rows] + ([random] if random else [])
    shown = [value for row in compared for value in _reach(row)]
    margin = 0.1 * (max(shown) - min(shown)) or 0.01
    with styled_figure(WIDTH, height, name) as figure:
        bottom = height
        for size, rows in panels:
            bottom -= TOP + SIZE_HEIGHT
            axes = figure.add_axes(_box(LEFT, bottom, WIDTH - LEFT - REFERENCE_WIDTH, SIZE_HEIGHT, height))
            bottom -= 10
            if random:
                axes.axhspan(*_reach(random), color=INK, alpha=0.1, linewidth=0)
                axes.axhline(random.z, color=INK, linewidth=1, linestyle=DASHES)
                axes.annotate(
                    random.name[:10],
                    (1, random.z),
                    (4, 0),
                    xycoords=axes.get_yaxis_transform(),
                    textcoords="offset points",
                    va="center",
                    size=TEXT_SIZE,
                )
            axes.plot(range(len(rows)), [row.z for row in rows], color=ZIP_COLOR, linewidth=1.2)
            for x, row in enumerate(rows):
                axes.errorbar(x, row.z, row.z_sd or 0.0, color=ZIP_COLOR, linewidth=1.2)
                mark_points(axes, [x], [row.z], "D", ZIP_COLOR, 7 if row is base else 4)
            axes.set(xlim=(-0.4, len(rows) - 0.6), ylim=(min(shown) - margin, max(shown) + margin))
            _style_axes(axes, "")
            axes.set_xticks(range(len(rows)), [f"{getattr(row.settings, size):,}" for row in rows], size=TEXT_SIZE)
            write_above(axes, f"over {size.upper()}", 1, ha="right", weight="bold")
        svg = render_svg(figure, name, title, description)
    lines = [(size, getattr(row.settings, size), row.name, row.z, row.z_sd) for size, rows in panels for row in rows]
    return StudyChart(
        Chart(name, title, description, svg), render_csv(("parameter", "value", "method", "z", "z_sd"), lines)
    )


def _list_sizes(sizes: Sequence[SizeName]) -> str:
    names = [size.upper() for size in sizes]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _reach(row: MethodRow) -> tuple[float, float]:
    return row.z - (row.z_sd or 0.0), row.z + (row.z_sd or 0.0)


def _style_axes(axes: Axes, label: str) -> None:
    write_above(axes, "Z", 0, 4 - LEFT, weight="bold")
    write_above(axes, Z_LABEL, 0)
    axes.set_xlabel(label, size=TEXT_SIZE)
    axes.tick_params(labelsize=TEXT_SIZE, length=0)
    axes.ticklabel_format(useOffset=False)
    axes.locator_params(axis="x", nbins=6)
    axes.locator_params(axis="y", nbins=5)
    axes.grid()


def _box(
    left: float, bottom: float, width: float, height: float, figure_height: float
) -> tuple[float, float, float, float]:
    return (left / WIDTH, bottom / figure_height, width / WIDTH, height / figure_height)


def _color(row: MethodRow) -> str:
    return ZIP_COLOR if row.settings.method == "zip" else INK


def _shape(row: MethodRow) -> str:
    return {"zip": "D", "random": "s"}.get(row.settings.method, "o")
