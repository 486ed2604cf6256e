"""The size of a growing set in zlib 9 with one more row in it, counted without writing any bytes, faster than zlib.

zlib's own compressor copies 256 KiB of state for every candidate, writes the whole open block again, and walks long
chains of positions that share three bytes. To compare candidates only the number of bytes is needed. It is counted
here exactly: by DEFLATE (RFC 1951) with the choices that zlib makes at level 9, which are the matches its lazy search
takes, where it ends a block, and how it codes one. It is faster for five reasons:

- Positions are chained by more than three bytes too. zlib walks along its chains of three to find the longest match
  and, of equally long ones, the nearest. The chain of the longest shared start finds the same match in a few steps.
- zlib gives up after 4,096 positions of a chain (1,024 after a good match). A chain that long is walked here as zlib
  does it, so that the result is the same.
- A candidate's own positions are unlinked after it has been counted, so the set is never copied.
- What is the same for many candidates is done once: the last positions of the set, as far as no candidate changes them.
- In a round, where the same rows are asked for again and again while the set grows by one of them at a time, the
  matches found before are kept (`DeflateRound`).

The tests compare the sizes with those of `zlib.compress`. `matches_zlib` checks once per process whether the zlib at
hand makes these choices: zlib-ng, for one, makes others. All compiled functions stand in this file, because numba's
cache notices changes of the file that a function stands in, and of no other.
"""

from __future__ import annotations

import copy
import functools
import zlib
from collections.abc import Sequence
from typing import NamedTuple

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
_CAPACITY = 9 * _WINDOW // 2
_IN_PLACE = 2 * _WINDOW
_PADDING = 32  # words are read past the end

# The numbers of a state, by their index in one array. Positions count from the start of the held bytes; so many bytes
# as `_SHIFT` says were held before them.
_NUMBERS = 13
(
    _POSITION, _END, _PENDING, _LENGTH, _MATCH, _SYMBOLS, _BLOCK_START, _BASE, _NIL, _BITS, _SHIFT,
    _RECENT, _MOST_EARLIER,
) = range(_NUMBERS)  # fmt: skip

# What is known of each position of a finalist. Of its matches in the finalist itself, which stay as they are: the
# longest, how far back it and the last string of the same chain lie, and the strings of that chain before it.
_OWN_COLUMNS = 4
_OWN_MATCH, _OWN_DISTANCE, _OWN_LINK, _OWN_EARLIER = range(_OWN_COLUMNS)
# Of its matches in the set: the longest, its position, and the position up to which the set was searched; both count
# from the first byte of the set.
_SET_COLUMNS = 3
_SET_MATCH, _SET_POSITION, _SEARCHED = range(_SET_COLUMNS)
# The longest finalist whose matches are kept. All of its own are within reach, and no number leaves 16 bits.
_LONGEST_KNOWN = _WINDOW // 2
# Finalists are kept up to so many positions of 20 bytes: 40 MiB. At the paper's K2 that is rows of 10 KB.
_KNOWN_POSITIONS = 2**21
# The end of the set that was not yet searched for all finalists is chained by four bytes, in tables so small that they
# stay in a core's first cache, and by six, where only longer matches than five are asked for. A longer end is searched
# along the chains of the set.
_RECENT_SIZES = (4, 6)
_RECENT_BITS, _RECENT_POSITIONS = 12, _WINDOW // 2
# A set of more bytes than this leaves the 32 bits of their positions.
_KNOWN_SET_BYTES = 2**30

# How far zlib's search goes: as long as more bytes change nothing, as zlib does before its last bytes; the same, but
# found out for each position, which goes on almost to the end; or to the end.
_WAIT, _SETTLE, _FINISH = range(3)
# What the compiled entry does.
_APPEND, _COUNT, _LEARN, _COUNT_KNOWN = range(4)

# A de Bruijn number: its products with the powers of two start with 64 different groups of six bits.
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_BYTE_OF_BIT = np.zeros(64, np.int64)
for _bit in range(64):
    _BYTE_OF_BIT[((int(_DE_BRUIJN) << _bit) % 2**64) >> 58] = _bit // 8
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio

