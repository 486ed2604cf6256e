"""What becomes of some rows of a data file: their canonical lines and hashes, and what is counted of them."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from corpus.dropped_rows import DroppedRows
from corpus.errors import DataError
from corpus.files import LinePiece, Source, stamp_files
from corpus.formats import KeyLedger, ParsedRow, ReadingWay
from corpus.prepared_rows import write_row
from corpus.progress import Progress, ignore_progress
from corpus.row_decisions import PrepareParams, prepare_records

# Rows between two reports of progress; the total is not known before the last row.
PROGRESS_STEP = 1000
# A smaller dataset takes one process some two seconds. Two workers need a second of CPU to start, and memory.
MIN_SHARED_BYTES = 2**26
# Workers of this machine at most, unless a number is asked for: with these, all processes together hold some 350 MB.
MOST_PROCESSES = 4


@dataclass
class KeptRows:
    """How many rows of each source are kept, and which rows are left out."""

    sources: Counter[str] = field(default_factory=Counter)
    dropped: DroppedRows = field(default_factory=DroppedRows)

    @property
    def rows_read(self) -> int:
        return self.sources.total() + self.dropped.counts.total()

    def add(self, later: KeptRows) -> None:
        """Count rows that stand after these in the file."""
        self.sources.update(later.sources)
        self.dropped.add_all(later.dropped)


@dataclass(frozen=True)
class PreparedPiece:
    """The canonical ``lines`` of a piece's kept rows, their ``hashes``, and the counts."""

    lines: bytes
    hashes: list[str]
    kept: KeptRows
    keys: KeyLedger


@dataclass(frozen=True)
class Preparation:
    """The job of preparing pieces of one dataset, which can be done by any process. It answers None where it meets an
    error, so that this is raised where the dataset's files are.
    """

    way: ReadingWay
    params: PrepareParams
    held_out: frozenset[str]

    def __call__(self, piece: LinePiece) -> PreparedPiece | None:
        try:
            return self.prepare(piece, piece.file)
        except DataError:
            return None

    def prepare(self, piece: LinePiece, source: str | Path) -> PreparedPiece:
        """Read, decide and write its rows. Raises DataError, naming the row of ``source``, at the first that cannot be
        passed over.
        """
        # A piece cannot have more names than it has bytes.
        handle, kept, keys = io.BytesIO(), KeptRows(), KeyLedger(self.way.reading.ignore_keys, math.inf)
        bad_rows = kept.dropped.add_bad_row
        rows = self.way.parse(piece.read(self.params.max_row_bytes, bad_rows), source, keys, bad_rows)
        hashes = list(self.write_rows(handle, rows, kept))
        return PreparedPiece(handle.getvalue(), hashes, kept, keys)

    def write_rows(
        self, handle: IO[bytes], rows: Iterable[ParsedRow], kept: KeptRows, progress: Progress = ignore_progress
    ) -> Iterator[str]:
        """Write and count, yielding the kept rows' hashes."""
        before = kept.rows_read
        decisions = prepare_records((row.record for row in rows), self.params, self.held_out)
        for done, decision in enumerate(decisions, start=1):
            if done % PROGRESS_STEP == 0:
                progress(before + done, None)
            if decision.reason is not None:
                kept.dropped.add(decision.record.row, decision.reason)
                continue
            kept.sources[decision.record.source] += 1
            handle.write(write_row(decision.record, decision.hash).encode())
            yield decision.hash


def is_worth_sharing(source: Source) -> bool:
    """Whether a dataset is so large that workers are done sooner than this process alone."""
    return sum(size for _, _, size, _ in stamp_files(source) or ()) >= MIN_SHARED_BYTES
