"""Tokens of texts piece by piece: the tokenizer's own, whatever the text."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import Digits

import corpus.compiled_loops
import corpus.piece_tokens
from corpus.embeddings import load_embedder
from corpus.piece_tokens import PieceTokens
from corpus.records import HashedRecord, canonical_text

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


@pytest.fixture
def compiled(pieces: PieceTokens, monkeypatch: pytest.MonkeyPatch) -> PieceTokens:
    pytest.importorskip("numba")
    monkeypatch.setattr(corpus.compiled_loops, "COMPILED_FROM_CHARACTERS", 0)
    return pieces


several_texts = st.lists(st.lists(st.sampled_from(HARD) | st.text(max_size=8)).map("".join), min_size=1)


@given(texts=several_texts)
def test_the_tokens_are_those_of_the_tokenizer(pieces: PieceTokens, texts: list[str]) -> None:
    assert split(*pieces.encode(texts)) == own_tokens(texts)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(texts=several_texts)
def test_compiled_loops_find_the_tokens_of_the_tokenizer(compiled: PieceTokens, texts: list[str]) -> None:
    assert split(*compiled.encode(texts)) == own_tokens(texts)


def test_compiled_loops_find_the_tokens_of_real_and_of_endless_words(
    compiled: PieceTokens, chats: list[HashedRecord]
) -> None:
    texts = [canonical_text(record) for record, _ in chats[:100]]
    texts += ["=" * 3000, "ab" * 1500, "ACGT" * 600, "\u4e2d\u6587\U00020000" * 40, *("a" * n for n in range(15, 19))]
    assert split(*compiled.encode(texts)) == own_tokens(texts)
    # What was met before is remembered.
    assert split(*compiled.encode(texts[::-1])) == own_tokens(texts[::-1])


def test_a_tokenizer_of_another_kind_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus.compiled_loops, "COMPILED_FROM_CHARACTERS", 0)
    tokenizer = Tokenizer.from_str(load_embedder().tokenizer.to_str())
    tokenizer.pre_tokenizer = Digits()
    texts = ["in 1984 a word", "42"]
    own = [found.ids for found in tokenizer.encode_batch(texts, add_special_tokens=False)]
    assert split(*PieceTokens(tokenizer).encode(texts)) == own


def test_what_was_forgotten_is_learned_again(pieces: PieceTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus.piece_tokens, "MAX_PIECES", 3)
    for text in ("one two three four five", "four five six", "one </s> six", ""):
        assert split(*pieces.encode([text, text])) == own_tokens([text, text])