# Without numba's reference counts, whose bookkeeping takes four fifths of the time here; nothing below may allocate.
# Without Python's lock, so that threads count at the same time.
_compiled = njit(cache=True, nogil=True, _nrt=False)  # type: ignore[call-overload]


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
_WORK_ROWS = 14
(
    _SETTLED_NUMBERS, _SETTLED_COUNTS, _OWN_NUMBERS, _OWN_COUNTS, _LITERAL_BITS, _DISTANCE_BITS, _RUNS, _RUN_BITS,
    _WEIGHT, _PARENT, _HEAP, _MERGED, _OWN_LENGTH, _AT_LENGTH,
) = range(_WORK_ROWS)  # fmt: skip
_NOTHING_OWN, _NOTHING_FOUND = np.zeros((0, _OWN_COLUMNS), np.uint16), np.zeros((0, _SET_COLUMNS), np.int32)
_FIRST = np.zeros(1, np.int64)
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
        self._numbers = np.zeros(_NUMBERS, np.int64)
        self._numbers[_LENGTH] = 2
        # zlib never matches the very first byte: position 0 is its end of a chain.
        self._numbers[_NIL] = 0
        self._text = np.zeros(_CAPACITY + _PADDING, np.uint8)
        self._heads = np.full((_CHAINS, 1 << _HASH_BITS), -1, np.int32)
        self._links = np.full((_CAPACITY, _CHAINS), -1, np.int32)
        self._counts = np.zeros(_LITERALS + _DISTANCES, np.int64)
        self._counts[_END_OF_BLOCK] = 1
        self._work = np.zeros((_WORK_ROWS, 2 * _LITERALS), np.int64)
        self._recent_heads = np.full((len(_RECENT_SIZES), 1 << _RECENT_BITS), -1, np.int16)
        self._recent_links = np.zeros((len(_RECENT_SIZES), _RECENT_POSITIONS), np.int16)
        self._read(framing.opening)

    def size_with(self, candidate: bytes) -> int:
        """Compressed bytes of the set with ``candidate`` after its last row. The set stays as it is."""
        row = self._joined(candidate) + self._framing.closing
        if len(row) > _IN_PLACE:
            longer = copy.deepcopy(self)
            longer._read(row)
            row = b""
            return longer._run(_COUNT, _join_rows([row]))[0]
        return self._run(_COUNT, _join_rows([row]))[0]

    def sizes_with(self, candidates: Sequence[bytes]) -> list[int]:
        """The same for each of many candidates, in less time."""
        rows = [self._joined(candidate) + self._framing.closing for candidate in candidates]
        short = [row if len(row) <= _IN_PLACE else b"" for row in rows]
        sizes = self._run(_COUNT, _join_rows(short), np.arange(len(rows)))
        for place, row in enumerate(rows):
            if len(row) > _IN_PLACE:
                sizes[place] = self.size_with(candidates[place])
        return sizes

    def add(self, row: bytes) -> None:
        """Append a row to the set."""
        self._read(self._joined(row))
        self._empty = False

    def _joined(self, row: bytes) -> bytes:
        return row if self._empty else self._framing.separator + row

    def _read(self, row: bytes) -> None:
        for start in range(0, len(row), _WINDOW):
            self._run(_APPEND, _join_rows([row[start : start + _WINDOW]]))

    def _run(self, task: int, rows: _Rows, asked: NDArray[np.int64] = _FIRST) -> list[int]:
        """Do a task with the ``asked`` of ``rows``; their sizes where the task is counting."""
        sizes = np.zeros(len(asked), np.int64)
        state = self._text, self._numbers, self._heads, self._links, self._counts, self._work
        known = rows.own, rows.found, self._recent_heads, self._recent_links
        _do_task(task, state, rows.text, rows.starts, known, asked, sizes)
        return sizes.tolist()


