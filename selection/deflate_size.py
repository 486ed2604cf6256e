"""The size of a growing set in zlib 9 with one more row in it, counted without writing any bytes, faster than zlib.

zlib's own compressor copies 256 KiB of state for every candidate, writes the whole open block again, and walks long
chains of positions that share three bytes. To compare candidates only the number of bytes is needed. It is counted
here exactly: by DEFLATE (RFC 1951) with the choices that zlib makes at level 9, which are the matches its lazy search
takes, where it ends a block, and how it codes one. It is faster for three reasons:

- Positions are chained by more than three bytes too. zlib walks along its chains of three to find the longest match
  and, of equally long ones, the nearest. The chain of the longest shared start finds the same match in a few steps.
- zlib gives up after 4,096 positions of a chain (1,024 after a good match). A chain that long is walked here as zlib
  does it, so that the result is the same.
- A candidate's own positions are unlinked after it has been counted, so the set is never copied.

The tests compare the sizes with those of `zlib.compress`. `matches_zlib` checks once per process whether the zlib at
hand makes these choices: zlib-ng, for one, makes others. All compiled functions stand in this file, because numba's
cache notices changes of the file that a function stands in, and of no other.
"""

from __future__ import annotations

import copy
import functools
import zlib
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from selection.framing import PLAIN, Framing

# zlib: the window, how far back a match may lie in it, the lookahead it wants before it decides, the longest match.
_WINDOW = 32_768
_MIN_LOOKAHEAD = 262
_MAX_DISTANCE = _WINDOW - _MIN_LOOKAHEAD
_MAX_MATCH = 258
# Level 9: positions of a chain that are looked at, a quarter of them after a match of 32 bytes.
_CHAIN, _CHAIN_AFTER_GOOD, _GOOD_MATCH = 4096, 1024, 32
# A match of three bytes farther away costs more than three literals.
_TOO_FAR = 4096
# Literals and matches of one block.
_BLOCK_SYMBOLS = 16_383
_END_OF_BLOCK = 256

# Positions are chained by their next bytes: three as in zlib, and more to find long matches in few steps. Chosen by
# trials on conversations: every further chain costs time at each position, and every chain less lengthens the walks.
_SIZES = (3, 4, 6, 10)
_CHAINS = len(_SIZES)
_HASH_BITS = 16
# Bytes of the set that are held, and the longest candidate that is counted in place.
_CAPACITY = 6 * _WINDOW
_IN_PLACE = 2 * _WINDOW
_PADDING = 32  # words are read past the end

# The numbers of a state, by their index in one array. Positions count from the start of the held bytes.
_POSITION, _END, _PENDING, _LENGTH, _MATCH, _SYMBOLS, _BLOCK_START, _BASE, _NIL, _BITS = range(10)

# A de Bruijn number: its products with the powers of two start with 64 different groups of six bits.
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_BYTE_OF_BIT = np.zeros(64, np.int64)
for _bit in range(64):
    _BYTE_OF_BIT[((int(_DE_BRUIJN) << _bit) % 2**64) >> 58] = _bit // 8
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio

# Without numba's reference counts, whose bookkeeping takes four fifths of the time here; nothing below may allocate.
_compiled = njit(cache=True, _nrt=False)  # type: ignore[call-overload]


def _expand_codes(extra_bits: list[int]) -> NDArray[np.uint8]:
    """The code of every value from 0 on, where code i covers 2**extra_bits[i] values."""
    return np.concatenate([np.full(2**bits, code, np.uint8) for code, bits in enumerate(extra_bits)])


_LENGTH_EXTRA_BITS = [0] * 8 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4 + [5] * 4
_LENGTH_CODE = _expand_codes(_LENGTH_EXTRA_BITS)
_LENGTH_CODE[_MAX_MATCH - 3] = 28  # the longest match has a code of its own
_DISTANCE_EXTRA_BITS = [0, 0] + [bits for bits in range(14) for _ in range(2)]
_DISTANCE_CODE = _expand_codes(_DISTANCE_EXTRA_BITS)

