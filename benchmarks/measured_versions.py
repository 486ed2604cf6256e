"""What the stages took for one version of a data file, and for all versions of one size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.timed_commands import Timing
from corpus.artifacts import read_json, write_json

TOTAL = "together"


@dataclass(frozen=True)
class Measured:
    """What the stages took for one version of a data file.

    ``rows``, ``data_bytes``: of the file. ``changed``: share of the rows that the first version does not have; 0 is the
    first version itself, and then ``accept`` is what it took to accept it. ``status``: the verdict. ``r``, ``r_long``,
    ``near_duplicates``: what was measured.
    """

    rows: int
    changed: float
    data_bytes: int
    status: str
    r: float
    r_long: float
    near_duplicates: int
    timings: tuple[Timing, ...]
    accept: Timing | None = None

    def together(self, *without: str) -> Timing:
        """All stages, one after the other: their seconds added up, and the most memory that one of them held."""
        counted = [timing for timing in self.timings if timing.name not in without]
        return Timing(
            TOTAL,
            sum(timing.cpu_seconds for timing in counted),
            sum(timing.seconds for timing in counted),
            max(timing.peak_mb for timing in counted),
        )

    def by_stage(self) -> dict[str, Timing]:
        """Every stage's timing by its name, and that of all of them together."""
        return {timing.name: timing for timing in (*self.timings, self.together())}


@dataclass(frozen=True)
class Size:
    """Everything that was measured with so many rows: ``once`` what is made once, the first version, and later ones."""

    once: tuple[Timing, ...]
    first: Measured
    versions: tuple[Measured, ...]


def measure_or_read(path: Path, measure: Callable[[], Measured], again: bool) -> Measured:
    """What is kept in a file; where it is not there, or to be measured ``again``, it is measured and kept."""
    if again or not path.exists():
        # A measurement that was cut off leaves none behind.
        path.unlink(missing_ok=True)
        write_json(path, asdict(measure()))
    kept: dict[str, Any] = read_json(path)
    accept = Timing(**kept["accept"]) if kept["accept"] else None
    return Measured(**{**kept, "timings": tuple(Timing(**timing) for timing in kept["timings"]), "accept": accept})
