"""Near copies of evaluation sets among the rows of a version, in two passes over its rows and 16 bytes a row.

A row leaks when it says again what a row of a set asks and answers: most of the set row's runs of three words stand in
it, wherever and in whatever order. A run that many rows of the version have, such as a greeting, counts for little: its
weight is the logarithm of one over its share of the rows, as in tf-idf. The first pass finds the rows that may leak and
counts how common the runs are; the second one reads the few that may leak again and decides.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from corpus.compiled_loops import is_worth_compiling
from corpus.leaked_rows import LISTED_LEAKS, LeakedRow, LeakReport, SetLeaks
from corpus.progress import Progress, ignore_progress
from corpus.records import Conversation, HashedRecord, Message, Record
from corpus.row_sides import normalise_text
from monitor.measures.leak_index import (
    ANSWER,
    MIN_ANSWER_RUNS,
    QUESTION,
    EvaluationSet,
    LeakIndex,
    build_index,
    sort_once,
)
from monitor.measures.near_duplicates import CHUNK_CHARACTERS, hash_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

# So many rows are read at once, where their text is not more than CHUNK_CHARACTERS.
CHUNK_ROWS = 2**12
# A row with less than this share of the runs of a set row, or of one of its sides, is not looked at again.
CANDIDATE_SHARE = 0.3
# From this share of the runs on, by weight, a row has a text. With one word in ten replaced, left out or put in, a text
# keeps 0.6 to 0.8 of its runs; two problems of GSM8K that ask for the same thing share up to 0.3.
LEAKED_SHARE = 0.5
# From this share on it does where the embeddings of both are as good as equal as well.
NEAR_SHARE = 0.35
# So much is the cosine of a text and of itself with a tenth of its words changed.
NEAR_COSINE = 0.95
# A question alone, without an answer to tell by, must be there with so much of its runs.
ASKED_SHARE = 0.6
# So many runs that no other row has, or more where others have them too, must be found of an answer: some six words.
ANSWER_EVIDENCE = 4.0
# As many of a question alone: some ten words.
QUESTION_EVIDENCE = 8.0

Finding = Literal["leaked", "asked", ""]


class Match(NamedTuple):
    """What a row has of one row of a set.

    ``question``, ``answer``: the weight of the runs that it has, and that of all of them, for each side. One run that
    no other row has weighs 1. ``answer_runs``: of the set row. ``covered``: the share of what the row asks that stands
    in the set row. ``says_answer``: whether it has the set row's short answer; true where there is none. ``cosine``: of
    the embeddings of both; nan where they were not needed.
    """

    question: tuple[float, float]
    answer: tuple[float, float]
    answer_runs: int
    covered: float
    says_answer: bool = True
    cosine: float = float("nan")

    @property
    def share(self) -> float:
        """How much of the set row's text the row has, by weight, 0 to 1."""
        whole = self.question[1] + self.answer[1]
        return (self.question[0] + self.answer[0]) / whole if whole else 0.0

    @property
    def asked(self) -> float:
        return self.question[0] / self.question[1] if self.question[1] else 0.0

    @property
    def answered(self) -> float:
        return self.answer[0] / self.answer[1] if self.answer[1] else 0.0


def decide(match: Match) -> Finding:
    """Whether a row leaks, only asks the same, or neither.

    Where the set row has an answer, the row must have that answer as well. Where the answer is short or there is none,
    what it asks must be long enough, and be about all that the row asks: a long conversation that begins with the same
    question is another one.
    """
    has_question = match.asked >= ASKED_SHARE and match.question[0] >= QUESTION_EVIDENCE
    if match.answer_runs < MIN_ANSWER_RUNS:
        is_same = has_question and match.covered >= ASKED_SHARE and match.says_answer
        return "leaked" if is_same else "asked" if has_question else ""
    least = min(match.share, match.answered)
    is_near = least >= NEAR_SHARE and match.cosine >= NEAR_COSINE
    if match.answer[0] >= ANSWER_EVIDENCE and (least >= LEAKED_SHARE or is_near):
        return "leaked"
    return "asked" if has_question else ""


def needs_cosine(match: Match) -> bool:
    """Whether the embeddings of a row and a set row decide."""
    return match.answer_runs >= MIN_ANSWER_RUNS and NEAR_SHARE <= min(match.share, match.answered) < LEAKED_SHARE