_LITERALS, _DISTANCES, _LENGTHS = 286, 30, 19
_LITERAL_EXTRA = np.array([0] * 257 + _LENGTH_EXTRA_BITS + [0], np.int64)
_DISTANCE_EXTRA = np.array(_DISTANCE_EXTRA_BITS, np.int64)
# Codes of code lengths: 16 repeats the last length, 17 and 18 write runs of zeros.
_LENGTHS_EXTRA = np.array([0] * 16 + [2, 3, 7], np.int64)
_LENGTHS_ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15], np.int64)
# Rows of the memory that one count works in.
_WORK_ROWS = 12
(
    _OWN_NUMBERS, _OWN_COUNTS, _LITERAL_BITS, _DISTANCE_BITS, _RUNS, _RUN_BITS,
    _WEIGHT, _PARENT, _HEAP, _MERGED, _OWN_LENGTH, _AT_LENGTH,
) = range(_WORK_ROWS)  # fmt: skip
_FIXED_LITERAL_BITS = np.array([8] * 144 + [9] * 112 + [7] * 24 + [8] * 6, np.int64)


class DeflateSizeState:
    """A set of rows in zlib 9: every size is exactly that of ``zlib.compress`` over the framed set.

    >>> state = DeflateSizeState()
    >>> state.add(b"the entropy law ")
    >>> state.size_with(b"and the entropy law") == len(zlib.compress(b"the entropy law and the entropy law", 9))
    True
    """

    def __init__(self, framing: Framing = PLAIN) -> None:
        self._framing = framing
        self._empty = True
        self._numbers = np.zeros(10, np.int64)
        self._numbers[_LENGTH] = 2
        # zlib never matches the very first byte: position 0 is its end of a chain.
        self._numbers[_NIL] = 0
        self._text = np.zeros(_CAPACITY + _PADDING, np.uint8)
        self._heads = np.full((_CHAINS, 1 << _HASH_BITS), -1, np.int32)
        self._links = np.full((_CAPACITY, _CHAINS), -1, np.int32)
        self._counts = np.zeros(_LITERALS + _DISTANCES, np.int64)
        self._counts[_END_OF_BLOCK] = 1
        self._work = np.zeros((_WORK_ROWS, 2 * _LITERALS), np.int64)
        self._read(framing.opening)

    def size_with(self, candidate: bytes) -> int:
        """Compressed bytes of the set with ``candidate`` after its last row. The set stays as it is."""
        row = self._joined(candidate) + self._framing.closing
        if len(row) > _IN_PLACE:
            longer = copy.deepcopy(self)
            longer._read(row)
            return longer._count(b"")
        return self._count(row)

    def add(self, row: bytes) -> None:
        """Append a row to the set."""
        self._read(self._joined(row))
        self._empty = False

    def _joined(self, row: bytes) -> bytes:
        return row if self._empty else self._framing.separator + row

    def _count(self, row_bytes: bytes) -> int:
        row = np.frombuffer(row_bytes, np.uint8)
        return int(self._run(row, True))

    def _read(self, row_bytes: bytes) -> None:
        row = np.frombuffer(row_bytes, np.uint8)
        for start in range(0, len(row), _WINDOW):
            piece = row[start : start + _WINDOW]
            self._run(piece, False)

    def _run(self, row: NDArray[np.uint8], counting: bool) -> Any:
        return _append_or_count(
            self._text, self._numbers, self._heads, self._links, self._counts, self._work, row, counting
        )


@functools.cache
def matches_zlib() -> bool:
    """Whether the zlib of this Python makes the sizes counted here, tried on texts with every kind of block."""
    random = np.random.default_rng(0)
    words = [bytes(random.integers(97, 123, random.integers(2, 9), dtype=np.uint8)) for _ in range(400)]
    prose = b" ".join(words[i] for i in random.integers(0, 400, 30_000))
    pieces = [prose, bytes(random.integers(0, 256, 40_000, dtype=np.uint8)), b"ab" * 9_000, prose[:50_000], b"end"]
    state = DeflateSizeState()
    for i, piece in enumerate(pieces):
        if state.size_with(piece) != len(zlib.compress(b"".join(pieces[: i + 1]), 9)):
            return False
        state.add(piece)
    return True


@_compiled
def _append_or_count(text, numbers, heads, links, counts, work, row, counting):
    """One entry for both, because loading compiled code takes longer than anything else at the start of a worker."""
    if counting:
        return _count_with(text, numbers, heads, links, counts, work, row)
    _append(text, numbers, heads, links, counts, work, row)
    return 0


