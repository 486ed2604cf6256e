"""The loss of a training run, step by step."""

from __future__ import annotations

from reports.escaping import escape_invisible
from reports.marks import TEXT_SIZE, Chart, mark_points, write_above
from reports.numbers import format_number
from reports.svg import INK, render_svg, styled_figure
from reports.training_curves import TrainingCurve

WIDTH, HEIGHT = 380.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 14.0, 34.0, 44.0


def draw_training(curve: TrainingCurve, name: str) -> Chart:
    """The loss of a run: a line for the rows trained on, and squares for the held-out rows."""
    title = f"{curve.method} on {escape_invisible(curve.dataset)}: loss over {curve.steps} logged steps"
    first, last = (format_number(curve.train[i][1]) for i in (0, -1))
    description = f"The loss goes from {first} to {last}. Every number drawn is in the table of steps."
    box = (LEFT / WIDTH, BOTTOM / HEIGHT, (WIDTH - LEFT - RIGHT) / WIDTH, (HEIGHT - TOP - BOTTOM) / HEIGHT)
    with styled_figure(WIDTH, HEIGHT, name) as figure:
        axes = figure.add_axes(box)
        steps, losses = zip(*curve.train, strict=True)
        axes.plot(steps, losses, color=INK, linewidth=1.2, marker="o", markersize=4 if len(steps) == 1 else 0)
        if curve.held_out:
            steps, losses = zip(*curve.held_out, strict=True)
            mark_points(axes, steps, losses, "s", INK, 5)
            write_above(axes, "■ held out", 1, ha="right", weight="bold")
        write_above(axes, "loss", 0, 4 - LEFT, weight="bold")
        write_above(axes, curve.method, 0)
        axes.set_xlabel("step", size=TEXT_SIZE)
        axes.tick_params(labelsize=TEXT_SIZE, length=0)
        axes.ticklabel_format(useOffset=False)
        axes.locator_params(axis="x", nbins=6, integer=True)
        axes.locator_params(axis="y", nbins=4)
        axes.grid()
        return Chart(name, title, description, render_svg(figure, name, title, description))
