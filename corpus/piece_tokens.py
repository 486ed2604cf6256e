"""Tokens of many texts, where each run of spaces and letters is tokenised only once."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The tokenizer writes a space as this character.
SPACE = "▁"
# A piece of text: a word with the spaces before it, spaces at the end of a line, or the end itself.
_PIECE = re.compile(r" *[^ \n]+| +|\n")
# So many pieces are remembered, in some 50 MB. 100 MB of English text have half as many different ones.
MAX_PIECES = 2**18

# A piece, or a text that is not cut, alone in a tuple.
Piece = str | tuple[str]


class PieceTokens:
    """The tokens of texts, as the tokenizer itself gives them, in a third of its time.

    A byte-pair tokenizer that does not cut its text into words first, as Llama 2 has, merges its way through all of it.
    But where none of its tokens has a space behind a letter, or the end of a line beside anything, no merge crosses
    these places. There a text falls into pieces, and most pieces come again and again.
    """

    def __init__(self, tokenizer: Any) -> None:
        from tokenizers import Tokenizer, normalizers

        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        # The same one, but for the space that it puts before each text.
        self._of_pieces = Tokenizer.from_str(tokenizer.to_str())
        self._of_pieces.normalizer = normalizers.Replace(" ", SPACE)
        # An added token, such as </s>, cuts a text in a way of its own.
        self._whole = (SPACE, *(token.content for token in tokenizer.get_added_tokens_decoder().values()))
        self._has_pieces = all(
            SPACE not in token.lstrip(SPACE) and "\n" not in token
            for token in tokenizer.get_vocab(with_added_tokens=False)
        )
        self._index: dict[Piece, int] = {}
        self._starts: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._counts = self._starts
        self._tokens: NDArray[np.int32] = np.empty(0, dtype=np.int32)

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The tokens of all texts, one text after the other, and their number in each, shape (texts,)."""
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
        if not self._has_pieces or any(token in text for token in self._whole):
            return [(text,)]
        return _PIECE.findall(" " + text)

    def _learn(self, pieces: set[Piece]) -> None:
        """Know the tokens of these pieces. Where too many are known, the others are forgotten."""
        if len(self._index) > MAX_PIECES:
            self._index.clear()
            self._starts, self._counts, self._tokens = self._starts[:0], self._counts[:0], self._tokens[:0]
        new = sorted((piece for piece in pieces if piece not in self._index), key=str)
        parts = [piece for piece in new if isinstance(piece, str)]
        whole = [piece for piece in new if not isinstance(piece, str)]
        encoded = [
            *self._of_pieces.encode_batch(parts, add_special_tokens=False),
            *self._tokenizer.encode_batch([text for (text,) in whole], add_special_tokens=False),
        ]
        counts = np.array([len(found.ids) for found in encoded], dtype=np.int64)
        starts = len(self._tokens) + np.cumsum(counts) - counts
        self._index.update(zip([*parts, *whole], itertools.count(len(self._index)), strict=False))
        self._starts, self._counts = np.append(self._starts, starts), np.append(self._counts, counts)
        ids = itertools.chain.from_iterable(found.ids for found in encoded)
        self._tokens = np.append(self._tokens, np.fromiter(ids, dtype=np.int32, count=int(counts.sum())))
