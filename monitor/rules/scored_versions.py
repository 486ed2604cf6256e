"""The versions of the history whose models were scored, as points of the entropy law."""

from __future__ import annotations

import math
from collections.abc import Sequence

from monitor.history import HistoryEntry
from monitor.law.results import ACCEPTED, LawPoint
from monitor.verdict import SCORED_DATASET

# The benchmark on which every pipeline measures Z.
HELDOUT = "heldout"


def list_scored_versions(
    history: Sequence[HistoryEntry], config_fingerprint: str, exclude_data_hash: str
) -> list[LawPoint]:
    """Every scored version but the one under test that was measured with this configuration, in the history's order.

    Versions that were released under a waiver count too: what their models score is known all the same.
    """
    points = []
    for entry in history:
        measured, z = entry.measurements.get(SCORED_DATASET), entry.scores.get(HELDOUT)
        if entry.config_fingerprint != config_fingerprint or entry.data_hash == exclude_data_hash:
            continue
        if measured is not None and z is not None and math.isfinite(measured.l + measured.r_long + z):
            points.append(LawPoint(entry.name, measured.r, measured.r_long, measured.l, z, ACCEPTED, measured.q))
    return points
