"""Where the rows of a version come from: how many rows each source has, and how many were added and removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import HashedRecord
from corpus.row_facts import sources_of
from monitor.measures.compression import OTHER_SOURCES
from monitor.verdict import SourceRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

# So many sources, the largest, are told apart; the rest count as one, so that a history entry stays small.
MAX_SOURCES = 50
# Longer names of sources are cut, for the same reason.
NAME_CHARACTERS = 100


def count_sources(sources: Iterable[str]) -> dict[str, int]:
    """Rows by source, the largest source first. All sources beyond the 50th share one entry.

    >>> count_sources(["forum", "mail", "forum"])
    {'forum': 2, 'mail': 1}
    """
    counts = Counter(source[:NAME_CHARACTERS] for source in sources)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named = dict(ranked[:MAX_SOURCES])
    if rest := sum(count for _, count in ranked[MAX_SOURCES:]):
        named[OTHER_SOURCES] = named.get(OTHER_SOURCES, 0) + rest
    return named


def flag_new_sources(records: Sequence[HashedRecord], parent: Mapping[str, int] | None) -> NDArray[np.bool_]:
    """For each row, whether its source is one that the parent did not have, shape (records,).

    ``parent``: its rows by source, from ``count_sources``. No row is flagged where the parent's sources are not all
    known.
    """
    if parent is None or OTHER_SOURCES in parent:
        return np.zeros(len(records), dtype=bool)
    return np.array([source[:NAME_CHARACTERS] not in parent for source in sources_of(records)], dtype=bool)


def compare_sources(
    records: Sequence[HashedRecord],
    is_kept: NDArray[np.bool_] | None = None,
    is_added: NDArray[np.bool_] | None = None,
    parent: Mapping[str, int] | None = None,
) -> tuple[SourceRows, ...]:
    """The rows of each source, and what changed: the most changed source first, then unchanged ones by size.

    ``is_kept``, ``is_added``: shape (records,). Where neither is set, it is not known whether the parent had the row;
    the known rows of its source stand for it. ``parent``: the parent's rows by source, from ``count_sources``.
    """
    names = [source[:NAME_CHARACTERS] for source in sources_of(records)]
    rows = count_sources(names)
    if is_kept is None or is_added is None:
        return tuple(SourceRows(source, count, None, None, None) for source, count in rows.items())
    names = [name if name in rows else OTHER_SOURCES for name in names]
    kept = Counter(name for name, flag in zip(names, is_kept, strict=True) if flag)
    known = kept + Counter(name for name, flag in zip(names, is_added, strict=True) if flag)
    found = []
    for source in dict.fromkeys([*rows, *_gone(rows, parent)]):
        count = rows.get(source, 0)
        stayed = round(count * kept[source] / known[source]) if known[source] else 0 if not count else None
        had = _rows_in_parent(source, rows, parent)
        removed = max(0, had - stayed) if had is not None and stayed is not None else None
        found.append(SourceRows(source, count, None if stayed is None else count - stayed, stayed, removed))
    return tuple(sorted(found, key=lambda item: (-(item.added or 0) - (item.removed or 0), -item.rows, item.source)))


def _gone(rows: Mapping[str, int], parent: Mapping[str, int] | None) -> list[str]:
    """The parent's sources that are gone; empty where this version has too many sources to know."""
    return [] if parent is None or OTHER_SOURCES in rows else [source for source in parent if source not in rows]


def _rows_in_parent(source: str, rows: Mapping[str, int], parent: Mapping[str, int] | None) -> int | None:
    if parent is None:
        return None
    if source != OTHER_SOURCES:
        return parent.get(source, None if OTHER_SOURCES in parent else 0)
    # The shared entry stands for other sources in each version.
    return None if OTHER_SOURCES in parent else sum(count for name, count in parent.items() if name not in rows)