@_compiled
def _append(text, numbers, heads, links, counts, work, row):
    """Read ``row``, at most a window of it, into the set."""
    if numbers[_END] + len(row) + _IN_PLACE > _CAPACITY:
        _drop_read_bytes(text, numbers, heads, links)
    end = numbers[_END]
    _write(row, text, end)
    numbers[_END] = end + len(row)
    _read(text, numbers, heads, links, counts, work, False)


@_compiled
def _drop_read_bytes(text, numbers, heads, links):
    """Keep only what a match can still reach, at the start of the held bytes."""
    shift = max(numbers[_POSITION] - _WINDOW, 0)
    kept = numbers[_END] - shift
    _write(text[shift : shift + kept], text, 0)
    for index in (_POSITION, _END, _MATCH, _BLOCK_START, _BASE, _NIL):
        numbers[index] -= shift
    # Positions from which no string can start are never asked for; -1 ends a chain.
    if numbers[_NIL] < 0:
        numbers[_NIL] = -2
    heads[:] = -1
    for position in range(numbers[_POSITION]):
        _link(text, position, numbers[_END], heads, links)


@_compiled
def _write(source, target, start):
    for i in range(len(source)):
        target[start + i] = source[i]


@_compiled
def _count_with(text, numbers, heads, links, counts, work, row):
    """Count the bytes of the set with ``row`` at its end; the set stays as it is."""
    start, end = numbers[_POSITION], numbers[_END]
    own_numbers, own_counts = work[_OWN_NUMBERS], work[_OWN_COUNTS]
    _write(numbers, own_numbers, 0)
    _write(counts, own_counts, 0)
    own_counts = own_counts[: len(counts)]
    _write(row, text, end)
    own_numbers[_END] = end + len(row)
    _read(text, own_numbers, heads, links, own_counts, work, True)
    end += len(row)
    for position in range(end - 3, start - 1, -1):
        _unlink(text, position, end, heads, links)
    _end_block(own_numbers, own_counts, work)
    # Two bytes of zlib's head before the blocks, four of checksum behind them.
    return 2 + (own_numbers[_BITS] + 7) // 8 + 4


@_compiled
def _hash3(text, position):
    """zlib's hash of three bytes: strings of one chain need not be equal, and the length of its chains counts."""
    high, middle = np.uint64(text[position]) << np.uint64(10), np.uint64(text[position + 1]) << np.uint64(5)
    return np.int64((high ^ middle ^ np.uint64(text[position + 2])) & np.uint64(_WINDOW - 1))


@_compiled
def _word(text, position):
    """Eight bytes as one number. Unsigned indices let the compiler load them at once."""
    at = np.uint64(position)
    word = np.uint64(text[at])
    word |= np.uint64(text[at + np.uint64(1)]) << np.uint64(8)
    word |= np.uint64(text[at + np.uint64(2)]) << np.uint64(16)
    word |= np.uint64(text[at + np.uint64(3)]) << np.uint64(24)
    word |= np.uint64(text[at + np.uint64(4)]) << np.uint64(32)
    word |= np.uint64(text[at + np.uint64(5)]) << np.uint64(40)
    word |= np.uint64(text[at + np.uint64(6)]) << np.uint64(48)
    word |= np.uint64(text[at + np.uint64(7)]) << np.uint64(56)
    return word


@_compiled
def _hash(low, high, size):
    """Hash of the first ``size`` of the sixteen bytes of two words."""
    # Shifting the others out; an odd multiplier spreads each byte over the upper bits.
    if size <= 8:
        mixed = (low << np.uint64(64 - 8 * size)) * _MULTIPLIER
    else:
        mixed = (low ^ (high << np.uint64(128 - 8 * size)) * _MULTIPLIER) * _MULTIPLIER
    return mixed >> np.uint64(64 - _HASH_BITS)


@_compiled
def _link(text, position, end, heads, links):
    """Let later positions find this one: ``links`` hold the position before it in each chain.

    A chain of three bytes has its head and its number of positions, less one, side by side.
    """
    if position > end - 3:
        return
    slot = 2 * _hash3(text, position)
    links[position, 0] = heads[0, slot]
    heads[0, slot] = position
    heads[0, slot + 1] += 1
    low, high = _word(text, position), _word(text, position + 8)
    for chain in range(1, _CHAINS):
        if position <= end - _SIZES[chain]:
            slot = _hash(low, high, _SIZES[chain])
            links[position, chain] = heads[chain, slot]
            heads[chain, slot] = position


