"""Static text embeddings from weights that ship with the wordllama package: no download, thousands of rows a second."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.compiled_loops import announce_text, is_worth_compiling
from corpus.piece_tokens import PieceTokens
from corpus.progress import Advance, ignore_advance

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A static embedding is a mean over tokens: past some two thousand characters more text hardly moves it.
MAX_CHARACTERS = 2000
# Texts embedded between two reports of progress.
CHUNK_TEXTS = 1024


# Several threads may need what is loaded once.
_LOADING = threading.RLock()


def load_embedder() -> Any:
    """The 256-dimensional model inside the wordllama wheel (about 0.3 s, once in a process, which then holds it)."""
    with _LOADING:
        return _load_embedder()


@functools.cache
def _load_embedder() -> Any:
    from pathlib import Path

    import wordllama

    # Without cache_dir the package looks for its tokenizer in the user's cache, and not in its own folder.
    return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)


def embed_texts(embedder: Any, texts: Sequence[str], advance: Advance = ignore_advance) -> NDArray[np.float32]:
    """The texts as unit vectors, shape (texts, 256); a blank text becomes the zero vector.

    ``embedder``: from ``load_embedder``. ``advance`` is told how many more texts are done.
    """
    vectors = np.zeros((len(texts), embedder.embedding.shape[1]), dtype=np.float32)
    announce_text(sum(min(len(text), MAX_CHARACTERS) for text in texts))
    # Blank texts are left out, because the embedder has a vector for white space too.
    said = [i for i, text in enumerate(texts) if text.strip()]
    for start in range(0, len(said), CHUNK_TEXTS):
        chunk = said[start : start + CHUNK_TEXTS]
        vectors[chunk] = _mean_over_tokens(embedder, [texts[i][:MAX_CHARACTERS] for i in chunk])
        advance(len(chunk))
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return unit


@functools.lru_cache(maxsize=1)
def _read_tokens(embedder: Any) -> PieceTokens:
    return PieceTokens(embedder.tokenizer)


def _mean_over_tokens(embedder: Any, texts: list[str]) -> NDArray[np.float32]:
    """The mean of the vectors of each text's tokens: what the embedder's own ``embed`` gives, to the bit.

    That one writes the vector of every token, and of the padding, to memory before it adds them up. Here they are added
    up at once, in a third of the time.
    """
    with _LOADING:
        reader = _read_tokens(embedder)
    tokens, counts = reader.encode(texts)
    # As in ``embed``, a token without a vector has that of the last one.
    tokens = np.minimum(tokens, np.int32(len(embedder.embedding) - 1))
    add_vectors = (_compile_sum() if is_worth_compiling() else None) or _add_in_scipy
    sums = add_vectors(tokens, counts, embedder.embedding)
    means: NDArray[np.float32] = sums / np.maximum(counts, 1).astype(np.float32)[:, None]
    return means


def _add_in_scipy(
    tokens: NDArray[np.int32], counts: NDArray[np.int64], embedding: NDArray[np.float32]
) -> NDArray[np.float32]:
    """A product with a sparse matrix of tokens."""
    from scipy.sparse import csr_array

    ends = np.concatenate([[0], np.cumsum(counts)])
    shape = (len(counts), len(embedding))
    of_texts = csr_array((np.ones(len(tokens), dtype=np.float32), tokens, ends), shape=shape)
    sums: NDArray[np.float32] = of_texts @ embedding
    return sums


@functools.cache
def _compile_sum() -> Callable[..., NDArray[np.float32]] | None:
    # numba is missing for new Pythons, and fails where it cannot write its cache. scipy gives the same, more slowly.
    try:
        from corpus.byte_pairs import add_vectors
    except (ImportError, RuntimeError):
        return None
    return add_vectors
