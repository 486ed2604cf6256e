"""Which rows of its parent a version still has, by source and by their place in the parent's file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from corpus.key_lookup import is_among
from corpus.records import HashedRecord
from corpus.row_facts import hashes_of, sources_of
from corpus.side_facts import NO_KEY, choose_by_sides
from monitor.measures.compression import OTHER_SOURCES
from monitor.measures.row_sources import count_sources

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.measures.row_split import RowSplit


class SampledRows(Protocol):
    """The columns of ``monitor.measures.row_table.RowTable`` that are read here, shape (entries,) each.

    ``content``: the first 64 bits of each content hash. ``prompt``, ``answer``: side keys; ``crowded``: keys that tell
    no row from another. ``position``: the row's index in the parent's file, from 0.
    """

    @property
    def content(self) -> NDArray[np.uint64]: ...
    @property
    def prompt(self) -> NDArray[np.uint64]: ...
    @property
    def answer(self) -> NDArray[np.uint64]: ...
    @property
    def position(self) -> NDArray[np.uint32]: ...
    @property
    def crowded(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class Coverage:
    """What a version still has of its parent.

    - ``rows``: of the parent. ``lost``: how many are gone, edited rows not counted. Where no single rows are known, by
      how many the version has become smaller. ``removed``: how many are gone or edited.
    - ``position``: of those rows of the parent that are known one by one, in the parent's file, from 0 and ascending.
      ``is_present``: whether the version has the row, as it was or edited. Shape (known,) each; empty where none are.
    - ``sources``: for each source of the parent, how many rows it had and has; empty where that is not known.
    """

    rows: int
    lost: float
    removed: int
    position: NDArray[np.int64]
    is_present: NDArray[np.bool_]
    sources: dict[str, tuple[int, int]]


def measure_coverage(
    records: Sequence[HashedRecord],
    split: RowSplit,
    parent_rows: int,
    removed: int,
    parent_sources: Mapping[str, int] | None,
    sample: SampledRows | None,
) -> Coverage:
    """Look for the parent's rows in a version. ``removed``: how many of them have another content or are gone.

    ``sample``: what the history knows of single rows; None in old entries. The order of the records does not matter.
    """
    sources = _compare_sources(records, parent_sources)
    if sample is None or not sample.content.size:
        nothing = np.zeros(0, dtype=np.int64)
        fewer = max(0, parent_rows - len(records))
        return Coverage(parent_rows, fewer, removed, nothing, nothing.astype(bool), sources)
    order = np.argsort(sample.position, kind="stable")
    present = find_present(records, split, sample)[order]
    lost = float(np.mean(~present)) * parent_rows
    return Coverage(parent_rows, lost, removed, sample.position[order].astype(np.int64), present, sources)


def find_present(records: Sequence[HashedRecord], split: RowSplit, sample: SampledRows) -> NDArray[np.bool_]:
    """For each row of the sample, whether the version has it, or a new row with its prompt or its answer."""
    contents = hashes_of(records).digests[:, 0]
    present: NDArray[np.bool_] = np.isin(sample.content, contents)
    if present.all():
        return present
    # A kept row is itself, and no edited form of another one.
    candidates = ~split.is_kept & split.is_first & ~is_among(contents, sample.content)
    crowded = np.array(sample.crowded, dtype=np.uint64)
    _, prompt, answer = choose_by_sides(
        records,
        candidates,
        lambda _, prompt, answer: is_among(prompt, sample.prompt) | is_among(answer, sample.answer),
    )
    for past, keys in ((sample.prompt, prompt), (sample.answer, answer)):
        present |= np.isin(past, keys[keys != NO_KEY]) & ~np.isin(past, crowded)
    return present


def _compare_sources(records: Sequence[HashedRecord], parent: Mapping[str, int] | None) -> dict[str, tuple[int, int]]:
    now = count_sources(sources_of(records))
    if parent is None or OTHER_SOURCES in parent or OTHER_SOURCES in now:
        return {}
    return {source: (had, now.get(source, 0)) for source, had in parent.items()}