def find_leaks(
    rows: Iterable[HashedRecord], sets: Sequence[EvaluationSet], progress: Progress = ignore_progress
) -> LeakReport:
    """The rows that are near copies of rows of the ``sets``. ``rows`` are read twice: to the end, and
    once more as far as the last one that may be such a copy.

    >>> from corpus.records import Conversation, Message
    >>> from monitor.measures.leak_index import EvaluationRow
    >>> question, answer = "How many eggs lie in three boxes of six eggs each?", "Three times six is eighteen eggs."
    >>> row = Conversation((Message("user", question), Message("assistant", answer.upper())), row=7)
    >>> test = EvaluationSet("test", [EvaluationRow(1, (question,), (answer,))])
    >>> found = find_leaks([HashedRecord(row, "0" * 32)], [test])
    >>> found.leaked, found.listed[0].row, found.sets
    (1, 7, {'test': SetLeaks(rows=1, too_short=0, leaked=1)})
    """
    index = build_index(sets)
    if index is None:
        count = sum(1 for _ in rows)
        sizes = [len({(row.question, row.answer) for row in evaluation.rows}) for evaluation in sets]
        named = {evaluation.name: SetLeaks(size, size, 0) for evaluation, size in zip(sets, sizes, strict=True)}
        return LeakReport(count, 0, 0, named)
    candidates = _find_candidates(rows, index, progress)
    texts = _read_set_texts(sets, index, candidates.set_row) if len(candidates.row) else {}
    leaked: list[LeakedRow] = []
    hits: list[int] = []
    asked: list[int] = []
    for (record, row_hash), set_rows in _read_again(rows, candidates):
        finding, set_row, share = _judge(record, set_rows, index, candidates.weights, texts)
        if finding == "asked":
            asked.append(set_row)
        elif finding == "leaked":
            found = index.rows[set_row]
            hits.append(set_row)
            leaked.append(LeakedRow(record.row, row_hash, index.sets[found.set], found.number, round(share, 4)))
    # A question that more rows answer otherwise is one that people ask, whoever gave the short answer.
    with_answer, without = Counter(hits), Counter(asked)
    usual = {i for i, count in with_answer.items() if index.rows[i].short_answer and without[i] >= count}
    leaked = [row for row, i in zip(leaked, hits, strict=True) if i not in usual]
    asked_only = len(asked) + sum(with_answer[i] for i in usual)
    by_set = Counter(index.rows[set_row].set for set_row in with_answer if set_row not in usual)
    listed = sorted(leaked, key=lambda found: (found.hash, found.row))[:LISTED_LEAKS]
    return LeakReport(
        candidates.rows,
        len(leaked),
        asked_only,
        {
            name: SetLeaks(index.distinct[place], index.too_short[place], by_set[place])
            for place, name in enumerate(index.sets)
        },
        tuple(sorted(listed, key=lambda found: found.row)),
    )


@dataclass(frozen=True)
class _Candidates:
    """Rows that may leak: their positions, and the set row each has most of; shape (found,). ``rows``: how many were
    looked at. ``weights``: of each run of the index, between 0 and 1, shape (runs,).
    """

    rows: int
    row: NDArray[np.int64]
    set_row: NDArray[np.int64]
    weights: NDArray[np.float64]


def _find_candidates(rows: Iterable[HashedRecord], index: LeakIndex, progress: Progress) -> _Candidates:
    common = np.zeros(len(index.runs), dtype=np.int64)
    found: list[NDArray[np.int64]] = [np.zeros((0, 2), dtype=np.int64)]
    done = 0
    for portion in _cut(rows):
        row, run = _look_up(portion, index)
        pairs = sort_once(row * len(index.runs) + run)
        common += np.bincount(pairs % len(index.runs), minlength=len(common))
        best = _choose_loops()(row, run, len(portion), index, CANDIDATE_SHARE, ASKED_SHARE)
        # A pair once, where one set row is the best in both ways.
        which, way = np.nonzero((best >= 0) & (np.array([True, False]) | (best != best[:, :1])))
        found.append(np.column_stack([which + done, best[which, way]]))
        done += len(portion)
        progress(done, None)
    # No row at all, and one alone, still need a logarithm above 0.
    weights = np.log((done + 2) / np.maximum(common, 1)) / np.log(done + 2)
    pairs = np.concatenate(found)
    return _Candidates(done, pairs[:, 0], pairs[:, 1], weights)


