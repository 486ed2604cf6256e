"""Q: the quality of a version's rows, where they have grades: a judge's, or those that the data itself has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import HashedRecord, Preference
from corpus.row_facts import hashes_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class GradeSummary:
    """The grades of ``rows`` rows, at least one: ``mean`` and ``sd`` (n - 1; 0 of a single one), in their own unit."""

    mean: float
    sd: float
    rows: int

    def __post_init__(self) -> None:
        if self.rows < 1 or self.sd < 0 or not math.isfinite(self.mean + self.sd):
            raise ValueError(f"grades need a row, a mean and a spread, found {self.rows}, {self.mean} and {self.sd}")

    @classmethod
    def of(cls, grades: NDArray[np.float64]) -> GradeSummary:
        """
        >>> GradeSummary.of(np.array([3.0, 5.0, 4.0]))
        GradeSummary(mean=4.0, sd=1.0, rows=3)
        """
        sd = float(grades.std(ddof=1)) if len(grades) > 1 else 0.0
        return cls(float(grades.mean()), sd, len(grades))


@dataclass(frozen=True)
class RowGrades:
    """The grades of the rows of a dataset that have one, at least one row.

    ``rows``: their indices, from 0, in ascending order. ``grades``: of shape (rows,), finite.
    """

    rows: NDArray[np.int64]
    grades: NDArray[np.float64]

    @property
    def summary(self) -> GradeSummary:
        return GradeSummary.of(self.grades)

    def among(self, chosen: NDArray[np.bool_]) -> GradeSummary | None:
        """The grades of some rows; None where none of them has one. ``chosen``: shape (all rows of the dataset,)."""
        grades = self.grades[chosen[self.rows]]
        return GradeSummary.of(grades) if len(grades) else None


def find_grades(records: Sequence[HashedRecord], judged: Mapping[str, float], has_own: bool) -> RowGrades | None:
    """The grades of a dataset's rows; None where no row has one.

    ``judged``: a judge's grades by content hash, see `training.quality`. Where they are of none of the rows and the
    data may have grades of its own (``has_own``: preferences), these are those of the chosen answers. The two are never
    mixed, because their scales differ. Conversations are not read for it.
    """
    found: dict[int, float] = {}
    if judged:
        found = {i: judged[row_hash] for i, row_hash in enumerate(hashes_of(records)) if row_hash in judged}
    if not found and has_own:
        found = {
            i: record.chosen_score
            for i, (record, _) in enumerate(records)
            if isinstance(record, Preference) and record.chosen_score is not None
        }
    found = {i: grade for i, grade in found.items() if math.isfinite(grade)}
    if not found:
        return None
    return RowGrades(np.array(list(found), dtype=np.int64), np.array(list(found.values()), dtype=np.float64))
