"""The one pass over the rows of a version: which of them may be near copies of rows of evaluation sets.

It keeps 16 bytes of each row that may leak, and counts how common each run of three words is among all rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from corpus.compiled_loops import announce_share, is_worth_compiling
from corpus.progress import Progress
from corpus.records import Conversation, HashedRecord, Message, Record
from corpus.row_facts import characters_of
from corpus.row_pieces import RowPiece, cut_rows
from corpus.workers import Workers
from monitor.measures.leak_index import LeakIndex, sort_once
from monitor.measures.near_duplicates import CHUNK_CHARACTERS, hash_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

# So many rows are read at once, where their text is not more than CHUNK_CHARACTERS.
CHUNK_ROWS = 2**12
# A row with less than this share of the runs of a set row, or of one of its sides, is not looked at again.
CANDIDATE_SHARE = 0.3
# A question alone, without an answer to tell by, must be there with so much of its runs.
ASKED_SHARE = 0.6


@dataclass(frozen=True)
class Candidates:
    """Rows that may leak: their positions, and the set row each has most of; shape (found,). ``rows``: how many were
    looked at. ``weights``: of each run of the index, between 0 and 1, shape (runs,).
    """

    rows: int
    row: NDArray[np.int64]
    set_row: NDArray[np.int64]
    weights: NDArray[np.float64]


class PieceCandidates(NamedTuple):
    """What one piece says: how many rows it has; the runs of the index that its rows have, ascending, and how many rows
    have each, shape (runs,); pairs of a row that may leak and a set row, shape (found, 2).
    """

    rows: int
    runs: NDArray[np.int64]
    counts: NDArray[np.int64]
    pairs: NDArray[np.int64]


@dataclass(frozen=True)
class FindCandidates:
    """The job to look for rows of a piece that may leak. ``characters``: of all pieces, for compiled loops."""

    index: LeakIndex
    characters: int

    def __call__(self, piece: RowPiece) -> PieceCandidates:
        announce_share(self.characters)
        index, done = self.index, 0
        common = np.zeros(len(index.runs), dtype=np.int64)
        found: list[NDArray[np.int64]] = [np.zeros((0, 2), dtype=np.int64)]
        for portion in _cut(piece.read()):
            row, run = look_up(portion, index)
            pairs = sort_once(row * len(index.runs) + run)
            common += np.bincount(pairs % len(index.runs), minlength=len(common))
            best = _choose_loops()(row, run, len(portion), index, CANDIDATE_SHARE, ASKED_SHARE)
            # A pair once, where one set row is the best in both ways.
            which, way = np.nonzero((best >= 0) & (np.array([True, False]) | (best != best[:, :1])))
            found.append(np.column_stack([piece.rows[which + done], best[which, way]]))
            done += len(portion)
        runs = np.flatnonzero(common)
        return PieceCandidates(done, runs, common[runs], np.concatenate(found))


def find_candidates(rows: Sequence[HashedRecord], index: LeakIndex, progress: Progress, workers: Workers) -> Candidates:
    """Read all rows once, in pieces that the workers share."""
    common = np.zeros(len(index.runs), dtype=np.int64)
    found: list[NDArray[np.int64]] = [np.zeros((0, 2), dtype=np.int64)]
    done = 0
    for piece in workers.map(FindCandidates(index, int(characters_of(rows).sum())), cut_rows(rows)):
        common[piece.runs] += piece.counts
        found.append(piece.pairs)
        done += piece.rows
        progress(done, len(rows))
    # No row at all, and one alone, still need a logarithm above 0.
    weights = np.log((done + 2) / np.maximum(common, 1)) / np.log(done + 2)
    pairs = np.concatenate(found)
    return Candidates(done, pairs[:, 0], pairs[:, 1], weights)


def _cut(rows: Iterable[HashedRecord]) -> Iterator[list[Record]]:
    portion: list[Record] = []
    size = 0
    for record, _ in rows:
        portion.append(record)
        size += sum([len(message.content) for message in list_said(record)])
        if size >= CHUNK_CHARACTERS or len(portion) == CHUNK_ROWS:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def list_said(record: Record) -> list[Message]:
    """All that is said, but for system messages."""
    sides = (record.messages,) if isinstance(record, Conversation) else (record.prompt, record.chosen, record.rejected)
    return [message for side in sides for message in side if message.role != "system"]


def look_up(records: Sequence[Record], index: LeakIndex) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The runs of the index in some records: positions of records, ascending, and of runs, shape (found,). A run that a
    record says twice may come twice.
    """
    texts: list[str] = []
    owners: list[int] = []
    for number, record in enumerate(records):
        for message in list_said(record):
            texts.append(message.text.lower())
            owners.append(number)
    if not texts:
        return (np.zeros(0, dtype=np.int64),) * 2
    hashes, offsets = hash_runs(texts)
    at, run = index.look_up(hashes)
    text = np.searchsorted(offsets, at, side="right") - 1
    return np.array(owners, dtype=np.int64)[text], run


def choose_in_numpy(
    row: NDArray[np.int64], run: NDArray[np.int64], rows: int, index: LeakIndex, least: float, asked: float
) -> NDArray[np.int64]:
    """For each record the set row of which it has the largest share, and that of which it has most runs, shape
    (rows, 2); -1 where it has less than the share ``least`` of each, and of no side the share ``asked``.

    ``row``, ``run``: what each record has, from ``look_up``. Of equal set rows the first counts.
    """
    best = np.full((rows, 2), -1, dtype=np.int64)
    if not len(row):
        return best
    row, run = np.divmod(sort_once(row * len(index.runs) + run), len(index.runs))
    lengths = index.starts[run + 1] - index.starts[run]
    ends = np.cumsum(lengths)
    place = index.places[np.repeat(index.starts[run] - (ends - lengths), lengths) + np.arange(ends[-1])]
    sides = len(index.side_runs)
    pairs, counts = np.unique(np.repeat(row, lengths) * sides + place, return_counts=True)
    side_share = counts / index.side_runs[pairs % sides]
    # The two sides of a set row stand beside each other.
    first = np.flatnonzero(np.append(True, np.diff(pairs // 2) > 0))
    record, set_row = np.divmod(pairs[first] // 2, sides // 2)
    found = np.add.reduceat(counts, first)
    share = found / index.side_runs.reshape(-1, 2).sum(axis=1)[set_row]
    share = np.where(np.maximum.reduceat(side_share, first) >= asked, np.maximum(share, least), share)
    for way, by in enumerate((share, found)):
        # Backwards, so that the best one is written last.
        order = np.lexsort((set_row, -by, record))[::-1]
        order = order[share[order] >= least]
        best[record[order], way] = set_row[order]
    return best


def _choose_loops() -> Callable[..., NDArray[np.int64]]:
    # numba is missing for new Pythons, and fails where it cannot write its cache. numpy gives the same, more slowly.
    if is_worth_compiling():
        with contextlib.suppress(ImportError, RuntimeError):
            from monitor.measures import leak_loops

            return leak_loops.choose
    return choose_in_numpy


def read_again(rows: Sequence[HashedRecord], candidates: Candidates) -> Iterator[tuple[HashedRecord, list[int]]]:
    """The rows that may leak, with the positions of the set rows that they may be copies of."""
    places, starts = np.unique(candidates.row, return_index=True)
    for place, set_rows in zip(places.tolist(), np.split(candidates.set_row, starts[1:]), strict=False):
        yield rows[place], set_rows.tolist()
