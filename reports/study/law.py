"""The points that the entropy law is fitted on in a study: its distinct selections."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from monitor.law.results import LawPoint
from reports.study.runs import MethodResult, StudyRun


def list_law_points(results: Sequence[MethodResult]) -> list[LawPoint]:
    """One point for each distinct selection, with the mean Z of the models trained on it.

    Runs with the same selection have the same R and L; as separate points they would make the law look more certain
    than it is.
    """
    runs: dict[str, list[tuple[str, StudyRun]]] = {}
    for result in results:
        for run in result.runs:
            runs.setdefault(run.selected.identity, []).append((result.name, run))
    points = []
    for same in runs.values():
        name, run = same[0]
        z = statistics.fmean(other.z for _, other in same)
        points.append(LawPoint(name, run.selected.r, run.selected.r_long, run.selected.l, z, q=run.selected.quality))
    return points
