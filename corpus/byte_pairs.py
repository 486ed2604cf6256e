"""Byte-pair tokens of texts by compiled loops: the tokenizer's own tokens in a twentieth of its time.

A byte-pair tokenizer that does not cut its text into words first, as Llama 2 has, merges its way through all of it: of
all pairs of neighbours that it can merge it takes the one learned first and, of equals, the leftmost, again and again.
Three things make that cheap here:

- A merge joins two characters at its seam. Where no merge has these two there, none ever crosses: the text falls into
  pieces of some four characters, and what is merged in one piece does not depend on the others.
- The pieces that were met last are remembered with their tokens, in a table of fixed size.
- Nothing is made for a piece but its tokens.

All compiled functions stand in this file, because numba's cache notices changes of the file that a function stands in,
and of no other.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The tokenizer writes a space as this character, and puts one before each text.
SPACE = "▁"
_NORMALIZER = {
    "type": "Sequence",
    "normalizers": [
        {"type": "Prepend", "prepend": SPACE},
        {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
    ],
}
# Remembered pieces, in 2 MB; more of them no longer fit into a core's cache, and are not found sooner.
_KNOWN_PIECES = 2**15
# Longer pieces are seldom met again.
_KNOWN_CHARACTERS = 16
# Slots for merges; Llama 2 has 61,249.
_SLOTS_BITS = 17
# Two 32-bit and 64-bit multipliers that spread neighbours (2**32 and 2**64 divided by the golden ratio, made odd).
_SPREAD_32, _SPREAD_64 = 0x9E3779B1, np.uint64(0x9E3779B97F4A7C15)
# The rank of a pair that no merge joins.
_NEVER = np.int32(2**31 - 1)

# Without numba's reference counts, as in selection/deflate_size.py; nothing below allocates. Without Python's lock,
# several threads run these at once. What only other compiled functions call is compiled sooner without a way in from
# Python.
_compiled = njit(cache=True, nogil=True, _nrt=False, no_cfunc_wrapper=True)  # type: ignore[call-overload]
_inner = njit(cache=True, _nrt=False, no_cfunc_wrapper=True, no_cpython_wrapper=True)  # type: ignore[call-overload]


class _Tables(NamedTuple):
    """What the loops know of a tokenizer. A symbol is the token of one character.

    - ``symbols``: of each code point, -1 where it has none. ``byte_tokens``: by which such a character is spelled.
    - ``joins``: whether a merge has two symbols at its seam, by their classes ``lefts`` and ``rights``.
    - ``merges``: an open hash table of pairs of tokens and their ranks. ``merged``: the token made, by rank.
    - ``known``: remembered pieces: number of symbols and of tokens, the symbols, the tokens.
    - ``piece``, ``ranks``: room for one piece.
    """

    symbols: NDArray[np.int32]
    byte_tokens: NDArray[np.int32]
    lefts: NDArray[np.int16]
    rights: NDArray[np.int16]
    joins: NDArray[np.bool_]
    merges: NDArray[np.int64]
    merged: NDArray[np.int32]
    known: NDArray[np.uint16]
    piece: NDArray[np.int32]
    ranks: NDArray[np.int32]


class BytePairs:
    """The tokens of texts that hold none of the tokenizer's added tokens, such as </s>.

    Raises ValueError for a tokenizer of another kind than Llama 2's.
    """

    def __init__(self, tokenizer: Any) -> None:
        definition = json.loads(tokenizer.to_str())
        model = definition["model"]
        vocabulary: dict[str, int] = model["vocab"]
        spelled = [f"<0x{byte:02X}>" for byte in range(256)]
        usual = (
            model["type"] == "BPE"
            and model["byte_fallback"]
            and not any(model.get(key) for key in ("dropout", "ignore_merges"))
            and not any(model.get(key) for key in ("continuing_subword_prefix", "end_of_word_suffix"))
            and definition["normalizer"] == _NORMALIZER
            and definition["pre_tokenizer"] is None
            and all(token in vocabulary for token in (SPACE, *spelled))
            and max(vocabulary.values()) < 2**16
            and len(model["merges"]) < 2**_SLOTS_BITS // 2
        )
        if not usual:
            raise ValueError("a tokenizer of another kind")
        symbols = np.full(0x110000, -1, dtype=np.int32)
        for token, number in vocabulary.items():
            if len(token) == 1:
                symbols[ord(token)] = number
        symbols[ord(" ")] = symbols[ord(SPACE)]
        pairs = [(vocabulary[left], vocabulary[right]) for left, right in model["merges"]]
        self._tables = _Tables(
            symbols,
            np.array([vocabulary[token] for token in spelled], dtype=np.int32),
            *_find_seams({(symbols[ord(left[-1])], symbols[ord(right[0])]) for left, right in model["merges"]}),
            _hash_merges(pairs),
            np.array([vocabulary[left + right] for left, right in model["merges"]], dtype=np.int32),
            np.zeros((0, 2 + 2 * _KNOWN_CHARACTERS), dtype=np.uint16),
            np.zeros(0, dtype=np.int32),
            np.zeros(0, dtype=np.int32),
        )
        self._own = threading.local()

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The tokens of all texts, one text after the other, and their number in each, shape (texts,)."""
        characters = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        lengths = [len(text) for text in texts]
        tables = self._own_tables(max(lengths, default=0) + 1)
        counts = np.zeros(len(texts), dtype=np.int64)
        # A character has at most four tokens, one for each of its bytes.
        tokens = np.empty(4 * len(characters) + len(texts), dtype=np.int32)
        count = _tokenise(characters, np.cumsum([0, *lengths]), tables, tokens, counts)
        return tokens[:count].copy(), counts

    def _own_tables(self, longest: int) -> _Tables:
        """The tables, of which each thread has its own remembered pieces, and room for a piece of this length."""
        tables: _Tables | None = getattr(self._own, "tables", None)
        if tables is None:
            tables = self._tables._replace(
                known=np.zeros((_KNOWN_PIECES, self._tables.known.shape[1]), dtype=np.uint16)
            )
        if longest > len(tables.piece):
            room = np.zeros((2, longest), dtype=np.int32)
            tables = tables._replace(piece=room[0], ranks=room[1])
        self._own.tables = tables
        return tables


