"""Turn data of any accepted format into canonical rows, and say for every row that is left out why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any, Literal

from corpus.artifacts import atomic_writer
from corpus.errors import DataError, EntropylawError
from corpus.files import MAX_ROW_BYTES, NumberedFile, Row, belongs_to, read_rows
from corpus.formats import Format, FormatChoice, Kind, kind_of, parse_rows
from corpus.progress import Progress, ignore_progress
from corpus.records import Conversation, HashedRecord, Message, Preference, Record, content_hash, data_hash

Reason = Literal["empty answer", "too long", "held out"]

# So many are listed, so that a report stays readable and small enough for Git. Counts are always exact.
LISTED = 1000
# Rows between two reports of progress; the total is not known before the last row.
PROGRESS_STEP = 1000
_MAKE_IT = "run `entropylaw prepare` or `dvc repro`"


@dataclass(frozen=True)
class PrepareParams:
    """The section ``prepare`` of params.yaml: which rows are left out, and when a file is refused.

    ``max_characters``: in all messages of a row together; a longer row is left out. ``max_dropped_share``: the largest
    share of the rows read that may be left out; held-out rows do not count. ``max_row_bytes``: the size of one row in
    the file, checked before it is parsed.
    """

    format: FormatChoice = "auto"
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
class DroppedRow:
    """A row that was left out: its number in the input file, from 1, and why."""

    row: int
    reason: Reason


@dataclass(frozen=True)
class PrepareReport:
    """What ``prepare_file`` read, kept and left out.

    ``data_hash``: identity of the kept rows in their order. ``dropped_counts``: rows left out for each reason;
    ``dropped`` lists the first 1,000 of each. ``distinct_sources``: how many sources the kept rows come from;
    ``sources`` lists the 1,000 with most rows, and how many rows they have. ``files``: where there are several, each
    with the number of its first row; rows are numbered through all of them.
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


def prepare_records(
    records: Iterable[Record], params: PrepareParams, held_out: frozenset[str] = frozenset()
) -> Iterator[Decision]:
    """Decide row by row what is kept. ``held_out``: content hashes of rows that must not be trained on.

    >>> messages = (Message("user", "Hi"), Message("assistant", " "))
    >>> [decision.reason for decision in prepare_records([Conversation(messages)], PrepareParams())]
    ['empty answer']
    """
    for record in records:
        digest = content_hash(record)
        reason: Reason | None = None
        if digest in held_out:
            reason = "held out"
        elif any(not answer.strip() for answer in _final_answers(record)):
            reason = "empty answer"
        elif sum(len(message.text) for _, message in record.turns()) > params.max_characters:
            reason = "too long"
        yield Decision(record, digest, reason)


def prepare_file(
    source: str | Path,
    target: str | Path,
    params: PrepareParams,
    held_out: frozenset[str] = frozenset(),
    kind: Kind | None = None,
    progress: Progress = ignore_progress,
) -> PrepareReport:
    """Write the canonical rows of a data file, in file order and one at a time, and report on all of them.

    Raises DataError as ``read_records`` does, when more than ``max_dropped_share`` of the rows are unusable, and when
    no row is left; ``target`` is then untouched.
    """
    if Path(source).resolve() == Path(target).resolve():
        raise EntropylawError(
            f"{target}: the prepared rows would replace the data they are made from; name another file"
        )
    if belongs_to(Path(source).absolute(), Path(target).absolute().as_posix()):
        raise EntropylawError(f"{target}: the prepared rows would be part of the dataset {source}; name another file")
    files: list[NumberedFile] = []
    rows = read_rows(source, params.max_row_bytes, begin_file=files.append)
    parsed = parse_rows(rows, source, params.format, kind)
    # A file without rows is an error, so there is a first one.
    format, first = next(parsed)
    records = chain([first], (record for _, record in parsed))
    tally = _Tally()
    with atomic_writer(target) as handle:
        version = data_hash(_write_kept(handle, prepare_records(records, params, held_out), tally, progress))
        report = PrepareReport(
            kind=kind_of(format),
            format=format,
            rows_read=tally.rows_read,
            rows_kept=tally.sources.total(),
            data_hash=version,
            dropped_counts=dict(sorted(tally.reasons.items())),
            dropped=tuple(tally.dropped),
            distinct_sources=len(tally.sources),
            sources=dict(sorted(tally.sources.items(), key=lambda item: (-item[1], item[0]))[:LISTED]),
            files=tuple(files) if len(files) > 1 else (),
        )
        require_usable(source, report.rows_read, report.dropped_counts, report.dropped, params.max_dropped_share)
    return report


