"""The versions side by side, as the paper's Figure 5 shows them: accepted ones in order, and the one under test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from monitor.verdict import Measurements, Verdict
from reports.numbers import finite
from reports.words import WORDS, Words

if TYPE_CHECKING:
    from monitor.history import HistoryEntry

DEFAULT_BENCHMARK = "heldout"


@dataclass(frozen=True)
class VersionRow:
    """A version and its Z. ``comparable``: measured with the configuration of the version under test."""

    name: str
    rows: int
    status: str
    words: Words
    waived: bool
    current: bool
    comparable: bool
    measurements: Mapping[str, Measurements]
    z: float | None

    @property
    def flagged(self) -> bool:
        return self.waived or self.status == "risky"


def choose_benchmark(verdict: Verdict, history: Sequence[HistoryEntry]) -> str:
    """The scale on which Z is shown: the forecast's, else the held-out score, else the one most versions have."""
    if verdict.forecast:
        return verdict.forecast.benchmark
    recorded = [benchmark for entry in history for benchmark in entry.scores]
    if not recorded or DEFAULT_BENCHMARK in recorded:
        return DEFAULT_BENCHMARK
    return max(sorted(set(recorded)), key=recorded.count)


def list_versions(verdict: Verdict, history: Sequence[HistoryEntry], benchmark: str) -> tuple[VersionRow, ...]:
    """Accepted versions by number; the version under test last, or in its place where it has been accepted already."""
    here = VersionRow(
        name=verdict.version.name,
        rows=verdict.version.rows,
        status=verdict.status,
        words=WORDS[verdict.status],
        waived=False,
        current=True,
        comparable=True,
        measurements=verdict.measurements,
        z=None,
    )
    rows = []
    for entry in sorted(history, key=lambda entry: (entry.number, entry.name)):
        comparable = entry.config_fingerprint == verdict.config_fingerprint
        z = finite(entry.scores.get(benchmark))
        if comparable and entry.data_hash == verdict.version.data_hash:
            rows.append(replace(here, name=entry.name, waived=entry.waived, z=z))
            continue
        rows.append(
            VersionRow(
                name=entry.name,
                rows=entry.rows,
                status=entry.status,
                words=WORDS[entry.status],
                waived=entry.waived,
                current=False,
                comparable=comparable,
                measurements=entry.measurements,
                z=z,
            )
        )
    return tuple(rows) if any(row.current for row in rows) else (*rows, here)
