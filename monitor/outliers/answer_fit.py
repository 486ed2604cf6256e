"""Whether an answer belongs to its own prompt rather than to another row's, learnt from the kept rows themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import Record
from monitor.measures.consistency import centre_vectors, prompt_and_response

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

# Fewer rows to learn from say nothing.
MIN_ROWS = 30


@dataclass(frozen=True)
class Sides:
    """Prompts and responses of rows: their texts, and the unit vectors of these, shape (rows, 256)."""

    prompts: tuple[str, ...]
    responses: tuple[str, ...]
    prompt_vectors: NDArray[np.float32]
    response_vectors: NDArray[np.float32]


def embed_sides(records: Sequence[Record]) -> Sides:
    from corpus.embeddings import embed_texts, load_embedder

    embedder = load_embedder()
    prompts, responses = zip(*map(prompt_and_response, records), strict=True)
    return Sides(prompts, responses, embed_texts(embedder, prompts), embed_texts(embedder, responses))


def measure_answer_mismatch(sides: Sides, fold: NDArray[np.int64]) -> NDArray[np.float64]:
    """Log-odds that a row's answers are another row's, shape (rows,), nan where its prompts or answers are blank.

    A logistic regression is fitted on the kept rows against the same rows with their answers exchanged among rows that
    answer about as long. It looks at two things, and at what both mean at the lengths at hand: the cosine of the
    embeddings, and that of the words, weighted by how rare they are among rows (inverse document frequency). Long texts
    have more in common than short ones, whoever wrote them. ``fold``: 0, 1, ... of kept rows, each of which is scored
    without its own fold, −1 of others. All nan with fewer than MIN_ROWS kept rows.
    """
    from sklearn.linear_model import LogisticRegression

    rows = len(sides.prompts)
    known = np.logical_and(sides.prompt_vectors.any(axis=1), sides.response_vectors.any(axis=1))
    is_kept = known & (fold >= 0)
    kept = np.flatnonzero(is_kept)
    mismatch = np.full(rows, np.nan)
    if len(kept) < MIN_ROWS:
        return mismatch
    prompts = centre_vectors(sides.prompt_vectors, is_kept)
    responses = centre_vectors(sides.response_vectors, is_kept)
    prompt_lengths, response_lengths = (
        np.log1p([len(text) for text in texts]) for texts in (sides.prompts, sides.responses)
    )
    prompt_words, response_words = _weigh_words(sides.prompts, sides.responses, kept)

    def look(of_prompt: NDArray[np.int64], of_response: NDArray[np.int64]) -> NDArray[np.float64]:
        """Features of the pairs, shape (pairs, 8)."""
        cosine = np.einsum("ij,ij->i", prompts[of_prompt], responses[of_response]).astype(np.float64)
        overlap = np.asarray(prompt_words[of_prompt].multiply(response_words[of_response]).sum(axis=1)).ravel()
        lengths = prompt_lengths[of_prompt], response_lengths[of_response]
        products = [value * length for value in (cosine, overlap) for length in lengths]
        return np.column_stack([cosine, overlap, *lengths, *products])

    everyone = np.arange(rows)
    own = look(everyone, everyone)
    exchanged = look(kept, _exchange(kept, response_lengths))
    scale, shift = own[kept].std(axis=0), own[kept].mean(axis=0)
    own, exchanged = ((features - shift) / np.where(scale > 0, scale, 1.0) for features in (own, exchanged))
    for k in np.unique(fold):
        learnt = fold[kept] != k
        scored = fold == k
        if np.count_nonzero(learnt) >= MIN_ROWS // 2:
            features = np.concatenate([own[kept][learnt], exchanged[learnt]])
            is_exchanged = np.repeat([0, 1], np.count_nonzero(learnt))
            mismatch[scored] = LogisticRegression().fit(features, is_exchanged).decision_function(own[scored])
    return np.where(known, mismatch, np.nan)


def _exchange(rows: NDArray[np.int64], length: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each row another one whose answers are about as long: the next in this order, the first for the last."""
    order = np.argsort(length[rows], kind="stable")
    other = np.empty_like(rows)
    other[order] = rows[np.roll(order, -1)]
    return other


def _weigh_words(
    prompts: Sequence[str], responses: Sequence[str], kept: NDArray[np.int64]
) -> tuple[csr_matrix, csr_matrix]:
    """Unit vectors of the words in each text, in the weights of inverse document frequency among kept rows."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]+", binary=True)
    words.fit(f"{prompts[i]} {responses[i]}" for i in kept)
    # Without the one that is added to every weight: what all rows say ties no answer to its prompt.
    words.idf_ = words.idf_ - 1
    return words.transform(prompts), words.transform(responses)