class DeflateRound:
    """An empty set in zlib 9, and the rows that may join it; sizes are asked for again after each row that does.

    Gives the sizes of a `DeflateSizeState`, in a fraction of the time: for every position of a row it keeps the longest
    match in the row itself and the longest in the set. When rows have joined the set, only these are searched, and
    where the match kept has fallen out of the window all of it.

    >>> rows = [b"the entropy law ", b"and the entropy law", b"a different text"]
    >>> started = DeflateRound(rows)
    >>> started.add(rows[0])
    >>> started.sizes_with([1, 2]) == [len(zlib.compress(rows[0] + row, 9)) for row in rows[1:]]
    True
    """

    def __init__(self, rows: Sequence[bytes], framing: Framing = PLAIN) -> None:
        self._state = DeflateSizeState(framing)
        self._rows = rows
        framed = [framing.separator + row + framing.closing for row in rows]
        self._is_known = _choose_known([len(row) for row in framed])
        kept = [row if is_known else b"" for row, is_known in zip(framed, self._is_known, strict=True)]
        self._known = _join_rows(kept, are_known=True)
        self._state._run(_LEARN, self._known, np.flatnonzero(self._is_known))
        self._was_asked = False

    def add(self, row: bytes) -> None:
        """Append a row to the set; it need not be one of ``rows``."""
        if self._was_asked:
            # All finalists have been searched for up to here, but for matches that could reach into them.
            self._state._numbers[_RECENT] = max(self._state._numbers[_END] - _MAX_MATCH, 0)
            self._was_asked = False
        self._state.add(row)

    def sizes_with(self, indices: Sequence[int]) -> list[int]:
        """Compressed bytes of the set with each of these of the rows in turn after its last row."""
        state = self._state
        # Before the first row, finalists are not framed as those that were learned, and zlib never matches byte 0.
        is_without_bytes = state._empty or not state._numbers[_END]
        if is_without_bytes or state._numbers[_SHIFT] > _KNOWN_SET_BYTES:
            return [state.size_with(self._rows[index]) for index in indices]
        asked = np.array(indices, np.int64)
        is_known = self._is_known[asked]
        sizes = np.zeros(len(asked), np.int64)
        sizes[is_known] = state._run(_COUNT_KNOWN, self._known, asked[is_known])
        self._was_asked = True
        sizes[~is_known] = state.sizes_with([self._rows[index] for index in asked[~is_known].tolist()])
        return sizes.tolist()


def _choose_known(lengths: Sequence[int]) -> NDArray[np.bool_]:
    """Of which rows the matches are kept: of the short ones, as many as fit, the shortest first."""
    sizes = np.array(lengths, np.int64)
    order = np.argsort(sizes, kind="stable")
    chosen = np.zeros(len(sizes), bool)
    chosen[order] = np.cumsum(sizes[order]) <= _KNOWN_POSITIONS
    return chosen & (sizes <= _LONGEST_KNOWN)


class _Rows(NamedTuple):
    """Rows one after the other, where each starts, and what is known of their positions (see `_do_task`)."""

    text: NDArray[np.uint8]
    starts: NDArray[np.int64]
    own: NDArray[np.uint16]
    found: NDArray[np.int32]


