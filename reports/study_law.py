"""The entropy law over the selections of a study: the points it is fitted on, and how it ranks those left out."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from monitor.entropy_law import LawPoint, fit_entropy_law
from reports.study_runs import MethodResult, StudyRun


def list_law_points(results: Sequence[MethodResult]) -> list[LawPoint]:
    """One point for each distinct selection, with the mean Z of the models trained on it.

    Runs that share a selection share R and L as well: counted apart they would make the law look surer than it is.
    """
    runs: dict[str, list[tuple[str, StudyRun]]] = {}
    for result in results:
        for run in result.runs:
            runs.setdefault(run.selected.identity, []).append((result.name, run))
    points = []
    for same in runs.values():
        name, run = same[0]
        z = statistics.fmean(other.z for _, other in same)
        points.append(LawPoint(name, run.selected.r, run.selected.r_long, run.selected.l, z))
    return points


def correlate_left_out(points: Sequence[LawPoint]) -> float | None:
    """Spearman's correlation of each point's Z with its prediction by the law fitted on all the other points."""
    from scipy import stats

    predicted = []
    for place, point in enumerate(points):
        law = fit_entropy_law([*points[:place], *points[place + 1 :]])
        if law.holds is None:
            return None
        predicted.append(law.intercept + law.slope_log_r * math.log(point.r_long) + law.slope_l * point.l)
    actual = [point.z for point in points]
    if len(set(actual)) < 2 or len(set(predicted)) < 2:
        return None
    return float(stats.spearmanr(predicted, actual).statistic)
