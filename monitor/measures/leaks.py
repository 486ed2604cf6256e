"""Near copies of evaluation sets among the rows of a version, in one pass over its rows and 16 bytes a row.

A row leaks when it says again what a row of a set asks and answers: most of the set row's runs of three words stand in
it, wherever and in whatever order. A run that many rows of the version have, such as a greeting, counts for little: its
weight is the logarithm of one over its share of the rows, as in tf-idf. The pass finds the rows that may leak and
counts how common the runs are; the few that may leak are then read again and decided on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from corpus.leaked_rows import LISTED_LEAKS, LeakedRow, LeakReport, SetLeaks
from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord, Record
from corpus.row_sides import normalise_text
from corpus.workers import IN_THIS_THREAD, Workers
from monitor.measures.leak_candidates import ASKED_SHARE, find_candidates, list_said, look_up, read_again
from monitor.measures.leak_index import (
    ANSWER,
    MIN_ANSWER_RUNS,
    QUESTION,
    EvaluationSet,
    LeakIndex,
    build_index,
    sort_once,
)
from monitor.measures.near_duplicates import hash_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

# From this share of the runs on, by weight, a row has a text. With one word in ten replaced, left out or put in, a text
# keeps 0.6 to 0.8 of its runs; two problems of GSM8K that ask for the same thing share up to 0.3.
LEAKED_SHARE = 0.5
# From this share on it does where the embeddings of both are as good as equal as well.
NEAR_SHARE = 0.35
# So much is the cosine of a text and of itself with a tenth of its words changed.
NEAR_COSINE = 0.95
# So many runs that no other row has, or more where others have them too, must be found of an answer: some six words.
ANSWER_EVIDENCE = 4.0
# As many of a question alone: some ten words.
QUESTION_EVIDENCE = 8.0
# So many rows that may leak are judged at once: looking up and embedding many texts takes a fraction of the time.
BATCH_ROWS = 256

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
    rows: Sequence[HashedRecord],
    sets: Sequence[EvaluationSet],
    progress: Progress = ignore_progress,
    workers: Workers = IN_THIS_THREAD,
) -> LeakReport:
    """The rows that are near copies of rows of the ``sets``. The ``workers`` share the pass over all ``rows``; the
    report is the same whoever they are.

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
        sizes = [len({(row.question, row.answer) for row in evaluation.rows}) for evaluation in sets]
        named = {evaluation.name: SetLeaks(size, size, 0) for evaluation, size in zip(sets, sizes, strict=True)}
        return LeakReport(len(rows), 0, 0, named)
    candidates = find_candidates(rows, index, progress, workers)
    texts = _read_set_texts(sets, index, candidates.set_row) if len(candidates.row) else {}
    leaked: list[LeakedRow] = []
    hits: list[int] = []
    asked: list[int] = []
    again = read_again(rows, candidates)
    while batch := list(islice(again, BATCH_ROWS)):
        for ((record, row_hash), _), (finding, set_row, share) in zip(
            batch, _judge(batch, index, candidates.weights, texts), strict=True
        ):
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


def _judge(
    batch: Sequence[tuple[HashedRecord, Sequence[int]]],
    index: LeakIndex,
    weights: NDArray[np.float64],
    texts: Mapping[int, str],
) -> Iterator[tuple[Finding, int, float]]:
    """For each row the gravest finding, the set row that it is about, and how much of it the row has."""
    owner, run = look_up([record for (record, _), _ in batch], index)
    ends = np.searchsorted(owner, np.arange(len(batch) + 1))
    matches = [
        (place, set_row, _match(record, run[ends[place] : ends[place + 1]], index, set_row, weights))
        for place, ((record, _), set_rows) in enumerate(batch)
        for set_row in set_rows
    ]
    near = [i for i, (_, _, match) in enumerate(matches) if needs_cosine(match)]
    pairs = [(batch[matches[i][0]][0].record, texts[matches[i][1]]) for i in near]
    for i, cosine in zip(near, _compare_texts(pairs), strict=True):
        place, set_row, match = matches[i]
        matches[i] = place, set_row, match._replace(cosine=cosine)
    gravest: list[tuple[Finding, int, float]] = [("", -1, 0.0)] * len(batch)
    for place, set_row, match in matches:
        finding = decide(match)
        if finding and gravest[place][0] != "leaked":
            gravest[place] = finding, set_row, match.share
    yield from gravest


def _match(
    record: Record, has: NDArray[np.int64], index: LeakIndex, set_row: int, weights: NDArray[np.float64]
) -> Match:
    """What a row has of a set row. ``has``: the runs of the index that stand in the row."""
    sides = index.sides[2 * set_row + QUESTION], index.sides[2 * set_row + ANSWER]
    found = [float(weights[side[np.isin(side, has)]].sum()) for side in sides]
    whole = [float(weights[side].sum()) for side in sides]
    match = Match((found[0], whole[0]), (found[1], whole[1]), len(sides[1]), covered=0.0)
    if match.answer_runs >= MIN_ANSWER_RUNS:  # the answer tells
        return match
    asked = [message.text.lower() for message in list_said(record) if message.role != "assistant"]
    own = sort_once(hash_runs(asked)[0]) if asked else np.empty(0, dtype=np.uint64)
    ours = index.runs[np.concatenate(sides)]
    covered = float(np.isin(own, ours).mean()) if len(own) else 0.0
    short, says = index.rows[set_row].short_answer, True
    if short:
        answered = " ".join(message.text for message in list_said(record) if message.role == "assistant")
        says = f" {short} " in f" {normalise_text(answered)} "
    return match._replace(covered=covered, says_answer=says)


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


def _compare_texts(pairs: Sequence[tuple[Record, str]]) -> list[float]:
    """The cosines of the static embeddings of rows and of rows of a set."""
    if not pairs:
        return []
    from corpus.embeddings import embed_texts, load_embedder

    own = ["\n".join(message.text for message in list_said(record)) for record, _ in pairs]
    vectors = embed_texts(load_embedder(), own + [text for _, text in pairs]).astype(np.float64)
    cosines: list[float] = np.einsum("ij,ij->i", vectors[: len(pairs)], vectors[len(pairs) :]).tolist()
    return cosines