def _join_rows(rows: Sequence[bytes], are_known: bool = False) -> _Rows:
    text = np.frombuffer(rows[0] if len(rows) == 1 else b"".join(rows), np.uint8)
    starts = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=starts[1:])
    if not are_known:
        return _Rows(text, starts, _NOTHING_OWN, _NOTHING_FOUND)
    own = np.zeros((len(text), _OWN_COLUMNS), np.uint16)
    return _Rows(text, starts, own, np.zeros((len(text), _SET_COLUMNS), np.int32))


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
def _do_task(task, state, rows, starts, known, asked, sizes):
    """One entry for all, because loading compiled code takes longer than anything else at the start of a selection.

    ``rows``: the bytes of all rows. Row i is ``rows[starts[i] : starts[i + 1]]``; what is known of its positions
    stands at the same indices of the first two arrays of ``known``. ``asked``: the rows of the task. Their sizes are
    written into ``sizes``.
    """
    text, numbers, heads, links, counts, work = state
    own, found, recent_heads, recent_links = known
    if task == _COUNT_KNOWN:
        _link_recent(text, numbers, heads, recent_heads, recent_links)
    if task in (_COUNT, _COUNT_KNOWN):
        _settle(text, numbers, heads, links, counts, work, known)
    for i in range(len(asked)):
        first, last = starts[asked[i]], starts[asked[i] + 1]
        row = rows[first:last]
        if task == _APPEND:
            _append(text, numbers, heads, links, counts, work, row, known)
        elif task == _COUNT:
            sizes[i] = _count_with(text, heads, links, len(counts), work, row, known, False)
        elif task == _LEARN:
            _learn_matches(text, numbers, heads, links, row, own[first:last])
        else:
            its_own = own[first:last], found[first:last], recent_heads, recent_links
            sizes[i] = _count_with(text, heads, links, len(counts), work, row, its_own, True)
    if task in (_COUNT, _COUNT_KNOWN):
        for position in range(work[_SETTLED_NUMBERS, _POSITION] - 1, numbers[_POSITION] - 1, -1):
            _unlink(text, position, numbers[_END], heads, links)


@_compiled
def _append(text, numbers, heads, links, counts, work, row, known):
    """Read ``row``, at most a window of it, into the set."""
    if numbers[_END] + len(row) + _IN_PLACE > _CAPACITY:
        _drop_read_bytes(text, numbers, heads, links)
    end = numbers[_END]
    _write(row, text, end)
    numbers[_END] = end + len(row)
    _read(text, numbers, heads, links, counts, work, _WAIT, _CAPACITY, known)


@_compiled
def _drop_read_bytes(text, numbers, heads, links):
    """Keep only what a match can still reach, at the start of the held bytes."""
    shift = max(numbers[_POSITION] - _WINDOW, 0)
    kept = numbers[_END] - shift
    _write(text[shift : shift + kept], text, 0)
    for index in (_POSITION, _END, _MATCH, _BLOCK_START, _BASE, _NIL, _RECENT):
        numbers[index] -= shift
    numbers[_SHIFT] += shift
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
def _settle(text, numbers, heads, links, counts, work, known):
    """Decide on the last positions of the set as far as no candidate can change it, so that it is done once for all."""
    settled_numbers, settled_counts = work[_SETTLED_NUMBERS], work[_SETTLED_COUNTS, : len(counts)]
    _write(numbers, settled_numbers, 0)
    _write(counts, settled_counts, 0)
    _read(text, settled_numbers, heads, links, settled_counts, work, _SETTLE, _CAPACITY, known)


