"""C: do answers belong to their prompts? The paper names consistency and leaves it unmeasured; this is our estimate."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from corpus.progress import Advance, Progress, ignore_progress
from corpus.records import HashedRecord, Message, Preference, Record
from corpus.row_facts import characters_of, hashes_of, numbers_of
from corpus.row_pieces import cut_rows
from corpus.row_sides import normalise_text
from corpus.workers import IN_THIS_THREAD, Workers
from monitor.measures.agreement import AgreementMeter, is_sampled
from monitor.measures.near_duplicates import count_bands, flag_alike
from monitor.measures.row_findings import FindInRows, RowFindings, VectorStore, prompt_and_rejected
from monitor.measures.sketch_store import SketchStore

# So many rows of each kind are named; the counts are of all.
NAMED_ROWS = 50
# So many rows of one prompt are compared with all its rows at once: memory grows with their number, not its square.
COMPARED_ROWS = 256
# And with so many rows at most, in 4 MB: a prompt with a million answers would take a million times a million products.
MOST_ANSWERS = 4096

# So many threads are worth their while: half of the work holds Python's lock, so further ones would wait for it.
MOST_THREADS = 4
# The answers of so many rows are embedded together.
EMBEDDED_ROWS = 1024

# Gives the unit response embeddings of rows, by their indices; shape (n, 256).
EmbedResponses = Callable[[NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True)
class ConsistencyParams:
    """When two rows are alike, and when they contradict each other.

    ``near_duplicate_jaccard``: two rows are near-duplicates if the Jaccard similarity of their runs of three words is
    at least this. ``contradiction_cosine``: two answers to the same prompt contradict each other if the cosine of their
    embeddings is below this.
    """

    near_duplicate_jaccard: float = 0.8
    contradiction_cosine: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.near_duplicate_jaccard < 1 or not -1 <= self.contradiction_cosine <= 1:
            raise ValueError("near_duplicate_jaccard must be in (0, 1) and contradiction_cosine in [-1, 1]")


@dataclass(frozen=True)
class ConsistencyProfile:
    """C of a version, and counts of rows that repeat or contradict others.

    - ``agreement``, ``agreement_sd``: mean (this is C) and standard deviation of the cosine of prompt and response,
      over the ``measured`` rows that have one.
    - ``exact_duplicates``, ``near_duplicates``: rows that repeat an earlier row.
    - ``contradictions``: rows whose prompt stands elsewhere with an unrelated answer.

    Of preferences only, None or empty otherwise:

    - ``chosen_margin``: mean agreement of the chosen answers minus that of the rejected ones.
    - ``flipped_pairs``: rows that other rows contradict (see ``flag_flipped_pairs``). ``equal_pairs``: rows whose two
      answers are the same.
    - ``flipped_rows``, ``equal_rows``: the first NAMED_ROWS of each, by their numbers in the input file.
    """

    rows: int
    measured: int
    agreement: float
    agreement_sd: float
    exact_duplicates: int
    near_duplicates: int
    contradictions: int
    chosen_margin: float | None
    flipped_pairs: int | None = None
    equal_pairs: int | None = None
    flipped_rows: tuple[int, ...] = ()
    equal_rows: tuple[int, ...] = ()


def flag_contradictions(
    prompts: NDArray[np.uint64], is_answer: NDArray[np.bool_], embed: EmbedResponses, cosine: float
) -> NDArray[np.bool_]:
    """For each row, whether its prompt stands elsewhere and no answer given there resembles this row's, shape (rows,).

    ``prompts``: a key of each prompt, equal for prompts of the same words. ``is_answer``: rows that can contradict
    others at all: their prompt is not blank, and their embedding is not the zero vector, as where their answer is
    blank, or all rows have the same one. ``embed``: gives the unit response embeddings of rows, shape (n, 256).
    ``cosine``: below it, two answers do not resemble each other. Of a prompt with more than MOST_ANSWERS answers, all
    are compared with the first so many.
    """
    flags = np.zeros(len(prompts), dtype=bool)
    rows = np.flatnonzero(is_answer)
    rows = rows[np.argsort(prompts[rows], kind="stable")]
    begins = np.flatnonzero(np.append(True, prompts[rows[1:]] != prompts[rows[:-1]])) if len(rows) else rows
    groups = [rows[start:stop] for start, stop in pairwise([*begins.tolist(), len(rows)]) if stop - start > 1]
    for members, answers in _embed_groups(groups, embed):
        for first in range(0, len(members), COMPARED_ROWS):
            part = members[first : first + COMPARED_ROWS]
            is_kept = first + len(part) <= len(answers)
            similarity = (answers[first : first + len(part)] if is_kept else embed(part)) @ answers.T
            own = np.arange(len(part))
            own = own[first + own < len(answers)]
            similarity[own, first + own] = -1.0
            flags[part] = similarity.max(axis=1) < cosine
    return flags


def _embed_groups(
    groups: Sequence[NDArray[np.int64]], embed: EmbedResponses
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Each group with the embeddings of its first MOST_ANSWERS rows. Small groups are embedded together, which takes a
    fraction of the time.
    """
    waiting: list[NDArray[np.int64]] = []
    for i, group in enumerate(groups, start=1):
        waiting.append(group)
        if sum(map(len, waiting)) < EMBEDDED_ROWS and i < len(groups):
            continue
        compared = [members[:MOST_ANSWERS] for members in waiting]
        ends = np.cumsum([len(members) for members in compared])
        yield from zip(waiting, np.split(embed(np.concatenate(compared)), ends[:-1]), strict=True)
        waiting = []