def add_vectors(
    tokens: NDArray[np.int32], counts: NDArray[np.int64], embedding: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The sum of the vectors of each text's tokens, in their order, shape (texts, dimensions)."""
    sums = np.zeros((len(counts), embedding.shape[1]), dtype=np.float32)
    _add_rows(tokens, counts, embedding, sums)
    return sums


def _find_seams(
    seams: set[tuple[int, int]],
) -> tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.bool_]]:
    """The class of each symbol on the left of a seam, on the right of one, and which classes meet; 0 meets none."""
    lefts, rights = np.zeros((2, 2**16), dtype=np.int16)
    for classes, members in ((lefts, {left for left, _ in seams}), (rights, {right for _, right in seams})):
        classes[sorted(members)] = np.arange(1, len(members) + 1)
    joins = np.zeros((lefts.max() + 1, rights.max() + 1), dtype=np.bool_)
    for left, right in seams:
        joins[lefts[left], rights[right]] = True
    return lefts, rights, joins


def _hash_merges(pairs: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    table = np.full((2**_SLOTS_BITS, 2), -1, dtype=np.int64)
    for rank, (left, right) in enumerate(pairs):
        key = left << 16 | right
        slot = (key * _SPREAD_32 & 0xFFFFFFFF) >> (32 - _SLOTS_BITS)
        while table[slot, 0] >= 0:
            slot = (slot + 1) % len(table)
        table[slot] = key, rank
    return table


@_inner
def _find_rank(merges, left, right):
    """When the merge of two tokens was learned, or _NEVER."""
    key = (np.int64(left) << 16) | right
    slot = (key * _SPREAD_32 & 0xFFFFFFFF) >> (32 - _SLOTS_BITS)
    while merges[slot, 0] != key:
        if merges[slot, 0] < 0:
            return _NEVER
        slot = (slot + 1) & (len(merges) - 1)
    return np.int32(merges[slot, 1])


@_inner
def _merge(tables, size):
    """Merge the piece of ``size`` symbols in place; returns how many tokens it then has."""
    piece, ranks = tables.piece, tables.ranks
    first, stop = 0, size - 1
    while True:
        for i in range(first, stop):
            ranks[i] = _find_rank(tables.merges, piece[i], piece[i + 1])
        least = _NEVER
        for i in range(size - 1):
            least = min(least, ranks[i])
        if least == _NEVER:
            return size
        at = 0
        while ranks[at] != least:
            at += 1
        piece[at] = tables.merged[least]
        size -= 1
        for i in range(at + 1, size):
            piece[i] = piece[i + 1]
            ranks[i] = ranks[i + 1]
        # The pairs of the new token are others than before.
        first, stop = max(at - 1, 0), min(at + 1, size - 1)


@_inner
def _write_piece(tables, size, tokens, done):
    """Append the tokens of the piece of ``size`` symbols; returns how many tokens are written now."""
    piece = tables.piece
    if size == 1:
        tokens[done] = piece[0]
        return done + 1
    mixed = np.uint64(0)
    for i in range(size):
        mixed = (mixed ^ np.uint64(piece[i])) * _SPREAD_64
        mixed ^= mixed >> np.uint64(29)
    entry = tables.known[mixed & np.uint64(_KNOWN_PIECES - 1)]
    same = entry[0] == size
    i = 0
    while same and i < size:
        same = entry[2 + i] == piece[i]
        i += 1
    if same:
        for i in range(entry[1]):
            tokens[done + i] = entry[2 + _KNOWN_CHARACTERS + i]
        return done + entry[1]
    is_kept = size <= _KNOWN_CHARACTERS
    if is_kept:
        entry[0] = size
        for i in range(size):
            entry[2 + i] = piece[i]
    count = _merge(tables, size)
    if is_kept:
        entry[1] = count
        for i in range(count):
            entry[2 + _KNOWN_CHARACTERS + i] = piece[i]
    for i in range(count):
        tokens[done + i] = piece[i]
    return done + count


@_inner
def _spell(character, byte_tokens, tokens, done):
    """Append the tokens of a character's bytes in UTF-8; returns how many tokens are written now."""
    more = 0 if character < 0x80 else 1 if character < 0x800 else 2 if character < 0x10000 else 3
    lead = (0xFF00 >> (more + 1)) & 0xFF if more else 0
    tokens[done] = byte_tokens[lead | (character >> (6 * more))]
    for i in range(1, more + 1):
        tokens[done + i] = byte_tokens[0x80 | ((character >> (6 * (more - i))) & 0x3F)]
    return done + more + 1


@_compiled
def _tokenise(characters, bounds, tables, tokens, counts):
    """Write the tokens of all texts, and their number in each; returns the number of all.

    ``bounds``: where each text begins among the ``characters``, and the end.
    """
    piece, lefts, rights = tables.piece, tables.lefts, tables.rights
    done = 0
    for text in range(len(bounds) - 1):
        start, stop, before = bounds[text], bounds[text + 1], done
        # An empty text gets no space put before it.
        size = 1 if stop > start else 0
        if size:
            piece[0] = tables.symbols[32]
        for at in range(start, stop + size):
            symbol = tables.symbols[characters[at]] if at < stop else np.int32(-1)
            if size and (symbol < 0 or not tables.joins[lefts[piece[size - 1]], rights[symbol]]):
                done = _write_piece(tables, size, tokens, done)
                size = 0
            if symbol >= 0:
                piece[size] = symbol
                size += 1
            elif at < stop:
                done = _spell(np.int64(characters[at]), tables.byte_tokens, tokens, done)
        counts[text] = done - before
    return done


@_compiled
def _add_rows(tokens, counts, embedding, sums):
    width = embedding.shape[1]
    at = 0
    for text in range(len(counts)):
        for _ in range(counts[text]):
            # Unsigned, an index cannot count from the end: without that check the compiler adds many numbers at once.
            token = np.uint64(tokens[at])
            at += 1
            for k in range(width):
                sums[text, k] += embedding[token, k]
