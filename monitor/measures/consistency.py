"""C: do answers belong to their prompts? The paper names consistency and leaves it unmeasured; this is our estimate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from corpus.progress import Advance, Progress, ignore_advance, ignore_progress
from corpus.records import HashedRecord, Message, Preference, Record
from corpus.row_sides import normalise_text
from monitor.measures.near_duplicates import flag_near_duplicates

if TYPE_CHECKING:
    from numpy.typing import NDArray

# So many rows of each kind are named; the counts are of all.
NAMED_ROWS = 50
# So many rows of one prompt are compared with all its rows at once: memory grows with their number, not its square.
COMPARED_ROWS = 256


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


def prompt_and_response(record: Record) -> tuple[str, str]:
    """The text that a model is given, and the text that it should give (the chosen answer, else the rejected one)."""

    def text(messages: Sequence[Message], answers: bool) -> str:
        return "\n".join(m.text for m in messages if (m.role == "assistant") == answers)

    if isinstance(record, Preference):
        prompt = "\n".join(m.text for m in record.prompt)
        return prompt, text(record.chosen or record.rejected, True)
    return text(record.messages, False), text(record.messages, True)


def row_agreement(
    records: Sequence[Record], advance: Advance = ignore_advance
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The agreement of each row, shape (rows,), and the response embeddings, shape (rows, 256).

    Agreement is the cosine of the embeddings of prompt and response, nan where one of them is blank. First the mean of
    all prompts, and of all responses, is subtracted. What all prompts have in common says nothing about which answer
    belongs to which prompt, and long texts share more of it than short ones. On chit-chat this doubles the distance
    between true and swapped pairs, in standard deviations between topics. Where all prompts, or all responses, are the
    same text, every cosine is 0.
    """
    from corpus.embeddings import embed_texts, load_embedder

    embedder = load_embedder()
    texts = [prompt_and_response(record) for record in records]
    prompts = embed_texts(embedder, [prompt for prompt, _ in texts], advance)
    responses = embed_texts(embedder, [response for _, response in texts], advance)
    known = np.logical_and(prompts.any(axis=1), responses.any(axis=1))
    prompts, responses = centre_vectors(prompts, known), centre_vectors(responses, known)
    cosine = np.einsum("ij,ij->i", prompts, responses).astype(np.float64)
    return np.where(known, cosine, np.nan), responses