def read_prepared(path: str | Path) -> Iterator[HashedRecord]:
    """Stream the records of a prepared file with their content hashes, as stored: nothing is checked again.

    Raises DataError when the file is missing, or is not what ``prepare_file`` wrote.
    """
    number = 0
    try:
        with open(path, "rb") as handle:
            for line in handle:
                number += 1
                row = json.loads(line.decode())
                yield HashedRecord(_record(row), row["hash"])
    except OSError as error:
        cause = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise DataError(path, f"{cause}; {_MAKE_IT}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(path, f"not a prepared row; {_MAKE_IT}", number) from None
    if number == 0:
        raise DataError(path, f"is empty; {_MAKE_IT}")


@dataclass
class _Tally:
    rows_read: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    dropped: list[DroppedRow] = field(default_factory=list)


def _write_kept(handle: IO[str], decisions: Iterable[Decision], tally: _Tally, progress: Progress) -> Iterator[str]:
    """Write and count, yielding the kept rows' hashes."""
    for decision in decisions:
        tally.rows_read += 1
        if tally.rows_read % PROGRESS_STEP == 0:
            progress(tally.rows_read, None)
        if decision.reason is None:
            tally.sources[decision.record.source] += 1
            handle.write(json.dumps(to_row(decision.record, decision.hash), ensure_ascii=False) + "\n")
            yield decision.hash
            continue
        tally.reasons[decision.reason] += 1
        if tally.reasons[decision.reason] <= LISTED:
            tally.dropped.append(DroppedRow(decision.record.row, decision.reason))


def require_usable(
    source: str | Path,
    rows_read: int,
    dropped_counts: Mapping[str, int],
    dropped: Sequence[DroppedRow],
    max_dropped_share: float,
) -> None:
    """Raise DataError when too many rows had to be left out, or all of them. ``dropped`` has the first of each reason.

    Held-out rows are left out on purpose and do not count towards ``max_dropped_share``.
    """
    counts = ", ".join(f"{count} {reason}" for reason, count in dropped_counts.items())
    unusable = sum(count for reason, count in dropped_counts.items() if reason != "held out")
    if unusable > max_dropped_share * rows_read:
        first = next(row for row in dropped if row.reason != "held out")
        raise DataError(
            source,
            f"{unusable} of {rows_read} rows are unusable ({counts}), above max_dropped_share "
            f"{max_dropped_share:g}; the first is row {first.row} ({first.reason})",
        )
    if rows_read == sum(dropped_counts.values()):
        raise DataError(source, f"no row is left of {rows_read} ({counts})")


def _final_answers(record: Record) -> Iterator[str]:
    sides = (record.messages,) if isinstance(record, Conversation) else (record.chosen, record.rejected)
    for side in sides:
        if side:
            yield next(message.text for message in reversed(side) if message.role == "assistant")


def to_row(record: Record, digest: str) -> Row:
    """The canonical row of a record and its content hash: what a prepared file holds on each line."""
    tail: Row = {"source": record.source, "row": record.row, "hash": digest}
    if record.tools:
        tail["tools"] = record.tools
    if isinstance(record, Conversation):
        return {"messages": _plain(record.messages), **tail}
    score = {} if record.chosen_score is None else {"chosen_score": record.chosen_score}
    return {
        "prompt": _plain(record.prompt),
        "chosen": _plain(record.chosen),
        "rejected": _plain(record.rejected),
        **score,
        **tail,
    }


def _plain(messages: tuple[Message, ...]) -> list[Row]:
    return [_message_row(message) for message in messages]


def _message_row(message: Message) -> Row:
    """The message as an object, without what it does not have."""
    row: Row = {"role": message.role, "content": message.content}
    if not message.is_plain:
        row |= {key: text for key in ("reasoning", "tool_calls") if (text := getattr(message, key))}
        if not message.trained:
            row["trained"] = False
    return row


def _record(row: Row) -> Record:
    if "messages" in row:
        return Conversation(_messages(row["messages"]), row["source"], row["row"], row.get("tools", ""))
    return Preference(
        _messages(row["prompt"]),
        _messages(row["chosen"]),
        _messages(row["rejected"]),
        row["source"],
        row["row"],
        row.get("chosen_score"),
        row.get("tools", ""),
    )


def _messages(plain: list[dict[str, Any]]) -> tuple[Message, ...]:
    return tuple(
        [
            Message(item["role"], item["content"])
            if len(item) == 2
            else Message(
                item["role"],
                item["content"],
                item.get("reasoning", ""),
                item.get("tool_calls", ""),
                item.get("trained", True),
            )
            for item in plain
        ]
    )