def _cut(rows: Iterable[HashedRecord]) -> Iterator[list[Record]]:
    portion: list[Record] = []
    size = 0
    for record, _ in rows:
        portion.append(record)
        size += sum([len(message.content) for message in _messages(record)])
        if size >= CHUNK_CHARACTERS or len(portion) == CHUNK_ROWS:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _messages(record: Record) -> list[Message]:
    """All that is said, but for system messages."""
    sides = (record.messages,) if isinstance(record, Conversation) else (record.prompt, record.chosen, record.rejected)
    return [message for side in sides for message in side if message.role != "system"]


def _look_up(records: Sequence[Record], index: LeakIndex) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The runs of the index in some records: positions of records, ascending, and of runs, shape (found,). A run that a
    record says twice may come twice.
    """
    texts: list[str] = []
    owners: list[int] = []
    for number, record in enumerate(records):
        for message in _messages(record):
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

    ``row``, ``run``: what each record has, from ``_look_up``. Of equal set rows the first counts.
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


def _read_again(rows: Iterable[HashedRecord], candidates: _Candidates) -> Iterator[tuple[HashedRecord, list[int]]]:
    """The rows that may leak, with the positions of the set rows that they may be copies of."""
    places, starts = np.unique(candidates.row, return_index=True)
    set_rows = iter(np.split(candidates.set_row, starts[1:]))
    wanted = iter(places.tolist())
    next_place = next(wanted, None)
    for place, row in enumerate(rows):
        if next_place is None:
            return
        if place == next_place:
            yield row, next(set_rows).tolist()
            next_place = next(wanted, None)


def _judge(
    record: Record,
    set_rows: Sequence[int],
    index: LeakIndex,
    weights: NDArray[np.float64],
    texts: Mapping[int, str],
) -> tuple[Finding, int, float]:
    """The gravest finding on a row: the set row that it is about, and how much of it the row has."""
    gravest: tuple[Finding, int, float] = ("", -1, 0.0)
    for set_row in set_rows:
        match = _match(record, index, set_row, weights)
        if needs_cosine(match):
            match = match._replace(cosine=_compare_texts(record, texts[set_row]))
        finding = decide(match)
        if finding == "leaked":
            return finding, set_row, match.share
        if finding:
            gravest = finding, set_row, match.share
    return gravest


def _match(record: Record, index: LeakIndex, set_row: int, weights: NDArray[np.float64]) -> Match:
    _, has = _look_up([record], index)
    sides = index.sides[2 * set_row + QUESTION], index.sides[2 * set_row + ANSWER]
    found = [float(weights[side[np.isin(side, has)]].sum()) for side in sides]
    whole = [float(weights[side].sum()) for side in sides]
    asked = [message.text.lower() for message in _messages(record) if message.role != "assistant"]
    own = sort_once(hash_runs(asked)[0]) if asked else np.empty(0, dtype=np.uint64)
    ours = index.runs[np.concatenate(sides)]
    covered = float(np.isin(own, ours).mean()) if len(own) else 0.0
    short, says = index.rows[set_row].short_answer, True
    if short:
        answered = " ".join(message.text for message in _messages(record) if message.role == "assistant")
        says = f" {short} " in f" {normalise_text(answered)} "
    return Match((found[0], whole[0]), (found[1], whole[1]), len(sides[1]), covered, says)


def _read_set_texts(sets: Sequence[EvaluationSet], index: LeakIndex, wanted: NDArray[np.int64]) -> dict[int, str]:
    """The texts of some rows of the index."""
    numbers = {index.rows[set_row][:2]: set_row for set_row in np.unique(wanted).tolist()}
    texts: dict[int, str] = {}
    for place, evaluation in enumerate(sets):
        for row in evaluation.rows:
            set_row = numbers.get((place, row.number))
            if set_row is not None:
                texts.setdefault(set_row, "\n".join((*row.question, *row.answer)))
    return texts


def _compare_texts(record: Record, text: str) -> float:
    """The cosine of the static embeddings of a row and of a row of a set."""
    from corpus.embeddings import embed_texts, load_embedder

    own = "\n".join(message.text for message in _messages(record))
    vectors = embed_texts(load_embedder(), [own, text]).astype(np.float64)
    return float(vectors[0] @ vectors[1])