@_compiled
def _unlink(text, position, end, heads, links):
    """Undo `_link` of the position that was linked last."""
    slot = 2 * _hash3(text, position)
    heads[0, slot] = links[position, 0]
    heads[0, slot + 1] -= 1
    low, high = _word(text, position), _word(text, position + 8)
    for chain in range(1, _CHAINS):
        if position <= end - _SIZES[chain]:
            heads[chain, _hash(low, high, _SIZES[chain])] = links[position, chain]


@_compiled
def _read(text, numbers, heads, links, counts, work, to_the_end):
    """zlib's lazy search: a match is taken unless one byte later there is a longer one.

    Stops where zlib would wait for more bytes, or ``to_the_end``.
    """
    position, end = numbers[_POSITION], numbers[_END]
    pending, length, match = numbers[_PENDING], numbers[_LENGTH], numbers[_MATCH]
    while position < end and (to_the_end or end - position >= _MIN_LOOKAHEAD):
        held = min(end, numbers[_BASE] + 2 * _WINDOW) - position
        if held < _MIN_LOOKAHEAD and position - numbers[_BASE] >= _WINDOW + _MAX_DISTANCE:
            # zlib moves its window on here; a block that begins before it can no longer be stored as it is.
            numbers[_BASE] += _WINDOW
        before, match_before = length, match
        length = 2
        if before < _MAX_MATCH and end - position >= 3:
            length, match = _find_match(text, position, end, before, numbers[_NIL], heads, links)
        _link(text, position, end, heads, links)
        if before >= 3 and length <= before:
            _count_match(counts, before, position - 1 - match_before)
            numbers[_SYMBOLS] += 1
            after = position - 1 + before
            for inside in range(position + 1, after):
                _link(text, inside, end, heads, links)
            position = after
            pending, length = 0, 2
        else:
            if pending:
                counts[text[position - 1]] += 1
                numbers[_SYMBOLS] += 1
            if pending and numbers[_SYMBOLS] == _BLOCK_SYMBOLS:
                numbers[_POSITION] = position
                _end_block(numbers, counts, work)
            pending = 1
            position += 1
        if numbers[_SYMBOLS] == _BLOCK_SYMBOLS:
            numbers[_POSITION] = position
            _end_block(numbers, counts, work)
    if to_the_end and pending:
        counts[text[position - 1]] += 1
        numbers[_SYMBOLS] += 1
    numbers[_POSITION] = position
    numbers[_PENDING], numbers[_LENGTH], numbers[_MATCH] = pending, length, match


@_compiled
def _find_match(text, position, end, before, nil, heads, links):
    """The longest match of more than ``before`` bytes, of equals the nearest: its length (2: none) and position."""
    longest = min(_MAX_MATCH, end - position)
    if before >= longest:
        return 2, 0
    slot = 2 * _hash3(text, position)
    nearest, earlier = heads[0, slot], heads[0, slot + 1]
    # The farthest position of a match; at exactly that distance zlib takes only the head of its chain.
    limit = max(position - _MAX_DISTANCE, 0)
    if nearest == nil or nearest < limit:
        return 2, 0
    patience = _CHAIN_AFTER_GOOD if before >= _GOOD_MATCH else _CHAIN
    if earlier >= patience:
        return _walk_like_zlib(text, position, longest, before, nil, nearest, patience, links)
    # From the chain of most bytes down. Where a chain has no match, no match is as long as its bytes: the longest
    # possible one then has one byte less, and the nearest of that length is the answer.
    low, high = _word(text, position), _word(text, position + 8)
    most = longest
    for chain in range(_CHAINS - 1, 0, -1):
        size = _SIZES[chain]
        if before >= most:
            break
        if size <= longest:
            best, found = max(before, size - 1), -1
            at = heads[chain, _hash(low, high, size)]
            while at >= limit and best < most:
                if text[at + best] == text[position + best]:
                    same = _count_same(text, at, position, longest)
                    if same > best and at != nil and (at > limit or at == nearest):
                        best, found = same, at
                at = links[at, chain]
            if found >= 0:
                return best, found
            most = size - 1
    if before == 2:
        at = nearest
        while at >= max(position - _TOO_FAR, 0):
            if _count_same(text, at, position, 3) == 3 and at != nil:
                return 3, at
            at = links[at, 0]
    return 2, 0


