"""How long the rows of a version are, by groups of rows. (The paper's Figure 2 shows lengths in tokens.)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import HashedRecord
from corpus.row_facts import characters_of
from monitor.verdict import RowLengths

if TYPE_CHECKING:
    from numpy.typing import NDArray


def measure_lengths(records: Sequence[HashedRecord], groups: Mapping[str, NDArray[np.bool_]]) -> RowLengths:
    """Histograms of the rows' lengths in characters, with two bins for each doubling of the length.

    ``groups``: by name, whether a row is in the group, shape (records,) each. Lengths are in characters because a
    verdict is made without a tokenizer, and because not every language puts spaces between words.
    """
    lengths = characters_of(records)
    chosen = np.logical_or.reduce(list(groups.values()))
    edges = choose_edges(lengths[chosen])
    counts, medians = {}, {}
    for group, is_in in groups.items():
        bins = np.searchsorted(edges, lengths[is_in], side="right") - 1
        counts[group] = tuple(np.bincount(bins, minlength=len(edges) - 1).tolist())
        medians[group] = float(np.median(lengths[is_in])) if is_in.any() else None
    return RowLengths(edges, counts, medians)


def choose_edges(lengths: NDArray[np.int64]) -> tuple[int, ...]:
    """The edges of the bins: powers of the square root of 2, rounded, from below the shortest to above the longest.

    >>> choose_edges(np.array([9, 20]))
    (8, 11, 16, 23)
    """
    if not len(lengths):
        return (0, 1)
    edges = [0]
    power = 0
    while edges[-1] <= int(lengths.max()):
        edge = round(2 ** (power / 2))
        power += 1
        if edge > edges[-1]:
            edges.append(edge)
    first = max(i for i, edge in enumerate(edges) if edge <= int(lengths.min()))
    return tuple(edges[first:])
