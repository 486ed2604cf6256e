"""The agreement of prompt and answer of each row, measured in one pass over the rows and in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from corpus.progress import Advance, ignore_advance
from corpus.records import HashedRecord, Message, Preference, Record
from corpus.row_facts import hashes_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What all prompts, and all responses, have in common is the mean over so many rows, those with the lowest hashes. Of
# more rows it would move by less than a hundredth of the spread between rows, and their vectors would take 2 KB each.
MEAN_ROWS = 2**15

# The texts of so many rows are in memory at once.
CHUNK_ROWS = 1024

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


class AgreementMeter:
    """Measures how well the answers of some rows fit their prompts.

    Agreement is the cosine of the embeddings of prompt and response. First the mean of all prompts, and of all
    responses, is subtracted. What all prompts have in common says nothing about which answer belongs to which prompt,
    and long texts share more of it than short ones. On chit-chat this doubles the distance between true and swapped
    pairs, in standard deviations between topics. Where all prompts, or all responses, are the same text, every cosine
    is 0.

    ``records``: all rows, over which the means are taken. ``read``: what is compared.
    """

    def __init__(
        self,
        records: Sequence[HashedRecord],
        read: ReadSides = prompt_and_response,
        advance: Advance = ignore_advance,
    ) -> None:
        self._records, self._read, self._advance = records, read, advance
        sample = range(len(records))
        if len(records) > MEAN_ROWS:
            sample = np.sort(hashes_of(records).order()[:MEAN_ROWS]).tolist()
        # The vectors of the sample are kept, so that no row is embedded twice.
        self._rows, prompts, responses = self._embed(sample)
        known = np.logical_and(prompts.any(axis=1), responses.any(axis=1))
        self._means = tuple(mean_vector(vectors, known) for vectors in (prompts, responses))
        self._kept = self._centre(prompts, responses)

    def measure(self, start: int, stop: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """The agreement of rows ``start`` to ``stop``, shape (n,), and their response embeddings, shape (n, 256).

        Agreement is nan where one of the texts is blank, and of rows that are not looked at; their embedding is the
        zero vector then. The embeddings are unit vectors of which the mean was subtracted.
        """
        agreement = np.full(stop - start, np.nan)
        responses = np.zeros((stop - start, self._kept[1].shape[1]), dtype=np.float32)
        first, last = np.searchsorted(self._rows, (start, stop)).tolist()
        own = self._rows[first:last] - start
        agreement[own], responses[own] = (values[first:last] for values in self._kept)
        if len(own) < stop - start and len(self._records) > MEAN_ROWS:
            others = np.setdiff1d(np.arange(start, stop), self._rows[first:last])
            rows, *vectors = self._embed(others.tolist())
            agreement[rows - start], responses[rows - start] = self._centre(*vectors)
        return agreement, responses

    def embed_responses(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The response embeddings of single rows that are looked at, as ``measure`` gives them, shape (n, 256)."""
        places = np.minimum(np.searchsorted(self._rows, rows), len(self._rows) - 1)
        is_kept = self._rows[places] == rows
        found = np.zeros((len(rows), self._kept[1].shape[1]), dtype=np.float32)
        found[is_kept] = self._kept[1][places[is_kept]]
        others = np.flatnonzero(~is_kept)
        if len(others):
            found[others] = self._centre(*self._embed(rows[others].tolist())[1:])[1]
        return found

    def _embed(self, rows: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Those of the rows that are looked at, and the embeddings of their prompts and responses."""
        from corpus.embeddings import embed_texts, load_embedder

        embedder = load_embedder()
        looked_at: list[int] = []
        vectors: list[list[NDArray[np.float32]]] = [[], []]
        # At least once, so that no row at all has vectors of the right shape.
        for start in range(0, max(1, len(rows)), CHUNK_ROWS):
            found = [(i, sides) for i in rows[start : start + CHUNK_ROWS] if (sides := self._read(self._records[i][0]))]
            looked_at += [i for i, _ in found]
            for side, parts in enumerate(vectors):
                parts.append(embed_texts(embedder, [sides[side] for _, sides in found], self._advance))
        prompts, responses = map(np.concatenate, vectors)
        return np.array(looked_at, dtype=np.int64), prompts, responses

    def _centre(
        self, prompts: NDArray[np.float32], responses: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        answered = responses.any(axis=1)
        known = np.logical_and(prompts.any(axis=1), answered)
        prompts, responses = (subtract_mean(v, mean) for v, mean in zip((prompts, responses), self._means, strict=True))
        responses[~answered] = 0.0
        cosine = np.einsum("ij,ij->i", prompts, responses).astype(np.float64)
        return np.where(known, cosine, np.nan), responses


def row_agreement(records: Sequence[Record]) -> NDArray[np.float64]:
    """The agreement of each of a few thousand rows, see `AgreementMeter`; shape (rows,)."""
    rows = [HashedRecord(record, "") for record in records[:MEAN_ROWS]]
    return AgreementMeter(rows).measure(0, len(rows))[0]


def centre_vectors(vectors: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The vectors minus the mean of the ``known`` ones, scaled to unit length, shape (rows, 256)."""
    return subtract_mean(vectors, mean_vector(vectors, known))


def mean_vector(vectors: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    """The mean of the ``known`` vectors, shape (256,); None where there are none."""
    if not known.any():
        return None
    # Summed in double precision: the mean of equal vectors must be that vector, or rounding is left where 0 should be.
    mean: NDArray[np.float32] = vectors[known].mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def subtract_mean(vectors: NDArray[np.float32], mean: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """The vectors minus a mean, scaled to unit length; as they are where there is no mean. Shape (rows, 256)."""
    if mean is None:
        return vectors
    centred = vectors - mean
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 1e-6)
    return unit