@_compiled
def _count_same(text, one, other, most):
    """How many bytes, up to ``most``, are the same from two positions on."""
    same = 0
    while same < most:
        differs = _word(text, one + same) ^ _word(text, other + same)
        if differs:
            # The lowest bit that is set, looked up by its product with a de Bruijn number, tells the byte.
            lowest = differs & (~differs + np.uint64(1))
            same += _BYTE_OF_BIT[(lowest * _DE_BRUIJN) >> np.uint64(58)]
            break
        same += 8
    return min(same, most)


@_compiled
def _walk_like_zlib(text, position, longest, before, nil, nearest, patience, links):
    """What `_find_match` finds where zlib may lose patience: the first ``patience`` positions of its own chain."""
    best, found = before, 0
    at = nearest
    while True:
        if text[at + best] == text[position + best]:
            same = _count_same(text, at, position, longest)
            if same > best:
                best, found = same, at
        at = links[at, 0]
        patience -= 1
        if best >= longest or patience == 0 or at <= max(position - _MAX_DISTANCE, 0) or at == nil:
            break
    if best == before or (best == 3 and position - found > _TOO_FAR):
        return 2, 0
    return best, found


@_compiled
def _count_match(counts, length, distance):
    counts[257 + _LENGTH_CODE[length - 3]] += 1
    counts[_LITERALS + _DISTANCE_CODE[distance - 1]] += 1


@_compiled
def _end_block(numbers, counts, work):
    """Add the bits of the open block, coded in the cheapest of DEFLATE's three ways, and open the next."""
    fixed = 0
    for symbol in range(_LITERALS):
        fixed += counts[symbol] * (_FIXED_LITERAL_BITS[symbol] + _LITERAL_EXTRA[symbol])
    for symbol in range(_DISTANCES):
        fixed += counts[_LITERALS + symbol] * (5 + _DISTANCE_EXTRA[symbol])
    own, last_literal = _code_lengths(counts[:_LITERALS], _LITERAL_EXTRA, 15, work[_LITERAL_BITS], work)
    more, last_distance = _code_lengths(counts[_LITERALS:], _DISTANCE_EXTRA, 15, work[_DISTANCE_BITS], work)
    runs, run_bits = work[_RUNS, :_LENGTHS], work[_RUN_BITS]
    runs[:] = 0
    _count_runs(work[_LITERAL_BITS], last_literal, runs)
    _count_runs(work[_DISTANCE_BITS], last_distance, runs)
    head, _ = _code_lengths(runs, _LENGTHS_EXTRA, 7, run_bits, work)
    listed = _LENGTHS - 1
    while listed >= 3 and runs[_LENGTHS_ORDER[listed]] == 0:
        listed -= 1
    dynamic = own + more + head + 3 * (listed + 1) + 5 + 5 + 4
    stored = numbers[_POSITION] - numbers[_BLOCK_START]
    fixed_bytes, dynamic_bytes = (fixed + 3 + 7) // 8, (dynamic + 3 + 7) // 8
    smaller = min(fixed_bytes, dynamic_bytes)
    if stored + 4 <= smaller and numbers[_BLOCK_START] >= numbers[_BASE]:
        numbers[_BITS] = (numbers[_BITS] + 3 + 7) // 8 * 8 + 32 + 8 * stored
    elif fixed_bytes <= dynamic_bytes:
        numbers[_BITS] += 3 + fixed
    else:
        numbers[_BITS] += 3 + dynamic
    numbers[_BLOCK_START] = numbers[_POSITION]
    numbers[_SYMBOLS] = 0
    counts[:] = 0
    counts[_END_OF_BLOCK] = 1


@_compiled
def _code_lengths(counts, extra, longest, lengths, work):
    """Write the bits of every symbol in zlib's Huffman code into ``lengths``.

    Returns the bits that all symbols take, as often as they occur, and the last symbol used.
    ``extra``: bits that follow the code of each symbol. No code is longer than ``longest`` bits.
    """
    size, last, added = _collect_symbols(counts, work)
    merges = _merge_trees(len(counts), size, work)
    _measure_depths(len(counts), merges, longest, work)
    weight, own = work[_WEIGHT], work[_OWN_LENGTH]
    bits = -added
    for symbol in range(last + 1):
        lengths[symbol] = own[symbol] if weight[symbol] else 0
        if weight[symbol]:
            bits += (weight[symbol] >> 8) * (own[symbol] + extra[symbol])
    return bits, last


