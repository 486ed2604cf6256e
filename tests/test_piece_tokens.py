"""Tokens of texts piece by piece: the tokenizer's own, whatever the text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import corpus.piece_tokens
from corpus.embeddings import load_embedder
from corpus.piece_tokens import PieceTokens

# Where a cut may go wrong: spaces of several kinds, ends of lines, the tokenizer's own space, its added tokens.
HARD = (
    "",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "\u00a0",
    "▁",
    "</s>",
    "<s>",
    "<",
    "s",
    "é",
    "中文",
    "😀",
    "\x00",
    "word",
    ".",
)


def own_tokens(texts: list[str]) -> list[list[int]]:
    tokenizer = load_embedder().tokenizer
    tokenizer.no_padding()
    return [found.ids for found in tokenizer.encode_batch(texts, add_special_tokens=False)]


def split(tokens: np.ndarray, counts: np.ndarray) -> list[list[int]]:
    return [part.tolist() for part in np.split(tokens, np.cumsum(counts)[:-1])]


@pytest.fixture(scope="module")
def pieces() -> PieceTokens:
    return PieceTokens(load_embedder().tokenizer)


@given(texts=st.lists(st.lists(st.sampled_from(HARD) | st.text(max_size=8)).map("".join), min_size=1))
def test_the_tokens_are_those_of_the_tokenizer(pieces: PieceTokens, texts: list[str]) -> None:
    assert split(*pieces.encode(texts)) == own_tokens(texts)


def test_what_was_forgotten_is_learned_again(pieces: PieceTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus.piece_tokens, "MAX_PIECES", 3)
    for text in ("one two three four five", "four five six", "one </s> six", ""):
        assert split(*pieces.encode([text, text])) == own_tokens([text, text])
