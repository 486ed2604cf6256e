"""Figure 2 of the paper for one version: how long its kept and its added rows are."""

from __future__ import annotations

from reports.dataset_view import DatasetView
from reports.escaping import escape_invisible
from reports.lengths import GROUP_WORDS
from reports.marks import TEXT_SIZE, Chart, write_above
from reports.numbers import format_count
from reports.svg import INK, render_svg, styled_figure

WIDTH, HEIGHT = 380.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 20.0, 34.0, 44.0
LEGENDS = {"all": "grey: all rows", "kept": "grey: kept", "added": "dashed: added"}


def draw_lengths(dataset: DatasetView, color: str, name: str) -> Chart:
    """The share of each group's rows by length: grey areas, and a dashed line in ``color`` for added rows.

    ``dataset``: one whose rows' lengths were measured.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

    groups = [group for group in GROUP_WORDS if any(part.counts.get(group) for part in dataset.lengths)]
    medians = dataset.rows.lengths.medians if dataset.rows else {}
    title = f"{escape_invisible(dataset.name)}: length of rows in characters"
    typical = [f"{format_count(round(medians[group] or 0))} for the {GROUP_WORDS[group].lower()}" for group in groups]
    description = f"Length of rows in characters: the median is {' and '.join(typical)}."
    # A logarithmic axis cannot begin at 0.
    edges = [max(part.low, 0.7) for part in dataset.lengths] + [dataset.lengths[-1].high + 1]
    box = (LEFT / WIDTH, BOTTOM / HEIGHT, (WIDTH - LEFT - RIGHT) / WIDTH, (HEIGHT - TOP - BOTTOM) / HEIGHT)
    with styled_figure(WIDTH, HEIGHT, name) as figure:
        axes = figure.add_axes(box)
        axes.set_xscale("log")
        for group in groups:
            shares = [part.shares[group] or 0.0 for part in dataset.lengths]
            if group == "added":
                axes.stairs(shares, edges, color=color, linewidth=1.6, linestyle=(0, (4, 2)), baseline=None)
            else:
                axes.stairs(shares, edges, color=INK, alpha=0.18, fill=True, linewidth=0)
                axes.stairs(shares, edges, color=INK, linewidth=0.9, baseline=None)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(bottom=0)
        write_above(axes, ", ".join(LEGENDS[group] for group in groups), 1, ha="right", weight="bold")
        write_above(axes, "share of rows", 0, 4 - LEFT)
        axes.set_xlabel("characters in a row", size=TEXT_SIZE)
        if edges[-1] < 4 * edges[0]:  # there may be no round number between the two
            axes.set_xticks([edges[0], edges[-1]])
        else:
            steps = (1.0,) if edges[-1] > 30 * edges[0] else (1.0, 2.0, 5.0)
            axes.xaxis.set_major_locator(LogLocator(10, subs=steps))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_count(round(value))))
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.tick_params(labelsize=TEXT_SIZE, length=0)
        axes.grid(axis="y")
        return Chart(name, title, description, render_svg(figure, name, title, description))
