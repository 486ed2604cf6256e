"""How long the rows are that each method of a study selects (the paper's Figure 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from reports.law_figure import DASHES
from reports.marks import TEXT_SIZE, Chart, write_above
from reports.study.marks import BOTTOM, LEFT, RIGHT, WIDTH, StudyChart, add_axes, choose_color
from reports.study.runs import Lengths
from reports.study.study import MethodRow, Study
from reports.study.table import render_csv
from reports.svg import INK, render_svg, styled_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

STRIP_HEIGHT, RIDGE_HEIGHT = 22.0, 30.0
LENGTH_BINS = 40


def draw_lengths(study: Study) -> StudyChart:
    """One silhouette for each method on a common scale: the share of its rows by their length in tokens."""
    edges = bin_lengths([tokens for row in study.methods for tokens in row.lengths])
    shares = {row.name: share_by_bin(row.lengths, edges) for row in study.methods}
    random = study.random
    name, title = "token-lengths", "Token lengths of the selected rows"
    description = "Share of the selected rows by their length in tokens, logarithmic scale; the tick is the mean." + (
        f" The dashed line repeats {random.name}, which is about the whole pool." if random else ""
    )
    height = len(study.methods) * (STRIP_HEIGHT + RIDGE_HEIGHT) + BOTTOM
    with styled_figure(WIDTH, height, name) as figure:
        panels = [
            add_axes(
                figure,
                height - number * (STRIP_HEIGHT + RIDGE_HEIGHT),
                WIDTH - LEFT - RIGHT,
                RIDGE_HEIGHT,
                height,
            )
            for number in range(1, len(study.methods) + 1)
        ]
        _draw_silhouettes(panels, study, shares, edges)
        for axes in panels:
            _label_tokens(axes, edges, is_last=axes is panels[-1])
        panels[-1].set_xlabel("tokens in a row", size=TEXT_SIZE)
        svg = render_svg(figure, name, title, description)
    bins = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    rows = [(row.name, *bins[i], float(share)) for row in study.methods for i, share in enumerate(shares[row.name])]
    return StudyChart(
        Chart(name, title, description, svg), render_csv(("method", "tokens_from", "tokens_below", "share"), rows)
    )


def bin_lengths(lengths: Sequence[int]) -> NDArray[np.float64]:
    """Edges of bins around all lengths: whole numbers of tokens, about equally far apart on a logarithmic scale.

    >>> bin_lengths([3, 5]).tolist()
    [3.0, 4.0, 5.0, 6.0]
    """
    low = max(1, min(lengths))
    high = max(low, *lengths) + 1
    return np.unique(np.round(np.geomspace(low, high, LENGTH_BINS + 1)))


def share_by_bin(lengths: Lengths, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of the rows in each bin. A row without a token counts in the first bin."""
    values = np.maximum(list(lengths), edges[0])
    counts, _ = np.histogram(values, edges, weights=list(lengths.values()))
    return np.asarray(counts / counts.sum())


def _draw_silhouettes(
    panels: Sequence[Axes], study: Study, shares: dict[str, NDArray[np.float64]], edges: NDArray[np.float64]
) -> None:
    # Bins are equal on the logarithmic scale but for the shortest rows, so areas are comparable by height alone.
    heights = {name: share / np.diff(np.log(edges)) for name, share in shares.items()}
    top = max(float(height.max()) for height in heights.values())
    random = study.random
    for axes, row in zip(panels, study.methods, strict=True):
        color = choose_color(row)
        axes.stairs(heights[row.name], edges, fill=True, color=color, alpha=0.35, linewidth=0)
        axes.stairs(heights[row.name], edges, color=color, linewidth=1.0, baseline=None)
        if random and row is not random:
            axes.stairs(heights[random.name], edges, color=INK, linewidth=0.9, linestyle=DASHES, baseline=None)
        axes.plot([row.mean_tokens] * 2, [0, 0.45 * top], color=INK, linewidth=2)
        axes.set(xscale="log", xlim=(edges[0], edges[-1]), ylim=(0, 1.05 * top), yticks=[])
        axes.spines["left"].set_visible(False)
        write_above(axes, _name_row(row, random), 0, weight="bold")
        write_above(axes, f"mean {row.mean_tokens:.0f} tokens", 1, ha="right")


def _name_row(row: MethodRow, random: MethodRow | None) -> str:
    return f"{row.name} (dashed in the others)" if row is random else row.name


def _label_tokens(axes: Axes, edges: NDArray[np.float64], *, is_last: bool) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    # On a long scale numbers of many digits are wider than the steps of 1, 2, 5.
    factors = (1, 2, 5) if edges[-1] < 1000 * edges[0] else (1, 3)
    ticks = [factor * 10**power for power in range(7) for factor in factors]
    ticks = [tick for tick in ticks if edges[0] <= tick <= edges[-1]]
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(ticks, [f"{tick:,}" if is_last else "" for tick in ticks], size=TEXT_SIZE)
    axes.tick_params(length=3 if is_last else 0)
