"""The agreement of prompt and answer of each row, measured in one pass over the rows and in constant memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from corpus.progress import Advance, ignore_advance
from corpus.records import HashedRecord, Record
from corpus.row_facts import characters_of, hashes_of
from corpus.row_pieces import cut_rows
from corpus.workers import IN_THIS_THREAD, Workers
from monitor.measures.row_findings import (
    EmbedSides,
    MeasureAgreement,
    ReadSides,
    SideMeans,
    SideVectors,
    VectorStore,
    mean_vector,
    prompt_and_response,
    subtract_mean,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What all prompts, and all responses, have in common is the mean over so many rows, those with the lowest hashes. Of
# more rows it would move by less than a hundredth of the spread between rows, and their vectors would take 2 KB each.
MEAN_ROWS = 2**15


class AgreementMeter:
    """Measures how well the answers of some rows fit their prompts.

    Agreement is the cosine of the embeddings of prompt and response. First the mean of all prompts, and of all
    responses, is subtracted. What all prompts have in common says nothing about which answer belongs to which prompt,
    and long texts share more of it than short ones. On chit-chat this doubles the distance between true and swapped
    pairs, in standard deviations between topics. Where all prompts, or all responses, are the same text, every cosine
    is 0.

    ``records``: all rows. ``sample``: the embeddings of those over which the means are taken; they are kept, so that
    no row is embedded twice. ``read``: what is compared.

    - ``means``: of the sample. ``is_kept``: whether a row is in it, shape (rows,).
    - ``rows``, ``agreement``, ``responses``: of the sample, as ``SideMeans.centre`` gives them.
    """

    def __init__(
        self,
        records: Sequence[HashedRecord],
        sample: SideVectors,
        read: ReadSides = prompt_and_response,
        workers: Workers = IN_THIS_THREAD,
    ) -> None:
        self._records, self._workers = records, workers
        self._embed = EmbedSides(read, 2 * int(characters_of(records).sum()))
        known = np.logical_and(sample.prompts.any(axis=1), sample.responses.any(axis=1))
        self.means = SideMeans(mean_vector(sample.prompts, known), mean_vector(sample.responses, known))
        self.rows = sample.rows
        self.agreement, self.responses = self.means.centre(sample)
        self.is_kept = np.zeros(len(records), dtype=bool)
        self.is_kept[self.rows] = True

    @classmethod
    def of_sample(
        cls,
        records: Sequence[HashedRecord],
        read: ReadSides = prompt_and_response,
        workers: Workers = IN_THIS_THREAD,
        advance: Advance = ignore_advance,
    ) -> AgreementMeter:
        """With the means over MEAN_ROWS rows, which are embedded now."""
        sample = np.sort(hashes_of(records).order()[:MEAN_ROWS]) if is_sampled(records) else None
        embed = EmbedSides(read, 2 * int(characters_of(records).sum()))
        store = VectorStore(len(records) if sample is None else len(sample))
        for vectors in workers.map(embed, cut_rows(records, sample)):
            store.add(vectors)
            advance(2 * len(vectors.rows))
        return cls(records, store.join(), read, workers)

    def measure_all(self) -> NDArray[np.float64]:
        """The agreement of each row, nan where a text is blank or the row is not looked at, shape (rows,)."""
        agreement = np.full(len(self._records), np.nan)
        agreement[self.rows] = self.agreement
        if is_sampled(self._records):
            others = cut_rows(self._records, np.flatnonzero(~self.is_kept))
            for rows, found in self._workers.map(MeasureAgreement(self._embed, self.means), others):
                agreement[rows] = found
        return agreement

    def embed_responses(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The centred response embeddings of single rows that are looked at, shape (n, 256)."""
        is_kept = self.is_kept[rows]
        found = np.zeros((len(rows), self.responses.shape[1]), dtype=np.float32)
        found[is_kept] = self.responses[np.searchsorted(self.rows, rows[is_kept])]
        others = np.flatnonzero(~is_kept)
        if len(others):
            store = VectorStore(len(others))
            for vectors in self._workers.map(self._embed, cut_rows(self._records, rows[others])):
                store.add(vectors)
            found[others] = self.means.centre(store.join())[1]
        return found


def is_sampled(records: Sequence[HashedRecord]) -> bool:
    """Whether the means are those of a sample, and not of all rows."""
    return len(records) > MEAN_ROWS


def row_agreement(records: Sequence[Record]) -> NDArray[np.float64]:
    """The agreement of each of a few thousand rows, see `AgreementMeter`; shape (rows,)."""
    rows = [HashedRecord(record, "") for record in records[:MEAN_ROWS]]
    return AgreementMeter.of_sample(rows).measure_all()


def centre_vectors(vectors: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The vectors minus the mean of the ``known`` ones, scaled to unit length, shape (rows, 256)."""
    return subtract_mean(vectors, mean_vector(vectors, known))
