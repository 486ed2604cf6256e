"""What the stages take as a function of the size of the data: fits, tables of Markdown, and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measured_versions import TOTAL, Measured, Size

# R is of the whole text in any version: a version with few changed rows saves nothing there.
MEASURES_R = "compression"
# Rows that a plan is made for.
PLANNED_ROWS = 10**8


def fit_power(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The power of the size that the seconds grow as, by least squares of their logarithms.

    >>> round(fit_power([1_000, 10_000, 100_000], [2, 20, 200]), 6)
    1.0
    """
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def fit_line(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Seconds that do not depend on the size, and seconds for each unit of it; neither is below 0.

    Each point counts by its relative error: else the largest size alone would decide.

    >>> constant, slope = fit_line([1, 10, 100], [5, 23, 203])
    >>> round(constant, 6), round(slope, 6)
    (3.0, 2.0)
    """
    x, y = np.asarray(sizes, float), np.asarray(seconds, float)
    slope, constant = (float(value) for value in np.polyfit(x, y, 1, w=1 / y))
    if constant < 0:
        constant, slope = 0.0, float(np.sum(x / y) / np.sum((x / y) ** 2))
    elif slope < 0:
        constant, slope = float(np.sum(1 / y) / np.sum(1 / y**2)), 0.0
    return constant, slope


def tabulate_stages(measured: Sequence[Measured]) -> str:
    """A table of one version in every size: seconds on the clock, seconds of CPU, and MB held, by stage.

    With several sizes it ends with the power of the rows that either kind of seconds grows as.
    """
    several = len(measured) > 1
    sizes = [f"{size.rows:,} rows, {size.data_bytes / 1e6:,.0f} MB" for size in measured]
    head = ["", *(f"{size}: wall, CPU, memory" for size in sizes), *(["power of the rows"] if several else [])]
    lines = [_row(head), "|---" * len(head) + "|"]
    columns = [size.by_stage() for size in measured]
    for stage in columns[0]:
        timings = [column[stage] for column in columns]
        cells = [f"{t.seconds:.1f} s, {t.cpu_seconds:.1f} s, {t.peak_mb:,.0f} MB" for t in timings]
        if several:
            cells.append("{:z.2f}, {:z.2f}".format(*stage_powers(measured, stage)))
        lines.append(_row([f"**{stage}**" if stage == TOTAL else f"`{stage}`", *cells]))
    verdicts = [
        f"{m.status}; R {m.r:.3f}, long R {m.r_long:.3f}, near-duplicates {m.near_duplicates}" for m in measured
    ]
    lines.append(_row(["verdict", *verdicts, *([""] if several else [])]))
    return "\n".join(lines)


def stage_powers(measured: Sequence[Measured], stage: str) -> tuple[float, float]:
    """The powers of the rows that a stage's seconds on the clock and seconds of CPU grow as."""
    rows, timings = [m.rows for m in measured], [m.by_stage()[stage] for m in measured]
    return fit_power(rows, [t.seconds for t in timings]), fit_power(rows, [t.cpu_seconds for t in timings])


def tabulate_against_first(sizes: Sequence[Size]) -> str:
    """A table of each version's seconds over those of the first version, R apart."""
    lines = ["| rows | changed | wall over the first version's, R apart | CPU | memory |", "|---|---|---|---|---|"]
    for size in sizes:
        first = size.first.together(MEASURES_R)
        for version in size.versions:
            now = version.together(MEASURES_R)
            cells = [f"{version.rows:,}", f"{version.changed:.0%}", f"{now.seconds / first.seconds:.2f}"]
            lines.append(_row([*cells, f"{now.cpu_seconds / first.cpu_seconds:.2f}", f"{now.peak_mb:,.0f} MB"]))
    return "\n".join(lines)


def tabulate_once(sizes: Sequence[Size]) -> str:
    """A table of what is made once, and of accepting the first version, in seconds of CPU and MB."""
    lines = [_row(["once", *(f"{size.first.rows:,} rows: CPU, memory" for size in sizes)])]
    lines.append("|---" * (len(sizes) + 1) + "|")
    for which, timing in enumerate(sizes[0].once):
        cells = [f"{t.cpu_seconds:.1f} s, {t.peak_mb:,.0f} MB" for t in (size.once[which] for size in sizes)]
        lines.append(_row([f"`{timing.name}`", *cells]))
    accepts = [size.first.accept for size in sizes]
    lines.append(_row(["`accept`", *(f"{t.cpu_seconds:.1f} s, {t.peak_mb:,.0f} MB" for t in accepts if t)]))
    return "\n".join(lines)


def tabulate_plan(measured: Sequence[Measured], rows: int = PLANNED_ROWS) -> str:
    """A table of each stage's constant seconds and seconds for each GB, of CPU, and what follows for so many rows."""
    gigabytes = [m.data_bytes / 1e9 for m in measured]
    planned = rows * measured[-1].data_bytes / measured[-1].rows / 1e9
    lines = [f"| | constant, CPU | for each GB, CPU | {rows:,} rows, {planned:,.0f} GB, CPU |", "|---|---|---|---|"]
    together = np.zeros(3)
    for timing in measured[0].timings:
        constant, slope = fit_line(gigabytes, [m.by_stage()[timing.name].cpu_seconds for m in measured])
        sums = np.array([constant, slope, constant + slope * planned])
        together += sums
        lines.append(_row([f"`{timing.name}`", *_plan_cells(sums)]))
    lines.append(_row([f"**{TOTAL}**", *_plan_cells(together)]))
    return "\n".join(lines)


def _plan_cells(sums: np.ndarray) -> list[str]:
    return [f"{sums[0]:.1f} s", f"{sums[1]:.1f} s", f"{sums[2] / 3600:.1f} h"]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def draw_stages(measured: Sequence[Measured], path: Path) -> None:
    """Seconds on the clock and memory over the number of rows, by stage, both on logarithmic scales."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    rows, columns = [m.rows for m in measured], [m.by_stage() for m in measured]
    for stage in columns[0]:
        width = 2.5 if stage == TOTAL else 1.2
        axes[0].plot(rows, [column[stage].seconds for column in columns], marker="o", linewidth=width, label=stage)
        axes[1].plot(rows, [column[stage].peak_mb for column in columns], marker="o", linewidth=width, label=stage)
    axes[0].set(xlabel="rows", ylabel="seconds", xscale="log", yscale="log", title="from a commit to its verdict")
    axes[1].set(xlabel="rows", ylabel="MB", xscale="log", yscale="log", title="memory")
    axes[1].legend(fontsize="small")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def describe(sizes: Sequence[Size]) -> dict[str, Any]:
    """Everything that was measured, as JSON has it, with the powers of the rows where there are several sizes."""
    powers = {}
    if len(sizes) > 1:
        for name, measured in list_versions(sizes).items():
            found = {stage: stage_powers(measured, stage) for stage in measured[0].by_stage()}
            powers[name] = {stage: {"wall": wall, "cpu": cpu} for stage, (wall, cpu) in found.items()}
    return {"sizes": [asdict(size) for size in sizes], "powers": powers}


def list_versions(sizes: Sequence[Size]) -> dict[str, list[Measured]]:
    """The same version in every size, by what it is called: the first one, then each of the others."""
    versions = {"the first version": [size.first for size in sizes]}
    for which, version in enumerate(sizes[0].versions):
        versions[f"{version.changed:.0%} of the rows changed"] = [size.versions[which] for size in sizes]
    return versions
