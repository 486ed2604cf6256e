"""Z of the version under test as somebody's own trainer reports it, before the version is accepted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from corpus.artifacts import read_result, write_json
from corpus.errors import EntropylawError
from entropylaw.repository import layout


@dataclass(frozen=True)
class ReportedScores:
    """Z by benchmark of the version with this ``data_hash``."""

    data_hash: str
    z: dict[str, float]


def report_score(data_hash: str, benchmark: str, value: float) -> Path:
    """Note Z of the version with this ``data_hash`` on a benchmark, beside what was reported of it before.

    What was reported of another version is dropped: its history entry has it. Raises EntropylawError when the value
    is not a finite number.
    """
    if not math.isfinite(value):
        raise EntropylawError(f"score on {benchmark}: expected a finite number, found {value}")
    scores = {**read_reported_scores(data_hash), benchmark: value}
    write_json(layout.REPORTED_SCORES, ReportedScores(data_hash, scores))
    return layout.REPORTED_SCORES


def read_reported_scores(data_hash: str) -> dict[str, float]:
    """Z by benchmark as reported of the version with this ``data_hash``; none where the file is of another one."""
    if not layout.REPORTED_SCORES.exists():
        return {}
    repair = "delete it, and report the scores again with `entropylaw score`"
    reported = read_result(layout.REPORTED_SCORES, ReportedScores, repair=repair)
    return reported.z if reported.data_hash == data_hash else {}
