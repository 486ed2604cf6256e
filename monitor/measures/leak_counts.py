"""Of the rows that leak, which were added: what the rule `leak` asks about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.errors import NotAssessedError
from corpus.leaked_rows import LeakReport
from corpus.records import HashedRecord
from corpus.row_facts import hashes_of, numbers_of
from corpus.row_hashes import RowHashes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.measures.row_split import RowSplit


@dataclass(frozen=True)
class LeakCounts:
    """How many added and kept rows are near copies of rows of evaluation sets.

    - ``added``, ``kept``: how many rows were looked at; ``leaked_added``, ``leaked_kept``: how many of them leak.
    - ``shares``: how much of a set's row each added row that leaks has, nan of all others, shape (rows,).
    - ``hit``: for each set, how many of its rows the added rows hold, and how many it has.
    - ``leaked``: rows of the whole version.
    """

    added: int
    kept: int
    leaked_added: int
    leaked_kept: int
    shares: NDArray[np.float64]
    hit: dict[str, tuple[int, int]]
    leaked: int

    @property
    def share_added(self) -> float:
        return self.leaked_added / self.added if self.added else 0.0

    @property
    def share_kept(self) -> float:
        return self.leaked_kept / self.kept if self.kept else 0.0


def count_leaks(records: Sequence[HashedRecord], split: RowSplit, report: LeakReport) -> LeakCounts:
    """Find the listed rows among the records.

    Where more rows leak than are listed, only rows with hashes up to that of the last listed one are looked at: of
    these all are listed. Raises NotAssessedError where a listed row is not among the records.
    """
    listed = sorted(report.listed, key=lambda found: (found.hash, found.row))
    hashes, numbers = hashes_of(records), numbers_of(records)
    looked_at = np.ones(len(records), dtype=bool)
    if len(listed) < report.leaked:
        looked_at = _up_to(hashes, listed[-1].hash)
    place = {int(numbers[i]): int(i) for i in np.flatnonzero(np.isin(numbers, [found.row for found in listed]))}
    shares = np.full(len(records), np.nan)
    rows_hit: dict[str, set[int]] = {name: set() for name in report.sets}
    for found in listed:
        i = place.get(found.row)
        if i is None or hashes[i] != found.hash or found.set not in rows_hit:
            raise NotAssessedError("prepare.json: its leaks are of other rows; run `dvc repro --force prepare`")
        shares[i] = found.share
        if split.is_added[i]:
            rows_hit[found.set].add(found.set_row)
    is_leak = ~np.isnan(shares)
    added, kept = looked_at & split.is_added, looked_at & split.is_kept
    return LeakCounts(
        int(np.count_nonzero(added)),
        int(np.count_nonzero(kept)),
        int(np.count_nonzero(added & is_leak)),
        int(np.count_nonzero(kept & is_leak)),
        np.where(split.is_added, shares, np.nan),
        {name: (len(hit), report.sets[name].rows) for name, hit in rows_hit.items()},
        report.leaked,
    )


def _up_to(hashes: RowHashes, last: str) -> NDArray[np.bool_]:
    """Which hashes are at most this one."""
    high, low = (np.uint64(int(last[part], 16)) for part in (slice(16), slice(16, None)))
    upper, lower = hashes.digests[:, 0], hashes.digests[:, 1]
    found: NDArray[np.bool_] = (upper < high) | ((upper == high) & (lower <= low))
    return found