@_compiled
def _collect_symbols(counts, work):
    """Put the symbols that occur into the heap.

    A code has at least two symbols; those that are added to reach that number are never written. Returns the number of
    symbols, the last of them, and how many were added.
    """
    # A node's count and, in the lower eight bits, its depth: of equal counts the shallow tree comes first.
    weight, heap = work[_WEIGHT], work[_HEAP]
    size, last, added = 0, -1, 0
    for symbol in range(len(counts)):
        weight[symbol] = counts[symbol] << 8
        if counts[symbol]:
            size += 1
            heap[size] = symbol
            last = symbol
    while size < 2:
        size += 1
        added += 1
        extra_symbol = 0
        if last < 2:
            last += 1
            extra_symbol = last
        heap[size] = extra_symbol
        weight[extra_symbol] = 1 << 8
    return size, last, added


@_compiled
def _merge_trees(symbols, size, work):
    """Build the Huffman tree: join the two lightest trees of the heap until one is left, of equals the shallow first.

    Writes the nodes into ``work[_MERGED]`` in the order they were joined, and returns how many these are.
    """
    weight, parent, heap, merged = work[_WEIGHT], work[_PARENT], work[_HEAP], work[_MERGED]
    for root in range(size // 2, 0, -1):
        _sift_down(heap, size, root, weight)
    count = 0
    node = symbols
    while size >= 2:
        first = heap[1]
        heap[1] = heap[size]
        size -= 1
        _sift_down(heap, size, 1, weight)
        second = heap[1]
        merged[count], merged[count + 1] = first, second
        count += 2
        deeper = max(weight[first] & 255, weight[second] & 255)
        weight[node] = ((weight[first] >> 8) + (weight[second] >> 8) << 8) | (deeper + 1)
        parent[first] = parent[second] = node
        heap[1] = node
        node += 1
        _sift_down(heap, size, 1, weight)
    return count


@_compiled
def _measure_depths(symbols, merges, longest, work):
    """Write each node's depth into ``work[_OWN_LENGTH]``; codes longer than ``longest`` are shortened as zlib does."""
    parent, merged, own, at_length = work[_PARENT], work[_MERGED], work[_OWN_LENGTH], work[_AT_LENGTH]
    own[work[_HEAP, 1]] = 0
    at_length[: longest + 1] = 0
    overflow = 0
    for i in range(merges - 1, -1, -1):
        item = merged[i]
        length = own[parent[item]] + 1
        if length > longest:
            length = longest
            overflow += 1
        own[item] = length
        if item < symbols:
            at_length[length] += 1
    if overflow:
        _shorten_codes(symbols, longest, overflow, work)


@_compiled
def _shorten_codes(symbols, longest, overflow, work):
    """Lengthen shorter codes to make room for ``overflow`` nodes that are too deep; then set each symbol's length."""
    merged, own, at_length = work[_MERGED], work[_OWN_LENGTH], work[_AT_LENGTH]
    while overflow > 0:
        length = longest - 1
        while at_length[length] == 0:
            length -= 1
        at_length[length] -= 1
        at_length[length + 1] += 2
        at_length[longest] -= 1
        overflow -= 2
    i = 0
    for length in range(longest, 0, -1):
        left = at_length[length]
        while left:
            item = merged[i]
            i += 1
            if item < symbols:
                own[item] = length
                left -= 1


@_compiled
def _sift_down(heap, size, root, weight):
    item = heap[root]
    child = 2 * root
    while child <= size:
        if child < size and weight[heap[child + 1]] <= weight[heap[child]]:
            child += 1
        if weight[item] <= weight[heap[child]]:
            break
        heap[root] = heap[child]
        root = child
        child *= 2
    heap[root] = item


@_compiled
def _count_runs(lengths, last, runs):
    """Add the codes that write these code lengths: lengths, repeats of the last one, runs of zeros."""
    before, count = -1, 0
    for symbol in range(last + 1):
        length = lengths[symbol]
        following = lengths[symbol + 1] if symbol < last else -1
        count += 1
        if length == 0:
            longest, shortest = 138, 3
        elif length == before:
            longest, shortest = 6, 3
        else:
            longest, shortest = 7, 4
        if count < longest and length == following:
            continue
        if count < shortest:
            runs[length] += count
        elif length:
            if length != before:
                runs[length] += 1
            runs[16] += 1
        elif count <= 10:
            runs[17] += 1
        else:
            runs[18] += 1
        before, count = length, 0
