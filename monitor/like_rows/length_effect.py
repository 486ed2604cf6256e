"""A feature of texts that grows with their length, freed of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# So many kept rows of about the same length tell what is usual for it.
ROWS_PER_LENGTH = 30


def take_off_length(
    values: NDArray[np.float64], lengths: NDArray[np.float64], is_kept: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The values less what is usual for texts of this length among the kept rows. Shapes (rows,), nan stays nan.

    A long answer compresses better than a short one without being more repetitive. The usual value is the median of
    kept rows of about the same length, and between two lengths a straight line.

    >>> lengths = np.arange(90.0)
    >>> freed = take_off_length(lengths / 10, lengths, lengths < 80)
    >>> float(np.abs(freed[20:59]).max()) < 1e-9
    True
    """
    known = np.flatnonzero(is_kept & ~np.isnan(values) & ~np.isnan(lengths))
    if not len(known):
        return values
    parts = np.array_split(known[np.argsort(lengths[known], kind="stable")], max(1, len(known) // ROWS_PER_LENGTH))
    usual_length = [float(np.median(lengths[part])) for part in parts]
    usual_value = [float(np.median(values[part])) for part in parts]
    return values - np.interp(lengths, usual_length, usual_value)
