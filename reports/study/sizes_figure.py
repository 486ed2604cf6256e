"""What K1, K2 and K3 do to the Z of ZIP in a study (the paper's Figure 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.law_figure import DASHES
from reports.marks import TEXT_SIZE, Chart, mark_points, write_above
from reports.study.marks import LEFT, TOP, WIDTH, ZIP_COLOR, StudyChart, add_axes, style_axes
from reports.study.study import SIZES, MethodRow, SizeName, Study, list_variants
from reports.study.table import render_csv
from reports.svg import INK, render_svg, styled_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_HEIGHT, GAP_HEIGHT, TICKS_HEIGHT = 100.0, 10.0, 24.0
REFERENCE_WIDTH = 74.0


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
    height = TOP + len(panels) * SIZE_HEIGHT + (len(panels) - 1) * (TOP + GAP_HEIGHT) + TICKS_HEIGHT
    # One scale for all panels, or a flat one would look as steep as the others.
    compared = [row for _, rows in panels for row in rows] + ([random] if random else [])
    shown = [value for row in compared for value in _reach(row)]
    margin = 0.1 * (max(shown) - min(shown)) or 0.01
    with styled_figure(WIDTH, height, name) as figure:
        for number, (size, rows) in enumerate(panels):
            bottom = height - (number + 1) * (TOP + SIZE_HEIGHT) - number * GAP_HEIGHT
            axes = add_axes(figure, bottom, WIDTH - LEFT - REFERENCE_WIDTH, SIZE_HEIGHT, height)
            if random:
                _draw_reference(axes, random)
            _draw_variants(axes, rows, base)
            axes.set_ylim(min(shown) - margin, max(shown) + margin)
            style_axes(axes, "", study.z_measure)
            axes.set_xticks(range(len(rows)), [f"{getattr(row.settings, size):,}" for row in rows], size=TEXT_SIZE)
            write_above(axes, f"over {size.upper()}", 1, ha="right", weight="bold")
        svg = render_svg(figure, name, title, description)
    lines = [(size, getattr(row.settings, size), row.name, row.z, row.z_sd) for size, rows in panels for row in rows]
    return StudyChart(
        Chart(name, title, description, svg), render_csv(("parameter", "value", "method", "z", "z_sd"), lines)
    )


def _draw_reference(axes: Axes, random: MethodRow) -> None:
    """The random selection: its Z as a dashed line, with its name, and one standard deviation as a band."""
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


def _draw_variants(axes: Axes, rows: Sequence[MethodRow], base: MethodRow) -> None:
    axes.plot(range(len(rows)), [row.z for row in rows], color=ZIP_COLOR, linewidth=1.2)
    for x, row in enumerate(rows):
        axes.errorbar(x, row.z, row.z_sd or 0.0, color=ZIP_COLOR, linewidth=1.2)
        mark_points(axes, [x], [row.z], "D", ZIP_COLOR, 7 if row is base else 4)
    axes.set_xlim(-0.4, len(rows) - 0.6)


def _list_sizes(sizes: Sequence[SizeName]) -> str:
    names = [size.upper() for size in sizes]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _reach(row: MethodRow) -> tuple[float, float]:
    return row.z - (row.z_sd or 0.0), row.z + (row.z_sd or 0.0)
