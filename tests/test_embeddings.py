"""Static embeddings: unit vectors that do not depend on what else is embedded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpus.compiled_loops
from corpus.embeddings import MAX_CHARACTERS, embed_texts, load_embedder
from corpus.records import HashedRecord, canonical_text

EMBEDDER = load_embedder()

# Line breaks of every kind, blanks and unpaired symbols included; surrogates never come out of a reader.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@given(st.lists(texts, max_size=8))
@settings(max_examples=40, deadline=None)
def test_every_text_gets_a_unit_vector_and_a_blank_one_the_zero_vector(batch: list[str]) -> None:
    vectors = embed_texts(EMBEDDER, batch)
    assert vectors.shape == (len(batch), 256)
    lengths = np.linalg.norm(vectors, axis=1)
    assert lengths == pytest.approx([1.0 if text.strip() else 0.0 for text in batch], abs=1e-5)


def test_a_text_has_the_same_vector_alone_and_in_any_company() -> None:
    batch = ["What is the capital of France?", "Paris.", "word " * 300, "", "Bonjour, ça va ?"]
    together = embed_texts(EMBEDDER, batch)
    alone = np.concatenate([embed_texts(EMBEDDER, [text]) for text in batch])
    assert together == pytest.approx(alone, abs=1e-6)
    assert together == pytest.approx(embed_texts(EMBEDDER, batch[::-1])[::-1], abs=1e-6)


def test_the_vectors_are_those_of_the_embedder_itself(chats: list[HashedRecord]) -> None:
    texts = [canonical_text(record)[:MAX_CHARACTERS] for record, _ in chats[:150]]
    EMBEDDER.tokenizer.enable_padding()
    theirs = EMBEDDER.embed(texts, norm=True)
    assert embed_texts(EMBEDDER, texts) == pytest.approx(theirs, abs=1e-6)


def test_compiled_loops_change_no_bit(chats: list[HashedRecord], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    texts = ["", " ", "\u4f60\u597d" * 50, "</s> x", *(canonical_text(record) for record, _ in chats[:100])]
    usual = embed_texts(EMBEDDER, texts)
    monkeypatch.setattr(corpus.compiled_loops, "COMPILED_FROM_CHARACTERS", 0)
    assert embed_texts(EMBEDDER, texts).tobytes() == usual.tobytes()


def test_text_past_the_limit_does_not_count() -> None:
    start = ("a long story about rivers " * 100)[:MAX_CHARACTERS]
    near, far = embed_texts(EMBEDDER, [start, start + " and then a murder in a bank"])
    assert near == pytest.approx(far, abs=1e-6)


def test_related_texts_are_closer_than_unrelated_ones() -> None:
    question, answer, other = embed_texts(
        EMBEDDER,
        ["How do I bake bread at home?", "Mix flour, yeast and water, then bake the loaf.", "The stock market fell."],
    )
    assert question @ answer > question @ other + 0.2
