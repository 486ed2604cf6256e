"""All figures of a selection study: token lengths (the paper's Figure 2), Z against R and L (3 and 4), K1 to K3 (7)."""

from __future__ import annotations

from reports.study.lengths_figure import draw_lengths
from reports.study.marks import StudyChart
from reports.study.scatter_figure import SCATTERS, draw_scatter
from reports.study.sizes_figure import draw_sizes
from reports.study.study import Study


def draw_study(study: Study) -> tuple[StudyChart, ...]:
    """All figures of a study; the same bytes for the same study.

    There is one figure of K1 to K3 for each ZIP entry that has variants.
    """
    scatters = [draw_scatter(study, key) for key in SCATTERS]
    sizes = [draw_sizes(study, row) for row in study.methods if study.variants.get(row.name)]
    return (draw_lengths(study), *scatters, *sizes)
