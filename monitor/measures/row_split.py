"""Which rows of a version its parent had: kept rows, added rows, and rows of which that is not known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.row_hashes import RowHashes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.measures.row_sketch import RowSketch


@dataclass(frozen=True)
class RowSplit:
    """Three flags for each row of a version, in file order, shape (rows,) each.

    ``is_kept``: the parent had the row. ``is_added``: it had not. A row outside the sample that the parent's sketch
    keeps is neither. ``is_first``: no earlier row of this version is the same. A copy says nothing that the row
    itself has not said, so most comparisons read first rows only: ``kept_once`` and ``added_once``.
    """

    is_kept: NDArray[np.bool_]
    is_added: NDArray[np.bool_]
    is_first: NDArray[np.bool_]

    @property
    def kept_once(self) -> NDArray[np.bool_]:
        return self.is_kept & self.is_first

    @property
    def added_once(self) -> NDArray[np.bool_]:
        return self.is_added & self.is_first


def split_rows(row_hashes: Sequence[str], parent: RowSketch) -> RowSplit:
    """Look every row of a version up in its parent. ``row_hashes``: content hashes in file order.

    >>> from monitor.measures.row_sketch import RowSketch
    >>> old, new = "00" * 16, "11" * 16
    >>> split = split_rows([old, new, new], RowSketch.of([old]))
    >>> split.is_kept.tolist(), split.added_once.tolist()
    ([True, False, False], [False, True, False])
    """
    sampled, known = parent.look_up(row_hashes)
    return RowSplit(
        known,
        sampled & ~known,
        RowHashes.of(row_hashes).flag_first(),
    )
