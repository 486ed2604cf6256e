"""Turn data of any accepted format into canonical rows, and say for every row that is left out why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO, Literal

from corpus.artifacts import atomic_writer
from corpus.dropped_rows import LISTED, DroppedRow, DroppedRows, require_usable
from corpus.errors import EntropylawError
from corpus.files import MAX_ROW_BYTES, NumberedFile, belongs_to, read_rows
from corpus.formats import Format, FormatChoice, Kind, Reading, kind_of, parse_rows
from corpus.leaked_rows import LeakReport
from corpus.prepared_rows import read_prepared, to_row, write_row
from corpus.progress import Progress, ignore_progress
from corpus.records import Conversation, Preference, Record, chosen_conversation, content_hash, data_hash
from corpus.row_facts import count_characters

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

Reason = Literal["empty answer", "too long", "held out"]

# Rows between two reports of progress; the total is not known before the last row.
PROGRESS_STEP = 1000


@dataclass(frozen=True)
class PrepareParams:
    """The section ``prepare`` of params.yaml: which rows are left out, and when a file is refused.

    ``format``: of all files that hold what this format holds; "auto" tells it from the rows. ``ignore_keys``: keys of
    rows, messages and parts that are passed over as if they were not there. ``max_characters``: in all messages of a
    row together; a longer row is left out. ``max_dropped_share``: the largest share of the rows read that may be left
    out; held-out rows do not count. ``max_row_bytes``: the size of one row in the file, checked before it is parsed.
    """

    format: FormatChoice = "auto"
    ignore_keys: tuple[str, ...] = ()
    max_characters: int = 1_000_000
    max_dropped_share: float = 0.05
    max_row_bytes: int = MAX_ROW_BYTES

    def __post_init__(self) -> None:
        if self.max_characters < 1 or self.max_row_bytes < 1:
            raise ValueError("max_characters and max_row_bytes must be at least 1")
        if not 0 <= self.max_dropped_share <= 1:
            raise ValueError(f"max_dropped_share must lie between 0 and 1, found {self.max_dropped_share}")


@dataclass(frozen=True, slots=True)
class Decision:
    """A record with its content hash, and the ``reason`` it is left out for; None for a record that is kept."""

    record: Record
    hash: str
    reason: Reason | None


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


def prepare_records(
    records: Iterable[Record], params: PrepareParams, held_out: frozenset[str] = frozenset()
) -> Iterator[Decision]:
    """Decide row by row what is kept. ``held_out``: content hashes of rows that must not be trained on.

    >>> from corpus.records import Message
    >>> messages = (Message("user", "Hi"), Message("assistant", " "))
    >>> [decision.reason for decision in prepare_records([Conversation(messages)], PrepareParams())]
    ['empty answer']
    """
    return (decide_record(record, params, held_out) for record in records)


def decide_record(record: Record, params: PrepareParams, held_out: frozenset[str] = frozenset()) -> Decision:
    """Decide on one record, as ``prepare_records`` does on many."""
    digest = content_hash(record)
    reason: Reason | None = None
    if digest in held_out or (held_out and _chosen_is_held_out(record, held_out)):
        reason = "held out"
    elif not all([answer.strip() for answer in _final_answers(record)]):
        reason = "empty answer"
    elif count_characters(record) > params.max_characters:
        reason = "too long"
    return Decision(record, digest, reason)


def _chosen_is_held_out(record: Record, held_out: frozenset[str]) -> bool:
    """Whether a preference would teach an answer that is kept for evaluation: held-out rows are conversations."""
    if not isinstance(record, Preference) or not record.chosen:
        return False
    return content_hash(chosen_conversation(record)) in held_out


def prepare_file(
    source: str | Path,
    target: str | Path,
    params: PrepareParams,
    held_out: frozenset[str] = frozenset(),
    kind: Kind | None = None,
    progress: Progress = ignore_progress,
    reading: Reading | None = None,
) -> PrepareReport:
    """Write the canonical rows of a data file, in file order and one at a time, and report on all of them.

    ``reading``: how the rows are read; by default as ``params`` says. Raises DataError for a file that cannot be read
    as a whole, when more than ``max_dropped_share`` of the rows are unusable, and when no row is left; ``target`` is
    then untouched.
    """
    if os.path.realpath(source) == os.path.realpath(target):
        raise EntropylawError(
            f"{target}: the prepared rows would replace the data they are made from; name another file"
        )
    if belongs_to(Path(source).absolute(), Path(target).absolute().as_posix()):
        raise EntropylawError(f"{target}: the prepared rows would be part of the dataset {source}; name another file")
    files: list[NumberedFile] = []
    dropped = DroppedRows()
    sources: Counter[str] = Counter()
    reading = reading or Reading(params.format, {}, params.ignore_keys)
    rows = read_rows(source, params.max_row_bytes, bad_rows=dropped.add_bad_row, begin_file=files.append)
    first = list(islice(rows, 1))
    if not first:
        require_usable(source, dropped.counts.total(), dropped.counts, dropped.in_order(), params.max_dropped_share)
    parsed = parse_rows(chain(first, rows), source, reading, kind, dropped.add_bad_row)
    decisions = prepare_records((row.record for row in parsed.rows), params, held_out)
    with atomic_writer(target) as handle:
        version = data_hash(_write_kept(handle, decisions, sources, dropped, progress))
        report = PrepareReport(
            kind=kind_of(parsed.format),
            format=parsed.format,
            rows_read=sources.total() + dropped.counts.total(),
            rows_kept=sources.total(),
            data_hash=version,
            dropped_counts=dropped.sorted_counts(),
            dropped=dropped.in_order(),
            distinct_sources=len(sources),
            sources=_most_first(sources),
            files=tuple(files) if len(files) > 1 else (),
            columns=dict(parsed.columns),
            unread_keys=_most_first(parsed.keys.unread),
            rows_read_anew=parsed.keys.rows_read_anew,
        )
        require_usable(source, report.rows_read, report.dropped_counts, report.dropped, params.max_dropped_share)
    return report


def _most_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:LISTED])


def _write_kept(
    handle: IO[str], decisions: Iterable[Decision], sources: Counter[str], dropped: DroppedRows, progress: Progress
) -> Iterator[str]:
    """Write and count, yielding the kept rows' hashes."""
    for done, decision in enumerate(decisions, start=1):
        if done % PROGRESS_STEP == 0:
            progress(done, None)
        if decision.reason is not None:
            dropped.add(decision.record.row, decision.reason)
            continue
        sources[decision.record.source] += 1
        handle.write(write_row(decision.record, decision.hash))
        yield decision.hash


def _final_answers(record: Record) -> list[str]:
    sides = (record.messages,) if isinstance(record, Conversation) else (record.chosen, record.rejected)
    return [
        side[-1].text
        if side[-1].role == "assistant"
        else next(message.text for message in reversed(side) if message.role == "assistant")
        for side in sides
        if side
    ]