@_compiled
def _count_with(text, heads, links, symbols, work, row, known, is_known):
    """Count the bytes of the settled set with ``row`` at its end; the set stays as it is.

    ``is_known``: the matches of the row's positions are in ``known``, so they need not be linked.
    """
    own_numbers, own_counts = work[_OWN_NUMBERS], work[_OWN_COUNTS, :symbols]
    _, _, recent_heads, recent_links = known
    _write(work[_SETTLED_NUMBERS, :_NUMBERS], own_numbers, 0)
    _write(work[_SETTLED_COUNTS, :symbols], own_counts, 0)
    start, end = own_numbers[_POSITION], own_numbers[_END]
    _write(row, text, end)
    own_numbers[_END] = end + len(row)
    known_from = end if is_known else _CAPACITY
    end += len(row)
    if is_known:
        _link_seam(text, own_numbers, end - len(row), end, recent_heads, recent_links)
    _read(text, own_numbers, heads, links, own_counts, work, _FINISH, known_from, known)
    if is_known:
        _unlink_seam(text, own_numbers, end - len(row), end, recent_heads, recent_links)
    for position in range(min(end - 3, known_from - 1), start - 1, -1):
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
def _read(text, numbers, heads, links, counts, work, until, known_from, known):
    """zlib's lazy search: a match is taken unless one byte later there is a longer one.

    ``until``: how far, one of _WAIT, _SETTLE and _FINISH. From ``known_from`` on, matches are in ``known``, and
    no position is linked.
    """
    position, end = numbers[_POSITION], numbers[_END]
    pending, length, match = numbers[_PENDING], numbers[_LENGTH], numbers[_MATCH]
    while position < end and (until != _WAIT or end - position >= _MIN_LOOKAHEAD):
        if until == _SETTLE and position - numbers[_BASE] >= _WINDOW + _MAX_DISTANCE:
            break
        held = min(end, numbers[_BASE] + 2 * _WINDOW) - position
        if held < _MIN_LOOKAHEAD and position - numbers[_BASE] >= _WINDOW + _MAX_DISTANCE:
            # zlib moves its window on here; a block that begins before it can no longer be stored as it is.
            numbers[_BASE] += _WINDOW
        before, match_before = length, match
        length = 2
        if before < _MAX_MATCH and end - position >= 3:
            if position < known_from:
                length, match = _find_match(text, position, end, before, numbers[_NIL], heads, links)
            else:
                length, match = _find_known_match(text, position, end, before, numbers, heads, links, known_from, known)
        if until == _SETTLE:
            # A match up to the end could be longer with more bytes, and strings up to the end cannot be linked yet.
            after = position + 1 if before < 3 or length > before else position - 1 + before
            if max(before, length) >= end - position or after > end - _SIZES[_CHAINS - 1]:
                length, match = before, match_before
                break
        if position < known_from:
            _link(text, position, end, heads, links)
        if before >= 3 and length <= before:
            _count_match(counts, before, position - 1 - match_before)
            numbers[_SYMBOLS] += 1
            after = position - 1 + before
            for inside in range(position + 1, min(after, known_from)):
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
    if until == _FINISH and pending:
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
def _find_known_match(text, position, end, before, numbers, heads, links, start, known):
    """What `_find_match` finds at a position of a finalist, which begins at ``start``."""
    longest = min(_MAX_MATCH, end - position)
    if before >= longest:
        return 2, 0
    own, place = known[0], position - start
    if numbers[_MOST_EARLIER] + own[place, _OWN_EARLIER] >= _CHAIN_AFTER_GOOD:
        slot = 2 * _hash3(text, position)
        patience = _CHAIN_AFTER_GOOD if before >= _GOOD_MATCH else _CHAIN
        if heads[0, slot + 1] + own[place, _OWN_EARLIER] >= patience:
            return _walk_both(text, position, longest, before, numbers[_NIL], heads[0, slot], links, start, own)
    length, match = _search_set(text, position, longest, numbers, heads, links, start, known)
    farthest = position - _MAX_DISTANCE
    if farthest > 0 and text[farthest] == text[position] and own[place, _OWN_LINK] == 0:
        # The farthest position of a match counts only as the head of its chain.
        same = _count_same(text, farthest, position, longest)
        if same > 3 and heads[0, 2 * _hash3(text, position)] == farthest and farthest != numbers[_NIL]:
            length, match = same, farthest
    own_length = np.int64(own[place, _OWN_MATCH])
    if own_length >= length and own_length > 0:
        length, match = own_length, position - np.int64(own[place, _OWN_DISTANCE])
    if length > before:
        return length, match
    return 2, 0


