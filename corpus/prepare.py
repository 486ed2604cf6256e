"""Turn data of any accepted format into canonical rows, and say for every row that is left out why."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO

from corpus.artifacts import atomic_writer
from corpus.dropped_rows import LISTED, DroppedRow, require_usable
from corpus.errors import EntropylawError
from corpus.files import LinePiece, NumberedFile, belongs_to
from corpus.formats import Format, Kind, Parsed, Reading, kind_of, parse_rows
from corpus.leaked_rows import LeakReport
from corpus.prepared_pieces import KeptRows, Preparation
from corpus.prepared_rows import read_prepared, to_row
from corpus.progress import Progress, ignore_progress
from corpus.records import data_hash
from corpus.row_decisions import Decision, PrepareParams, Reason, decide_record, prepare_records
from corpus.row_stream import RowStream
from corpus.workers import IN_THIS_THREAD, Workers

__all__ = [
    "Decision",
    "DroppedRow",
    "PrepareParams",
    "PrepareReport",
    "Reason",
    "decide_record",
    "prepare_file",
    "prepare_records",
    "read_prepared",
    "require_usable",
    "to_row",
]


@dataclass(frozen=True)
class PrepareReport:
    """What ``prepare_file`` read, kept and left out.

    ``data_hash``: identity of the kept rows in their order. ``dropped_counts``: rows left out for each reason;
    ``dropped`` lists the first 1,000 of each. ``distinct_sources``: how many sources the kept rows come from;
    ``sources`` lists the 1,000 with most rows, and how many rows they have. ``files``: where there are several, each
    with the number of its first row; rows are numbered through all of them. ``columns``: our name of a column, and the
    file's, where they differ. ``unread_keys``: rows by the name of a key that holds something and was not read.
    ``rows_read_anew``: kept rows of which earlier versions of the tool passed over a part that is read now.
    ``leaks``: kept rows that are near copies of rows kept for evaluation; None where there were none to compare with.
    """

    kind: Kind
    format: Format
    rows_read: int
    rows_kept: int
    data_hash: str
    dropped_counts: dict[str, int]
    dropped: tuple[DroppedRow, ...]
    distinct_sources: int
    sources: dict[str, int]
    files: tuple[NumberedFile, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)
    unread_keys: dict[str, int] = field(default_factory=dict)
    rows_read_anew: int = 0
    leaks: LeakReport | None = None


def prepare_file(
    source: str | Path,
    target: str | Path,
    params: PrepareParams,
    held_out: frozenset[str] = frozenset(),
    kind: Kind | None = None,
    progress: Progress = ignore_progress,
    reading: Reading | None = None,
    workers: Workers = IN_THIS_THREAD,
) -> PrepareReport:
    """Write the canonical rows of a data file, in file order and one at a time, and report on all of them.

    ``reading``: how the rows are read; by default as ``params`` says. ``workers``: they share JSON lines; the files are
    the same bytes whoever they are. Raises DataError for a file that cannot be read as a whole, when more than
    ``max_dropped_share`` of the rows are unusable, and when no row is left; ``target`` is then untouched.
    """
    if os.path.realpath(source) == os.path.realpath(target):
        raise EntropylawError(
            f"{target}: the prepared rows would replace the data they are made from; name another file"
        )
    if belongs_to(Path(source).absolute(), Path(target).absolute().as_posix()):
        raise EntropylawError(f"{target}: the prepared rows would be part of the dataset {source}; name another file")
    kept = KeptRows()
    dropped = kept.dropped
    reading = reading or Reading(params.format, {}, params.ignore_keys)
    is_shared = workers is not IN_THIS_THREAD
    stream = RowStream(source, params.max_row_bytes, dropped.add_bad_row, is_shared)
    first = list(islice(stream.rows(), 1))
    if not first:
        require_usable(source, dropped.counts.total(), dropped.counts, dropped.in_order(), params.max_dropped_share)
    parsed = parse_rows(chain(first, stream.rows()), source, reading, kind, dropped.add_bad_row)
    stream.begin_pieces()
    job = Preparation(parsed.way, params, held_out)
    with atomic_writer(target, "wb") as handle:
        version = data_hash(_write_all(handle, source, stream, parsed, job, kept, workers, progress))
        report = PrepareReport(
            kind=kind_of(parsed.format),
            format=parsed.format,
            rows_read=kept.rows_read,
            rows_kept=kept.sources.total(),
            data_hash=version,
            dropped_counts=dropped.sorted_counts(),
            dropped=dropped.in_order(),
            distinct_sources=len(kept.sources),
            sources=_most_first(kept.sources),
            files=tuple(stream.files) if len(stream.files) > 1 else (),
            columns=dict(parsed.columns),
            unread_keys=_most_first(parsed.keys.unread),
            rows_read_anew=parsed.keys.rows_read_anew,
        )
        require_usable(source, report.rows_read, report.dropped_counts, report.dropped, params.max_dropped_share)
    return report


def _most_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:LISTED])


def _write_all(
    handle: IO[bytes],
    source: str | Path,
    stream: RowStream,
    parsed: Parsed,
    job: Preparation,
    kept: KeptRows,
    workers: Workers,
    progress: Progress,
) -> Iterator[str]:
    """Write and count all rows, yielding the kept ones' hashes."""
    yield from job.write_rows(handle, parsed.rows, kept, progress)
    while stream.is_open:
        asked: deque[LinePiece] = deque()
        for answer in workers.map(job, _note(stream.pieces(), asked)):
            piece = asked.popleft()
            # Where a worker met an error it does not answer: here, where the files are, the error is raised.
            done = answer or job.prepare(piece, source)
            handle.write(done.lines)
            kept.add(done.kept)
            parsed.keys.add(done.keys)
            progress(kept.rows_read, None)
            yield from done.hashes
        rows = parsed.way.parse(stream.rows(), source, parsed.keys, kept.dropped.add_bad_row)
        yield from job.write_rows(handle, rows, kept, progress)


def _note(pieces: Iterable[LinePiece], asked: deque[LinePiece]) -> Iterator[LinePiece]:
    for piece in pieces:
        asked.append(piece)
        yield piece
