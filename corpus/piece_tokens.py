"""Tokens of many texts, where each run of spaces and letters is tokenised only once."""

from __future__ import annotations

import functools
import itertools
import re
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.compiled_loops import is_worth_compiling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from corpus.byte_pairs import BytePairs

# The tokenizer writes a space as this character.
SPACE = "▁"
# A piece of text: a word with the spaces before it, spaces at the end of a line, or the end itself.
_PIECE = re.compile(r" *[^ \n]+| +|\n")
# So many pieces are remembered, in some 50 MB. 100 MB of English text have half as many different ones.
MAX_PIECES = 2**18
# New pieces are tokenised as texts of so many lines: one by one, the tokenizer takes twice the time.
LEARNED_TOGETHER = 100

# A piece, or a text that is not cut, alone in a tuple.
Piece = str | tuple[str]


class PieceTokens:
    """The tokens of texts, as the tokenizer itself gives them, in a fifth of its time.

    A byte-pair tokenizer that does not cut its text into words first, as Llama 2 has, merges its way through all of it.
    But where none of its tokens has a space behind a letter, or the end of a line beside anything, no merge crosses
    these places. There a text falls into pieces, and most pieces come again and again. From some millions of
    characters on, compiled loops find the same tokens in another fifth of the time (`BytePairs`).
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        # An added token, such as </s>, cuts a text in a way of its own.
        self._added = tuple(token.content for token in tokenizer.get_added_tokens_decoder().values())
        # Only one thread at a time looks up pieces and learns new ones.
        self._lock = threading.RLock()
        self._forget()

    def _forget(self) -> None:
        self._index: dict[Piece, int] = {}
        self._starts: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._counts = self._starts
        self._tokens: NDArray[np.int32] = np.empty(0, dtype=np.int32)

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The tokens of all texts, one text after the other, and their number in each, shape (texts,)."""
        byte_pairs = self._find_byte_pairs() if is_worth_compiling() else None
        if byte_pairs is None:
            return self._encode_pieces(texts)
        added = [i for i, text in enumerate(texts) if any(token in text for token in self._added)]
        if not added:
            return byte_pairs.encode(texts)
        others = sorted({*range(len(texts))}.difference(added))
        tokens, counts = byte_pairs.encode([texts[i] for i in others])
        tokens_of_added, counts_of_added = self._encode_pieces([texts[i] for i in added])
        tokens, counts = np.append(tokens, tokens_of_added), np.append(counts, counts_of_added)
        order = np.array([*others, *added])
        owners = np.repeat(order, counts)
        return tokens[np.argsort(owners, kind="stable")], counts[np.argsort(order)]

    def _find_byte_pairs(self) -> BytePairs | None:
        with self._lock:
            return self._byte_pairs

    @functools.cached_property
    def _byte_pairs(self) -> BytePairs | None:
        # numba is missing for new Pythons and fails where it can write no cache; ValueError: another kind of tokenizer.
        try:
            from corpus.byte_pairs import BytePairs

            return BytePairs(self._tokenizer)
        except (ImportError, RuntimeError, ValueError):
            return None

    @functools.cached_property
    def _of_pieces(self) -> Any:
        """The same tokenizer, but for the space that it puts before each text."""
        from tokenizers import Tokenizer, normalizers

        same = Tokenizer.from_str(self._tokenizer.to_str())
        same.normalizer = normalizers.Replace(" ", SPACE)
        return same

    @functools.cached_property
    def _line_end(self) -> int | None:
        """The token of the end of a line, where no merge has one at its side nor a space behind a letter."""
        tokens = self._tokenizer.get_vocab(with_added_tokens=False)
        if any(SPACE in token.lstrip(SPACE) or "\n" in token for token in tokens):
            return None
        found = self._of_pieces.encode("\n", add_special_tokens=False).ids
        return found[0] if len(found) == 1 else None

    def _encode_pieces(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        with self._lock:
            return self._look_up(texts)

    def _look_up(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        cut = [self._cut(text) for text in texts]
        pieces = list(itertools.chain.from_iterable(cut))
        self._learn(set(pieces))
        found = np.fromiter(map(self._index.__getitem__, pieces), dtype=np.int64, count=len(pieces))
        counts = self._counts[found]
        ends = np.concatenate([[0], np.cumsum(counts)])
        # A piece's tokens stand side by side among the known ones, from its start on.
        moved = np.repeat(self._starts[found] - ends[:-1], counts)
        tokens = self._tokens[np.arange(ends[-1]) + moved]
        of_texts = np.concatenate([[0], np.cumsum([len(parts) for parts in cut], dtype=np.int64)])
        return tokens, np.diff(ends[of_texts])

    def _cut(self, text: str) -> list[Piece]:
        if not text:
            return []
        if self._line_end is None or SPACE in text or any(token in text for token in self._added):
            return [(text,)]
        return _PIECE.findall(" " + text)

    def _learn(self, pieces: set[Piece]) -> None:
        """Know the tokens of these pieces. Where too many are known, the others are forgotten."""
        if len(self._index) > MAX_PIECES:
            self._forget()
        new = pieces.difference(self._index)
        line_end: list[Piece] = ["\n"] if "\n" in new else []
        parts = sorted(piece for piece in new if isinstance(piece, str) and piece != "\n")
        whole = sorted(piece for piece in new if not isinstance(piece, str))
        alone = [
            *self._tokenizer.encode_batch([text for (text,) in whole], add_special_tokens=False),
            *self._of_pieces.encode_batch(line_end, add_special_tokens=False),
        ]
        tokens, counts = self._encode_lines(parts)
        counts = np.append(counts, np.array([len(found.ids) for found in alone], dtype=np.int64))
        self._starts = np.append(self._starts, len(self._tokens) + np.cumsum(counts) - counts)
        self._counts = np.append(self._counts, counts)
        self._index.update(zip([*parts, *whole, *line_end], itertools.count(len(self._index)), strict=False))
        ids = np.fromiter(itertools.chain.from_iterable(found.ids for found in alone), dtype=np.int32)
        self._tokens = np.concatenate([self._tokens, tokens, ids])

    def _encode_lines(self, parts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The tokens of pieces, one piece after the other, and their number in each, shape (pieces,)."""
        lines = ["\n".join(parts[i : i + LEARNED_TOGETHER]) for i in range(0, len(parts), LEARNED_TOGETHER)]
        encoded = self._of_pieces.encode_batch(lines, add_special_tokens=False)
        ids = itertools.chain.from_iterable([*found.ids, self._line_end] for found in encoded)
        tokens = np.fromiter(ids, dtype=np.int32)
        is_end = tokens == self._line_end
        return tokens[~is_end], np.diff(np.flatnonzero(is_end), prepend=-1) - 1
