"""The versions side by side, as in the paper's Figure 5: the accepted ones in order, and the one under test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from monitor.lineage import find_own
from monitor.verdict import Measurements, Verdict
from reports.numbers import finite
from reports.words import WORDS, Words

if TYPE_CHECKING:
    from monitor.history import HistoryEntry

DEFAULT_BENCHMARK = "heldout"
# So many are shown, beside those that must be: names still fit below a figure, and a table is read to its end.
SHOWN_VERSIONS = 40


@dataclass(frozen=True)
class VersionRow:
    """A version with its measurements by dataset and its Z.

    ``waived``: accepted under a waiver. ``current``: the version under test. ``comparable``: measured with the same
    configuration as that. ``z``: performance, None where it is not known.
    """

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
        """Whether the version was found risky."""
        return self.waived or self.status == "risky"


def choose_benchmark(verdict: Verdict, history: Sequence[HistoryEntry]) -> str:
    """The benchmark whose Z is shown: that of the forecast, else the held-out score, else the most frequent one."""
    if verdict.forecast:
        return verdict.forecast.benchmark
    recorded = Counter(benchmark for entry in history for benchmark in entry.scores)
    if not recorded or DEFAULT_BENCHMARK in recorded:
        return DEFAULT_BENCHMARK
    return max(sorted(recorded), key=lambda benchmark: recorded[benchmark])


def list_versions(verdict: Verdict, history: Sequence[HistoryEntry], benchmark: str) -> tuple[VersionRow, ...]:
    """The accepted versions in the history's order, with the version under test among them if accepted, else at the
    end.
    """
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
    own = find_own(history, verdict.config_fingerprint, verdict.version.data_hash)
    for entry in history:
        comparable = entry.config_fingerprint == verdict.config_fingerprint
        z = finite(entry.scores.get(benchmark))
        if entry is own:
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


def choose_shown(versions: Sequence[VersionRow], parent: str | None) -> tuple[VersionRow, ...]:
    """The versions to show of many: the latest, the first, the ``parent`` and the one under test, in their order."""
    first = len(versions) - SHOWN_VERSIONS
    return tuple(row for i, row in enumerate(versions) if not 0 < i < first or row.current or row.name == parent)