def centre_vectors(vectors: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The vectors minus the mean of the ``known`` ones, scaled to unit length, shape (rows, 256)."""
    if not known.any():
        return vectors
    # Summed in double precision: the mean of equal vectors must be that vector, or rounding is left where 0 should be.
    centred = vectors - vectors[known].mean(axis=0, dtype=np.float64).astype(np.float32)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 1e-6)
    return unit


def flag_contradictions(records: Sequence[Record], responses: NDArray[np.float32], cosine: float) -> list[bool]:
    """For each row, whether its prompt stands elsewhere and no answer given there resembles this row's.

    ``responses``: unit response embeddings, shape (rows, 256). ``cosine``: below it, two answers do not resemble each
    other. A row with a blank prompt contradicts nothing, nor does one whose embedding is the zero vector: its answer is
    blank, or all rows have the same one.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for i, record in enumerate(records):
        prompt = prompt_and_response(record)[0]
        if prompt.strip() and responses[i].any():
            groups[normalise_text(prompt) or prompt].append(i)
    flags = [False] * len(records)
    for members in groups.values():
        if len(members) < 2:
            continue
        answers = responses[members]
        for start in range(0, len(members), COMPARED_ROWS):
            similarity = answers[start : start + COMPARED_ROWS] @ answers.T
            own = np.arange(len(similarity))
            similarity[own, start + own] = -1.0
            for i, nearest in zip(members[start : start + COMPARED_ROWS], similarity.max(axis=1), strict=True):
                flags[i] = bool(nearest < cosine)
    return flags


def flag_equal_pairs(records: Sequence[Record]) -> list[bool]:
    """For each row, whether its chosen and rejected answers are the same but for case, spacing and punctuation."""
    return [
        isinstance(record, Preference)
        and bool(record.chosen and record.rejected)
        and _answer_text(record.chosen) == _answer_text(record.rejected)
        for record in records
    ]


def flag_flipped_pairs(records: Sequence[Record]) -> list[bool]:
    """For each row, whether another row with its prompt rejects its chosen answer or chooses its rejected one.

    Unpaired rows count as well. Rows whose two answers are the same contradict nothing. Answers that were ranked
    contradict each other anyway, because each is paired with better and with worse ones; there only a change of the
    count says something.
    """
    keys: list[tuple[int | None, int | None]] = []
    for record, equal in zip(records, flag_equal_pairs(records), strict=True):
        chosen = rejected = None
        if isinstance(record, Preference) and not equal:
            prompt = "\n".join(m.text for m in record.prompt)
            prompt = normalise_text(prompt) or prompt
            # Hashes, so that a million pairs fit into memory. Two texts share one with a chance of one in 2**64.
            chosen = hash((prompt, _answer_text(record.chosen))) if record.chosen else None
            rejected = hash((prompt, _answer_text(record.rejected))) if record.rejected else None
        keys.append((chosen, rejected))
    all_chosen = {chosen for chosen, _ in keys} - {None}
    all_rejected = {rejected for _, rejected in keys} - {None}
    return [chosen in all_rejected or rejected in all_chosen for chosen, rejected in keys]


def _answer_text(messages: Sequence[Message]) -> str:
    text = "\n".join(m.text for m in messages)
    return normalise_text(text) or text


def answer_agreement(
    records: Sequence[Record], advance: Advance = ignore_advance
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """As ``row_agreement``, but of preferences the agreement of both answers, shape (rows, 2).

    The first column is of the chosen answer, or of the rejected one in an unpaired row without a chosen answer. The
    second is of the rejected answer, nan in a row with only one answer.
    """
    agreement, responses = row_agreement(records, advance)
    if not any(isinstance(record, Preference) for record in records):
        return agreement, responses
    both = np.column_stack([agreement, np.full(len(records), np.nan)])
    pairs = {i: r for i, r in enumerate(records) if isinstance(r, Preference) and r.chosen and r.rejected}
    if pairs:
        both[list(pairs), 1] = row_agreement([replace(pair, chosen=()) for pair in pairs.values()])[0]
    return both, responses


def profile_consistency(
    records: Sequence[HashedRecord],
    params: ConsistencyParams,
    progress: Progress = ignore_progress,
) -> tuple[ConsistencyProfile, NDArray[np.float64]]:
    """The profile of a version, and the agreement of each row as in ``answer_agreement``, nan where it has none.

    ``progress`` counts each row three times: for its prompt, its response, and the search for near-duplicates.
    """
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress(done, 3 * len(records))

    rows = [record for record, _ in records]
    agreement, responses = answer_agreement(rows, advance)
    first = agreement if agreement.ndim == 1 else agreement[:, 0]
    known = first[~np.isnan(first)]
    profile = ConsistencyProfile(
        rows=len(rows),
        measured=len(known),
        agreement=float(known.mean()) if len(known) else float("nan"),
        agreement_sd=float(known.std(ddof=1)) if len(known) > 1 else 0.0,
        exact_duplicates=len(rows) - len({row_hash for _, row_hash in records}),
        near_duplicates=sum(flag_near_duplicates(rows, params.near_duplicate_jaccard, advance)),
        contradictions=sum(flag_contradictions(rows, responses, params.contradiction_cosine)),
        chosen_margin=None,
    )
    if agreement.ndim == 1:
        return profile, agreement
    margins = agreement[:, 0] - agreement[:, 1]
    margins = margins[~np.isnan(margins)]
    flipped, equal = flag_flipped_pairs(rows), flag_equal_pairs(rows)
    profile = replace(
        profile,
        chosen_margin=float(margins.mean()) if len(margins) else None,
        flipped_pairs=sum(flipped),
        equal_pairs=sum(equal),
        flipped_rows=_name_rows(rows, flipped),
        equal_rows=_name_rows(rows, equal),
    )
    return profile, agreement


def _name_rows(records: Sequence[Record], flags: Sequence[bool]) -> tuple[int, ...]:
    return tuple(record.row for record, flag in zip(records, flags, strict=True) if flag)[:NAMED_ROWS]
