"""What is found in each row by itself: its agreement, the key of its prompt, and what shows whether it is like another.

No row needs to know of another one for this, so the pieces of a file can be shared out to workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from corpus.compiled_loops import announce_share
from corpus.records import Message, Preference, Record
from corpus.row_pieces import RowPiece
from corpus.row_sides import side_key
from monitor.measures.near_duplicates import join_turns, sketch_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

# The text that a model is given and the one that it should give; None of a row that is not looked at.
ReadSides = Callable[[Record], tuple[str, str] | None]


def prompt_and_response(record: Record) -> tuple[str, str]:
    """The text that a model is given, and the text that it should give (the chosen answer, else the rejected one)."""
    if isinstance(record, Preference):
        return _join_prompt(record), _join(record.chosen or record.rejected, True)
    return _join(record.messages, False), _join(record.messages, True)


def prompt_and_rejected(record: Record) -> tuple[str, str] | None:
    """The same of a pair's rejected answer; None of a row with only one answer."""
    if not isinstance(record, Preference) or not record.chosen or not record.rejected:
        return None
    return _join_prompt(record), _join(record.rejected, True)


def _join_prompt(record: Preference) -> str:
    return "\n".join(m.text for m in record.prompt)


def _join(messages: Sequence[Message], answers: bool) -> str:
    return "\n".join(m.text for m in messages if (m.role == "assistant") == answers)


class SideVectors(NamedTuple):
    """The embeddings of the rows that are looked at, unit vectors of shape (n, 256), and the rows' indices."""

    rows: NDArray[np.int64]
    prompts: Vectors
    responses: Vectors


class VectorStore:
    """Takes up the embeddings of piece after piece, of at most so many rows, and holds each of them once."""

    def __init__(self, most: int) -> None:
        none = embed_sides(np.empty(0, dtype=np.int64), [])
        # Memory is taken when it is written to.
        self._store = SideVectors._make(np.empty((most, *part.shape[1:]), dtype=part.dtype) for part in none)
        self._count = 0

    def add(self, found: SideVectors) -> None:
        span = slice(self._count, self._count + len(found.rows))
        rows, prompts, responses = self._store
        rows[span], prompts[span], responses[span] = found
        self._count = span.stop

    def join(self) -> SideVectors:
        """Those of all pieces, one after the other."""
        return SideVectors._make(store[: self._count] for store in self._store)


class SideMeans(NamedTuple):
    """What all prompts, and all responses, have in common, shape (256,); None where no row has both."""

    prompts: Vectors | None
    responses: Vectors | None

    def centre(self, found: SideVectors) -> tuple[NDArray[np.float64], Vectors]:
        """The agreement of rows, nan where a text is blank, shape (n,); and their centred responses, shape (n, 256)."""
        answered = found.responses.any(axis=1)
        known = np.logical_and(found.prompts.any(axis=1), answered)
        prompts, responses = subtract_mean(found.prompts, self.prompts), subtract_mean(found.responses, self.responses)
        responses[~answered] = 0.0
        cosine = np.einsum("ij,ij->i", prompts, responses).astype(np.float64)
        return np.where(known, cosine, np.nan), responses


def mean_vector(vectors: Vectors, known: NDArray[np.bool_]) -> Vectors | None:
    """The mean of the ``known`` vectors, shape (256,); None where there are none."""
    if not known.any():
        return None
    # Summed in double precision: the mean of equal vectors must be that vector, or rounding is left where 0 should be.
    mean: Vectors = vectors[known].mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def subtract_mean(vectors: Vectors, mean: Vectors | None) -> Vectors:
    """The vectors minus a mean, scaled to unit length; as they are where there is no mean. Shape (rows, 256)."""
    if mean is None:
        return vectors
    centred = vectors - mean
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: Vectors = np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 1e-6)
    return unit


@dataclass(frozen=True)
class EmbedSides:
    """The job to embed both sides of each row of a piece. ``characters``: of all pieces, for compiled loops."""

    read: ReadSides
    characters: int

    def __call__(self, piece: RowPiece) -> SideVectors:
        announce_share(self.characters)
        return embed_sides(piece.rows, [self.read(record) for record, _ in piece.read()])


@dataclass(frozen=True)
class MeasureAgreement:
    """The job to measure the agreement of each row of a piece that is looked at."""

    embed: EmbedSides
    means: SideMeans

    def __call__(self, piece: RowPiece) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        found = self.embed(piece)
        return found.rows, self.means.centre(found)[0]


class RowFindings(NamedTuple):
    """What is found in the rows of a piece, shape (rows,) each.

    ``prompts``: a key of each prompt, equal for prompts of the same words. ``has_prompt``: whether it is not blank.
    ``keys``, ``sketches``: what ``flag_alike`` compares. ``vectors``: of the rows that had to be embedded, without
    means; else their ``embedded`` indices, their ``agreement``, and whether their response is ``answered``: its
    embedding is not the zero vector. ``has_pairs``: whether a row is a preference.
    """

    prompts: NDArray[np.uint64]
    has_prompt: NDArray[np.bool_]
    keys: NDArray[np.uint64]
    sketches: NDArray[np.uint8]
    vectors: SideVectors | None
    embedded: NDArray[np.int64]
    agreement: NDArray[np.float64]
    answered: NDArray[np.bool_]
    has_pairs: bool


@dataclass(frozen=True)
class FindInRows:
    """The job to find all of this. A task is a piece and, for each of its rows, whether it is embedded already."""

    jaccard: float
    characters: int
    means: SideMeans | None = None

    def __call__(self, task: tuple[RowPiece, NDArray[np.bool_] | None]) -> RowFindings:
        announce_share(self.characters)
        piece, is_embedded = task
        records = [record for record, _ in piece.read()]
        sides = [prompt_and_response(record) for record in records]
        todo = np.arange(len(sides)) if is_embedded is None else np.flatnonzero(~is_embedded)
        vectors = embed_sides(piece.rows[todo], [sides[i] for i in todo.tolist()])
        agreement, responses = self.means.centre(vectors) if self.means else (np.empty(0), np.empty((0, 0)))
        keys, sketches = sketch_texts(map(join_turns, records), self.jaccard)
        return RowFindings(
            np.array([side_key(prompt) for prompt, _ in sides], dtype=np.uint64),
            np.array([bool(prompt.strip()) for prompt, _ in sides], dtype=bool),
            keys,
            sketches,
            None if self.means else vectors,
            vectors.rows,
            agreement,
            np.array(responses.any(axis=1), dtype=bool),
            any(isinstance(record, Preference) for record in records),
        )


def embed_sides(rows: NDArray[np.int64], sides: Sequence[tuple[str, str] | None]) -> SideVectors:
    """The embeddings of those of the rows that have sides."""
    from corpus.embeddings import embed_texts, load_embedder

    embedder = load_embedder()
    known = [both for both in sides if both is not None]
    prompts, responses = (embed_texts(embedder, [both[side] for both in known]) for side in (0, 1))
    return SideVectors(rows[[both is not None for both in sides]], prompts, responses)
