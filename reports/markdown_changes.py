"""Parts of report.md: the range of benign updates, what changed in each source, row lengths and training curves."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.verdict import RowLengths
from reports.dataset_view import DatasetView
from reports.escaping import escape_markdown, markdown_code
from reports.lengths import GROUP_WORDS, LengthBin
from reports.markdown_table import table
from reports.numbers import MISSING, format_count, format_number, format_share
from reports.training_curves import TrainingCurve


def list_changed_rows(dataset: DatasetView) -> list[str]:
    """What changed in a dataset, as blocks of Markdown; none for verdicts made before rows were described."""
    if dataset.rows is None:
        return []
    blocks = []
    limits = [
        f"{change.measure.symbol} at {format_number(change.normal.low)} to {format_number(change.normal.high)}"
        for change in dataset.changes
        if change.normal
    ]
    if limits:
        blocks.append(f"Benign updates of this size leave {', '.join(limits)}.")
    sources = [
        [
            markdown_code(part.source) if part.source else "(no source)",
            *(format_count(count) for count in (part.rows, part.added, part.removed, part.kept)),
        ]
        for part in dataset.rows.sources
    ]
    blocks.append(table(["Source", "Rows", "Added", "Removed", "Kept"], sources, "lrrrr"))
    return [*blocks, _length_table(dataset.rows.lengths, dataset.lengths)]


def list_training(curves: Sequence[TrainingCurve]) -> list[str]:
    """A heading and a table for each curve; nothing without curves."""
    blocks = ["## Training on this version"] if curves else []
    for curve in curves:
        held_out = dict(curve.held_out)
        steps = sorted({*dict(curve.train), *held_out})
        losses = [
            [format_count(step), *(format_number(part.get(step)) for part in (dict(curve.train), held_out))]
            for step in steps
        ]
        blocks.append(f"{curve.method} on {escape_markdown(curve.dataset)}, {curve.steps:,} logged steps:")
        blocks.append(table(["Step", "Loss", "Held out"], losses, "rrr"))
    return blocks


def _length_table(lengths: RowLengths, bins: Sequence[LengthBin]) -> str:
    groups = list(lengths.counts)
    rows = [
        [
            f"{format_count(part.low)} to {format_count(part.high)}",
            *(f"{format_count(part.counts[group])} ({format_share(part.shares[group])})" for group in groups),
        ]
        for part in bins
    ]
    medians = [lengths.medians[group] for group in groups]
    rows.append(["Median", *(MISSING if value is None else format_count(round(value)) for value in medians)])
    return table(["Characters in a row", *(GROUP_WORDS[group] for group in groups)], rows, "l" + "r" * len(groups))