def flag_equal_pairs(records: Iterable[Record]) -> list[bool]:
    """For each row, whether its chosen and rejected answers are the same but for case, spacing and punctuation."""
    return [_is_equal_pair(record) for record in records]


def _is_equal_pair(record: Record) -> bool:
    return (
        isinstance(record, Preference)
        and bool(record.chosen and record.rejected)
        and _answer_text(record.chosen) == _answer_text(record.rejected)
    )


def flag_flipped_pairs(records: Iterable[Record]) -> list[bool]:
    """For each row, whether another row with its prompt rejects its chosen answer or chooses its rejected one.

    Unpaired rows count as well. Rows whose two answers are the same contradict nothing. Answers that were ranked
    contradict each other anyway, because each is paired with better and with worse ones; there only a change of the
    count says something.
    """
    # Of each side of each row, eight bytes. Two texts share a hash with a chance of one in 2**64.
    chosen, rejected, has = array("q"), array("q"), array("b")
    for record in records:
        pair = record if isinstance(record, Preference) and not _is_equal_pair(record) else Preference(())
        prompt = "\n".join(m.text for m in pair.prompt)
        prompt = normalise_text(prompt) or prompt
        for keys, answer in ((chosen, pair.chosen), (rejected, pair.rejected)):
            keys.append(hash((prompt, _answer_text(answer))) if answer else 0)
            has.append(bool(answer))
    sides = [np.array(keys, dtype=np.int64) for keys in (chosen, rejected)]
    there = np.array(has, dtype=bool).reshape(-1, 2).T
    flags = np.zeros(len(sides[0]), dtype=bool)
    for own, other in ((0, 1), (1, 0)):
        flags |= there[own] & np.isin(sides[own], sides[other][there[other]])
    return [bool(flag) for flag in flags]


def _answer_text(messages: Sequence[Message]) -> str:
    text = "\n".join(m.text for m in messages)
    return normalise_text(text) or text


