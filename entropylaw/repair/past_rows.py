"""The parent's rows, where Git and DVC still have them: what an edited row was before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from corpus.errors import EntropylawError
from corpus.prepare import PrepareParams, prepare_file
from corpus.progress import Progress
from corpus.records import HashedRecord
from corpus.row_facts import hashes_of
from corpus.side_facts import side_facts_of
from corpus.stored_rows import StoredRows
from entropylaw.backfill.past_versions import PastVersion, list_past_versions, number_main_line
from entropylaw.repository.datasets import KINDS
from entropylaw.repository.git import find_root
from entropylaw.repository.revisions import locate_data
from monitor.measures.row_edits import find_edits
from monitor.measures.row_split import RowSplit
from monitor.measures.row_table import ALL_KEYS, RowTable, content_keys

if TYPE_CHECKING:
    from corpus.files import Source
    from corpus.formats import Reading

# The parent is nearly always the last version of the data in Git, or one of the few before it.
MAX_VERSIONS = 10


@dataclass(frozen=True)
class PastRows:
    """A dataset of the parent. ``source``: a copy of its data as it was. ``records``: its rows, as they were read."""

    source: Source
    records: StoredRows

    def split(self, records: Sequence[HashedRecord], split: RowSplit) -> RowSplit:
        """Exactly which rows of a version the parent had, where its sketch knows it of a sample."""
        present = np.isin(hashes_of(records).digests[:, 0], hashes_of(self.records).digests[:, 0])
        return replace(split, is_kept=present, is_added=~present)

    def match(self, records: Sequence[HashedRecord], split: RowSplit) -> dict[int, int]:
        """Which row of the parent each edited row of a version was: indices of both."""
        table = _make_table(self.records)
        unknown, old = np.full(len(records), np.nan), np.zeros(len(records), dtype=bool)
        found = find_edits(records, self.split(records, split), unknown, old, table)
        return dict(zip(found.rows.tolist(), table.position[found.past].tolist(), strict=True))


def find_past_rows(
    dataset: str,
    file: Path,
    data_hash: str,
    params: PrepareParams,
    held_out: frozenset[str],
    reading: Reading,
    folder: Path,
    progress: Progress,
) -> PastRows | None:
    """The rows of the version with this ``data_hash``, copied into ``folder`` from Git or DVC's cache.

    None where they are not here; no remote is asked for them. The last MAX_VERSIONS versions in Git are tried.
    """
    if find_root() is None:
        return None
    try:
        versions = list_past_versions({dataset: file}, number_main_line())
    except EntropylawError:
        return None
    here = [version for version in reversed(versions) if version.problem is None and version.here][:MAX_VERSIONS]
    for number, version in enumerate(here):
        progress(number, len(here))
        found = _prepare(dataset, version, params, held_out, reading, folder / str(number))
        if found is not None and found[1] == data_hash:
            return found[0]
    return None


def _prepare(
    dataset: str,
    version: PastVersion,
    params: PrepareParams,
    held_out: frozenset[str],
    reading: Reading,
    folder: Path,
) -> tuple[PastRows, str] | None:
    target = folder / "prepared.jsonl"
    try:
        data = locate_data(version.name_file(dataset), dataset, folder)
        past = version.data[dataset].reading or data.reading or reading
        report = prepare_file(data.path, target, params, held_out, KINDS[dataset], reading=past)
    except EntropylawError:  # a version that cannot be read is none to go back to
        return None
    return PastRows(data.path, StoredRows(target)), report.data_hash


def _make_table(records: StoredRows) -> RowTable:
    """A row table of every row, without what only the history needs: losses and features."""
    rows = len(records)
    sides = side_facts_of(records)
    return RowTable(
        rows=rows,
        limit=ALL_KEYS,
        crowded=(),
        sources=(),
        features=(),
        content=content_keys(hashes_of(records)),
        prompt=sides.prompt,
        answer=sides.answer,
        position=np.arange(rows, dtype=np.uint32),
        source=np.zeros(rows, dtype=np.uint8),
        loss=np.full(rows, np.nan, dtype=np.float32),
        values=np.zeros((rows, 0), dtype=np.float16),
    )
