"""What a second model says of single rows: a real language model that only reads (training/second_model.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord
from corpus.row_facts import locate_rows
from monitor.measures.row_table import content_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.second_model import SecondModel


@dataclass(frozen=True, eq=False)
class SecondLosses:
    """The rows that the second model has read.

    ``identity``: of the model and of how it reads; losses of two versions can be compared where it is the same.
    ``contents``: the first 64 bits of the rows' content hashes; ``losses``: in nats per response token, in single
    precision. Both of shape (rows,).
    """

    identity: str
    contents: NDArray[np.uint64]
    losses: NDArray[np.float32]

    @classmethod
    def of(cls, identity: str, hashes: Sequence[str], losses: Sequence[float]) -> SecondLosses:
        """``losses``: of the rows with these hashes, nan where one was not read.

        >>> read = SecondLosses.of("f5", ["0" * 32, "1" * 32], [1.5, float("nan")])
        >>> read.losses.tolist()
        [1.5]
        """
        found = np.array(losses, dtype=np.float32)
        is_read = ~np.isnan(found)
        return cls(identity, content_keys(hashes)[is_read], found[is_read])

    def among(self, contents: NDArray[np.uint64]) -> SecondLosses:
        """Of the rows that were read, those with these contents."""
        wanted = np.isin(self.contents, contents)
        return SecondLosses(self.identity, self.contents[wanted], self.losses[wanted])

    @property
    def mean(self) -> float | None:
        """The mean loss of the rows that were read, in nats per response token; None where none was."""
        return float(self.losses.mean(dtype=np.float64)) if self.losses.size else None

    def find(self, contents: NDArray[np.uint64]) -> NDArray[np.float64]:
        """The loss of each row by the first 64 bits of its content hash, nan where it was not read. Shape (rows,)."""
        order = np.argsort(self.contents, kind="stable")
        known = self.contents[order]
        place = np.searchsorted(known, contents)
        place[place == len(known)] = 0
        if not len(known):
            return np.full(len(contents), np.nan)
        return np.where(known[place] == contents, self.losses[order][place].astype(np.float64), np.nan)


def read_by_second(
    model: SecondModel,
    records: Sequence[HashedRecord],
    numbers: Sequence[int],
    hashes: Sequence[str],
    progress: Progress = ignore_progress,
) -> SecondLosses:
    """What the second model says of probed rows, as many of the first ones as its budget allows.

    ``numbers``, ``hashes``: of the probed rows in the order of the probe; all of them are among ``records``.
    """
    places = locate_rows(records, numbers, hashes)
    assert places is not None  # they were probed
    losses = model.read([records[i] for i in places.tolist()], progress)
    return SecondLosses.of(model.identity, hashes, losses)