def profile_consistency(
    records: Sequence[HashedRecord],
    params: ConsistencyParams,
    progress: Progress = ignore_progress,
    workers: Workers = IN_THIS_THREAD,
) -> tuple[ConsistencyProfile, NDArray[np.float64]]:
    """The profile of a version, and the agreement of each row, nan where it has none. Shape (rows,), of preferences
    (rows, 2): the first column is of the chosen answer, or of the rejected one in an unpaired row without a chosen
    answer; the second is of the rejected answer, nan in a row with only one answer.

    ``progress`` counts each row three times: for its prompt, its response, and the search for near-duplicates.
    ``workers``: they share out the pieces of the file. The result is the same to the bit, whoever they are.
    """
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress(done, 3 * len(records))

    found, meter = _read_once(records, params.near_duplicate_jaccard, workers, advance)
    known = found.agreement[~np.isnan(found.agreement)]
    contradictions = flag_contradictions(
        found.prompts, found.is_answer, meter.embed_responses, params.contradiction_cosine
    )
    profile = ConsistencyProfile(
        rows=len(records),
        measured=len(known),
        agreement=float(known.mean()) if len(known) else float("nan"),
        agreement_sd=float(known.std(ddof=1)) if len(known) > 1 else 0.0,
        exact_duplicates=int(np.count_nonzero(~hashes_of(records).flag_first())),
        near_duplicates=int(np.count_nonzero(found.is_near_duplicate)),
        contradictions=int(np.count_nonzero(contradictions)),
        chosen_margin=None,
    )
    if not found.has_pairs:
        return profile, found.agreement
    agreement = np.column_stack([found.agreement, _measure_rejected(records, workers)])
    margins = agreement[:, 0] - agreement[:, 1]
    margins = margins[~np.isnan(margins)]
    flipped = flag_flipped_pairs(record for record, _ in records)
    equal = flag_equal_pairs(record for record, _ in records)
    profile = replace(
        profile,
        chosen_margin=float(margins.mean()) if len(margins) else None,
        flipped_pairs=sum(flipped),
        equal_pairs=sum(equal),
        flipped_rows=_name_rows(records, flipped),
        equal_rows=_name_rows(records, equal),
    )
    return profile, agreement


class _Found(NamedTuple):
    """What one pass over the rows finds, shape (rows,) each. ``flag_contradictions`` explains the second and third."""

    agreement: NDArray[np.float64]
    prompts: NDArray[np.uint64]
    is_answer: NDArray[np.bool_]
    is_near_duplicate: NDArray[np.bool_]
    has_pairs: bool


def _read_once(
    records: Sequence[HashedRecord], jaccard: float, workers: Workers, advance: Advance
) -> tuple[_Found, AgreementMeter]:
    """One pass over the rows. Where the means are those of a sample, it is embedded first."""
    # Each character is embedded and sketched.
    job, meter = FindInRows(jaccard, 2 * int(characters_of(records).sum())), None
    if is_sampled(records):
        meter = AgreementMeter.of_sample(records, workers=workers, advance=advance)
        job = replace(job, means=meter.means)
    is_kept = None if meter is None else meter.is_kept
    tasks = ((piece, None if is_kept is None else is_kept[piece.rows]) for piece in cut_rows(records))
    found: list[RowFindings] = []
    store = VectorStore(len(records) if meter is None else 0)
    sketches = SketchStore(len(records), count_bands(jaccard))
    for findings in workers.map(job, tasks):
        advance(2 * len(findings.embedded) + len(findings.prompts))
        if findings.vectors is not None:
            store.add(findings.vectors)
        sketches.add(findings.keys, findings.sketches)
        # Copies, because a view of no rows holds all of them.
        nothing = {name: getattr(findings, name)[:0].copy() for name in ("keys", "sketches")}
        found.append(findings._replace(vectors=None, **nothing))
    meter = meter or AgreementMeter(records, store.join(), workers=workers)
    agreement, is_answer = np.empty(len(records)), np.empty(len(records), dtype=bool)
    if is_kept is not None:
        for part in found:
            agreement[part.embedded], is_answer[part.embedded] = part.agreement, part.answered
    agreement[meter.rows], is_answer[meter.rows] = meter.agreement, meter.responses.any(axis=1)
    prompts, has_prompt = (np.concatenate(parts) for parts in zip(*(part[:2] for part in found), strict=True))
    has_pairs = any(part.has_pairs for part in found)
    found.clear()  # 26 bytes a row, before the comparison takes as many again
    is_near_duplicate = flag_alike(sketches, jaccard)
    return _Found(agreement, prompts, is_answer & has_prompt, is_near_duplicate, has_pairs), meter


def _measure_rejected(records: Sequence[HashedRecord], workers: Workers) -> NDArray[np.float64]:
    return AgreementMeter.of_sample(records, prompt_and_rejected, workers).measure_all()


def _name_rows(records: Sequence[HashedRecord], flags: Sequence[bool]) -> tuple[int, ...]:
    return tuple(numbers_of(records)[np.array(flags, dtype=bool)][:NAMED_ROWS].tolist())
