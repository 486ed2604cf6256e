"""Z of the version under test as somebody's own trainer reports it, before the version is accepted."""

from __future__ import annotations

import math
from pathlib import Path

from corpus.artifacts import read_json, write_json
from corpus.errors import EntropylawError
from entropylaw.repository import layout


def report_score(data_hash: str, benchmark: str, value: float) -> Path:
    """Note Z of the version with this ``data_hash`` on a benchmark, beside what was reported of it before.

    What was reported of another version is dropped: its history entry has it. Raises EntropylawError when the value
    is not a finite number.
    """
    if not math.isfinite(value):
        raise EntropylawError(f"score on {benchmark}: expected a finite number, found {value}")
    scores = {**read_reported_scores(data_hash), benchmark: value}
    write_json(layout.REPORTED_SCORES, {"data_hash": data_hash, "z": scores})
    return layout.REPORTED_SCORES


def read_reported_scores(data_hash: str) -> dict[str, float]:
    """Z by benchmark as reported of the version with this ``data_hash``; none where the file is of another one."""
    if not layout.REPORTED_SCORES.exists():
        return {}
    document = read_json(layout.REPORTED_SCORES)
    try:
        return {str(key): float(z) for key, z in document["z"].items()} if document["data_hash"] == data_hash else {}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise EntropylawError(
            f"{layout.REPORTED_SCORES}: not a file of this version of the tool; delete it, and report the scores again"
        ) from None