@_compiled
def _search_set(text, position, longest, numbers, heads, links, start, known):
    """The longest match in the set, of equals the nearest: its length (0: none) and position.

    A match in the finalist itself is nearer, so shorter ones than that are passed over. Matches that may reach into
    the finalist are not kept, because other bytes will follow them in the next set.
    """
    own, found, recent_heads, recent_links = known
    place, shift = position - start, numbers[_SHIFT]
    limit = max(position - _MAX_DISTANCE, 0)
    length, match = np.int64(found[place, _SET_MATCH]), found[place, _SET_POSITION] - shift
    searched = found[place, _SEARCHED] - shift
    # What fell out of the window was longer than all that lies between it and the bytes not yet searched.
    longest_between = np.int64(0)
    if length and match <= limit:
        longest_between = length - 1
        length = np.int64(0)
    elif length == 3 and position - match > _TOO_FAR:
        length = np.int64(0)
    least = max(np.int64(own[place, _OWN_MATCH]), length - 1, 2)
    first, tail = max(searched, limit + 1), start - _MAX_MATCH
    if searched >= numbers[_RECENT]:
        recent = numbers[_RECENT], recent_heads, recent_links
        best, best_at, tail_best, tail_at = _search_recent(
            text, position, longest, least, first, tail, heads, links, recent
        )
    else:
        best, best_at = _search_chains(text, position, longest, least, first, tail, heads, links)
        tail_best, tail_at = _search_chains(text, position, longest, least, max(first, tail), start, heads, links)
    if longest_between > max(least, best) and first > limit + 1:
        between, between_at = _search_chains(
            text, position, min(longest, longest_between), max(least, best), limit + 1, first, heads, links
        )
        if between_at >= 0:
            best, best_at = between, between_at
    if best_at >= 0:
        length, match = best, best_at
    found[place, _SET_MATCH], found[place, _SET_POSITION] = length, match + shift
    found[place, _SEARCHED] = max(tail, 0) + shift
    if tail_at >= 0 and tail_best >= length:
        return tail_best, tail_at
    return length, match


@_compiled
def _search_chains(text, position, longest, least, first, last, heads, links):
    """The longest match of more than ``least`` bytes that starts between ``first`` and ``last``, of equals the nearest.

    Returns its length and position; without one, 0 and -1.
    """
    low, high = _word(text, position), _word(text, position + 8)
    most = longest
    for chain in range(_CHAINS - 1, -1, -1):
        size = _SIZES[chain]
        if least >= most:
            break
        if size > longest:
            continue
        if chain:
            at, far = heads[chain, _hash(low, high, size)], first
        else:
            at, far = heads[0, 2 * _hash3(text, position)], max(first, position - _TOO_FAR)
        best, found = max(least, size - 1), -1
        while at >= last:
            at = links[at, chain]
        while at >= far and best < most:
            if text[at + best] == text[position + best]:
                same = _count_same(text, at, position, longest)
                if same > best:
                    best, found = same, at
            at = links[at, chain]
        if found >= 0:
            return best, found
        most = size - 1
    return 0, -1


@_compiled
def _search_recent(text, position, longest, least, first, tail, heads, links, recent):
    """The same as `_search_chains`, from ``first`` in the recent end of the set up to ``tail``, and from there on."""
    begin, recent_heads, recent_links = recent
    best, best_at, tail_best, tail_at = 0, -1, 0, -1
    if least >= longest:
        return best, best_at, tail_best, tail_at
    if longest > 3:
        best = tail_best = max(least, 3)
        chain = 0 if best < _RECENT_SIZES[1] - 1 or longest < _RECENT_SIZES[1] else 1
        at = begin + recent_heads[chain, _hash_recent(text, position, _RECENT_SIZES[chain])]
        while at >= first and at >= tail:
            if tail_best < longest and text[at + tail_best] == text[position + tail_best]:
                same = _count_same(text, at, position, longest)
                if same > tail_best:
                    tail_best, tail_at = same, at
            at = begin + recent_links[chain, at - begin]
        while at >= first and best < longest:
            if text[at + best] == text[position + best]:
                same = _count_same(text, at, position, longest)
                if same > best:
                    best, best_at = same, at
            at = begin + recent_links[chain, at - begin]
        if best_at < 0:
            best = 0
    if least == 2 and best_at < 0:
        at, far = heads[0, 2 * _hash3(text, position)], max(first, position - _TOO_FAR)
        while at >= far:
            if (at < tail or tail_at < 0) and _count_same(text, at, position, 3) == 3:
                if at < tail:
                    best, best_at = 3, at
                    break
                tail_best, tail_at = 3, at
            at = links[at, 0]
    return best, best_at, tail_best, tail_at


