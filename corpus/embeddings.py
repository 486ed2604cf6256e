"""Static text embeddings from weights that ship with the wordllama package: no download, thousands of rows a second."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.progress import Advance, ignore_advance

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A static embedding is a mean over tokens: past some two thousand characters more text hardly moves it.
MAX_CHARACTERS = 2000
# Texts embedded between two reports of progress.
CHUNK_TEXTS = 1024


@functools.cache
def load_embedder() -> Any:
    """The 256-dimensional model inside the wordllama wheel (about 0.3 s, once in a process, which then holds it)."""
    from pathlib import Path

    import wordllama

    # Without cache_dir the package looks for its tokenizer in the user's cache, and not in its own folder.
    return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)


def embed_texts(embedder: Any, texts: Sequence[str], advance: Advance = ignore_advance) -> NDArray[np.float32]:
    """The texts as unit vectors, shape (texts, 256); a blank text becomes the zero vector.

    ``embedder``: from ``load_embedder``. ``advance`` is told how many more texts are done.
    """
    vectors = np.zeros((len(texts), embedder.embedding.shape[1]), dtype=np.float32)
    # The embedder pads every batch to its longest text: similar lengths together, or most of the work is padding.
    # Blank texts are left out, because the embedder has a vector for white space too.
    order = sorted((i for i, text in enumerate(texts) if text.strip()), key=lambda i: len(texts[i]))
    for start in range(0, len(order), CHUNK_TEXTS):
        chunk = order[start : start + CHUNK_TEXTS]
        vectors[chunk] = embedder.embed([texts[i][:MAX_CHARACTERS] for i in chunk], norm=False)
        advance(len(chunk))
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return unit
