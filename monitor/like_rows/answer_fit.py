"""Answer mismatch: does an answer fit another row's prompt better than its own? Learnt from the kept rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.embeddings import MAX_CHARACTERS
from corpus.records import Record
from corpus.row_sides import split_sides
from monitor.like_rows.numbered_words import NumberedWords, lower_words, number_words
from monitor.measures.agreement import centre_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

# The fewest kept rows that a regression can learn from.
MIN_ROWS = 30
# To the embedder a line break, two blanks and a no-break space are different words, or none. To a reader they are not.
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class Sides:
    """The prompts and the responses of rows: their texts, and a unit vector of each text, shape (rows, 256)."""

    prompts: tuple[str, ...]
    responses: tuple[str, ...]
    prompt_vectors: NDArray[np.float32]
    response_vectors: NDArray[np.float32]


@dataclass(frozen=True)
class SideWords:
    """Which words, in lower case and with runs of signs among them, stand in the prompts and in the responses of rows:
    1 where a word does, shape (rows, words), the words in alphabetical order.
    """

    prompts: csr_matrix
    responses: csr_matrix

    def take(self, places: NDArray[np.int64]) -> SideWords:
        """The words of some of the rows, in another order."""
        return SideWords(self.prompts[places], self.responses[places])


def embed_sides(records: Sequence[Record]) -> Sides:
    """Take each row apart into its prompt and its response, and embed both."""
    from corpus.embeddings import embed_texts, load_embedder

    embedder = load_embedder()
    sides = [split_sides(record) for record in records]
    prompts, responses = tuple(side.prompt for side in sides), tuple(side.answer for side in sides)
    vectors = (embed_texts(embedder, [_unify_spaces(text) for text in texts]) for texts in (prompts, responses))
    return Sides(prompts, responses, *vectors)


def _unify_spaces(text: str) -> str:
    """The text with one blank for any run of white space, as far as it is embedded."""
    start = _SPACES.sub(" ", text[: 2 * MAX_CHARACTERS])
    return start if len(start) > MAX_CHARACTERS else _SPACES.sub(" ", text)


def measure_answer_mismatch(
    sides: Sides,
    fold: NDArray[np.int64],
    is_kept: NDArray[np.bool_] | None = None,
    words: SideWords | None = None,
) -> NDArray[np.float64]:
    """Log-odds that a row's answers are another row's, shape (rows,), nan where its prompts or answers are blank.

    0 is undecided, 3 is twenty to one for another row. All nan with fewer than MIN_ROWS kept rows.

    A logistic regression tells the kept rows from the same rows with their answers exchanged among rows that answer
    about as long. Its features are the cosine of the embeddings; the cosine of the words, weighted by how rare they are
    among rows (inverse document frequency); both lengths; and each cosine times each length, because long texts have
    more in common than short ones, whoever wrote them. ``fold``: 0, 1, ... for each row, which is scored by a
    regression that has not seen its fold; −1 for a row that is scored by one that has seen all kept rows. ``is_kept``:
    shape (rows,), by default the rows with a fold. ``words``: of the same sides, where they are known.
    """
    from sklearn.linear_model import LogisticRegression

    rows = len(sides.prompts)
    known = np.logical_and(sides.prompt_vectors.any(axis=1), sides.response_vectors.any(axis=1))
    is_kept = known & (fold >= 0 if is_kept is None else is_kept)
    kept = np.flatnonzero(is_kept)
    mismatch = np.full(rows, np.nan)
    if len(kept) < MIN_ROWS:
        return mismatch
    prompts = centre_vectors(sides.prompt_vectors, is_kept)
    responses = centre_vectors(sides.response_vectors, is_kept)
    prompt_lengths, response_lengths = (
        np.log1p([len(text) for text in texts]) for texts in (sides.prompts, sides.responses)
    )
    prompt_words, response_words = _weigh_words(words or _find_side_words(sides), kept)

    def look(of_prompt: NDArray[np.int64], of_response: NDArray[np.int64]) -> NDArray[np.float64]:
        """The regression's features of the pairs, shape (pairs, 8). ``of_prompt``, ``of_response``: row indices."""
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
            mismatch[scored] = (
                LogisticRegression(max_iter=1000).fit(features, is_exchanged).decision_function(own[scored])
            )
    return np.where(known, mismatch, np.nan)


def _exchange(rows: NDArray[np.int64], length: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each row another one whose answers are about as long: the next longer, and for the longest the shortest."""
    order = np.argsort(length[rows], kind="stable")
    other = np.empty_like(rows)
    other[order] = rows[np.roll(order, -1)]
    return other


def list_side_words(prompts: NumberedWords, responses: NumberedWords) -> SideWords:
    """Which words each side has, from its words in lower case. Both share ``words``."""
    from scipy.sparse import csr_matrix

    words = prompts.words
    in_order = np.empty(len(words), dtype=np.int64)
    in_order[sorted(range(len(words)), key=words.__getitem__)] = np.arange(len(words))

    def mark(side: NumberedWords) -> csr_matrix:
        text = np.repeat(np.arange(len(side.count)), side.count)
        found = np.sort(text * len(words) + in_order[side.number])
        found = found[np.flatnonzero(np.diff(found, prepend=-1))]
        text, word = found // max(len(words), 1), found % max(len(words), 1)
        ends = np.cumsum(np.bincount(text, minlength=len(side.count)))
        return csr_matrix(
            (np.ones(len(found)), word.astype(np.int32), np.concatenate([[0], ends]).astype(np.int32)),
            shape=(len(side.count), len(words)),
        )

    return SideWords(mark(prompts), mark(responses))


def _weigh_words(words: SideWords, kept: NDArray[np.int64]) -> tuple[csr_matrix, csr_matrix]:
    """A unit vector of the words of each text. A word weighs more the fewer kept rows have it (inverse document
    frequency).
    """
    from sklearn.preprocessing import normalize

    of_prompts, of_responses = words.prompts, words.responses
    in_kept = np.asarray(((of_prompts[kept] + of_responses[kept]) > 0).sum(axis=0)).ravel()
    # A word that all kept rows have ties no answer to its prompt, nor does one that none of them has.
    weight = np.where(in_kept > 0, np.log((1 + len(kept)) / (1 + in_kept)), 0.0)
    return normalize(of_prompts.multiply(weight).tocsr()), normalize(of_responses.multiply(weight).tocsr())


def _find_side_words(sides: Sides) -> SideWords:
    texts = (*sides.prompts, *sides.responses)
    lower = lower_words(texts, number_words(texts))
    rows = len(sides.prompts)
    row = np.arange(rows)
    nothing = np.full(rows, -1)
    return list_side_words(
        lower.join(np.concatenate([row, nothing]), rows), lower.join(np.concatenate([nothing, row]), rows)
    )