@_compiled
def _hash_recent(text, position, size):
    return ((_word(text, position) << np.uint64(64 - 8 * size)) * _MULTIPLIER) >> np.uint64(64 - _RECENT_BITS)


@_compiled
def _link_recent(text, numbers, heads, recent_heads, recent_links):
    """Chain the recent end of the set, but for the last positions, whose strings reach into the finalist."""
    end = numbers[_END]
    numbers[_RECENT] = max(numbers[_RECENT], 0)
    if end - numbers[_RECENT] > _RECENT_POSITIONS:
        numbers[_RECENT] = end
    recent_heads[:] = -1
    for chain in range(len(_RECENT_SIZES)):
        last = end - _RECENT_SIZES[chain]
        _link_strings(text, numbers[_RECENT], numbers[_RECENT], last, chain, recent_heads, recent_links)
    most = 0
    for slot in range(1, 2 * _WINDOW, 2):
        most = max(most, heads[0, slot])
    # Positions of the set that zlib has not decided on yet are linked later.
    numbers[_MOST_EARLIER] = most + _MIN_LOOKAHEAD


@_compiled
def _link_strings(text, recent, first, last, chain, recent_heads, recent_links):
    for position in range(max(first, recent), last + 1):
        slot = _hash_recent(text, position, _RECENT_SIZES[chain])
        recent_links[chain, position - recent] = recent_heads[chain, slot]
        recent_heads[chain, slot] = position - recent


@_compiled
def _link_seam(text, numbers, start, end, recent_heads, recent_links):
    """Chain the last positions of the set, whose strings reach into the finalist."""
    for chain in range(len(_RECENT_SIZES)):
        size = _RECENT_SIZES[chain]
        _link_strings(
            text, numbers[_RECENT], start - size + 1, min(start - 1, end - size), chain, recent_heads, recent_links
        )


@_compiled
def _unlink_seam(text, numbers, start, end, recent_heads, recent_links):
    recent = numbers[_RECENT]
    for chain in range(len(_RECENT_SIZES)):
        size = _RECENT_SIZES[chain]
        for position in range(min(start - 1, end - size), max(start - size + 1, recent) - 1, -1):
            recent_heads[chain, _hash_recent(text, position, size)] = recent_links[chain, position - recent]


@_compiled
def _learn_matches(text, numbers, heads, links, row, own):
    """Write what never changes of a finalist's positions into ``own``; the set must still be without a row."""
    start = numbers[_END] + 1  # position 0 may be zlib's end of a chain
    end = start + len(row)
    _write(row, text, start)
    for position in range(start, end - 2):
        slot = 2 * _hash3(text, position)
        place = position - start
        length, match = _find_match(text, position, end, 2, -2, heads, links)
        if length > 2:
            own[place, _OWN_MATCH], own[place, _OWN_DISTANCE] = length, position - match
        if heads[0, slot] >= 0:
            own[place, _OWN_LINK] = position - heads[0, slot]
        own[place, _OWN_EARLIER] = heads[0, slot + 1] + 1
        _link(text, position, end, heads, links)
    for position in range(end - 3, start - 1, -1):
        _unlink(text, position, end, heads, links)


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
def _walk_both(text, position, longest, before, nil, nearest, links, start, own):
    """`_walk_like_zlib` along the chain of a finalist, which begins at ``start``, and then along that of the set."""
    patience = _CHAIN_AFTER_GOOD if before >= _GOOD_MATCH else _CHAIN
    best, found = before, 0
    limit = max(position - _MAX_DISTANCE, 0)
    link = np.int64(own[position - start, _OWN_LINK])
    at = position - link if link else nearest
    if at == nil or at < limit:
        return 2, 0
    while True:
        if text[at + best] == text[position + best]:
            same = _count_same(text, at, position, longest)
            if same > best:
                best, found = same, at
        if at >= start:
            link = np.int64(own[at - start, _OWN_LINK])
            at = at - link if link else nearest
        else:
            at = links[at, 0]
        patience -= 1
        if best >= longest or patience == 0 or at <= limit or at == nil:
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
