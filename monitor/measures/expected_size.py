"""How many bytes added rows compress to, beside what as many kept rows would: free of the data's size and order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import zstandard

from corpus.records import HashedRecord, Record
from corpus.row_facts import characters_of, hashes_of
from monitor.measures.compression import OTHER_SOURCES, CompressionParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from corpus.codecs import Stream

# The kept rows are measured in so many parts, so that it is seen how their size falls while more and more is known.
PARTS = 10
# Before so much of the kept rows is known, their size falls too steeply to be continued.
SETTLED_SHARE = 0.2
# A source with a smaller share of the rows has too few of them in each part to be measured on its own.
MIN_SOURCE_SHARE = 0.05
# ln(size) falls by at most so much while ln(known bytes) rises by 1. Of GSM8K, chit-chat, code, role-play and tool
# calls it falls by 0.01 to 0.12 (docs/decisions/0021-redundancy-without-size-and-order.md).
STEEPEST_SLOPE = -0.3
# Kept and added rows up to so many bytes are read, in the order of their hashes: with the added rows, the kept ones
# still lie within the long window of 128 MiB.
MAX_KEPT_BYTES = 96 * 2**20
# A quarter of the window for the added rows, which are fewer as a rule.
MAX_ADDED_BYTES = 32 * 2**20


class SourcedText(NamedTuple):
    """The text of a row as it is compressed here, the row's content hash, and its source."""

    row_hash: str
    source: str
    text: bytes

    @classmethod
    def of(cls, row: HashedRecord) -> SourcedText:
        return cls(row.hash, row.record.source, join_messages(row.record))


@dataclass(frozen=True)
class SampledTexts:
    """Texts of some rows in the order of their hashes, of many rows the first ones.

    ``count``: how many rows they stand for. ``total_bytes``: of all their texts; where not all were read, an estimate
    by their characters.
    """

    rows: Sequence[SourcedText]
    count: int
    total_bytes: float

    @classmethod
    def whole(cls, rows: Sequence[SourcedText]) -> SampledTexts:
        """Rows of which none is left out."""
        return cls(rows, len(rows), _count_bytes(rows))

    @property
    def bytes(self) -> int:
        """Of the texts that were read."""
        return _count_bytes(self.rows)


NO_TEXTS = SampledTexts((), 0, 0.0)


class _Block(NamedTuple):
    """Some rows of one source in a stream: ``known_bytes`` before their middle, and their size before and after."""

    source: str
    known_bytes: float
    raw_bytes: int
    new_bytes: int


@dataclass(frozen=True)
class SizeComparison:
    """How many bytes rows add to the compressed size, over the long window.

    ``kept_bytes``: of the kept rows. ``added_bytes``: of the added rows, once the kept ones are known.
    ``expected_bytes``: what as much text of the same sources would have added, had it been like the kept rows.
    ``share``: of the added rows among all.
    """

    kept_bytes: float
    added_bytes: float
    expected_bytes: float
    share: float

    @property
    def change_log_r(self) -> float:
        """ln(R with these added rows / R with added rows like the kept ones). Above 0 they repeat something."""
        return math.log((self.kept_bytes + self.expected_bytes) / (self.kept_bytes + self.added_bytes))


def read_texts(records: Sequence[HashedRecord], flags: NDArray[np.bool_], most_bytes: int) -> SampledTexts:
    """Texts of the rows that ``flags`` marks, shape (records,), up to so many bytes, and one row at least.

    They come in the order of their content hashes, which scatters neighbours. System messages are left out: the same
    one is often put before many rows, and says nothing of what these rows say.
    """
    order = hashes_of(records).order()
    order = order[flags[order]]
    found: list[SourcedText] = []
    left = most_bytes
    for i in order.tolist():
        text = SourcedText.of(records[i])
        left -= len(text.text)
        if left < 0 and found:
            break
        found.append(text)
    total = float(_count_bytes(found))
    if len(found) < len(order):
        characters = characters_of(records)
        total *= characters[order].sum() / max(1, characters[order[: len(found)]].sum())
    return SampledTexts(sorted(found), len(order), total)


def compare_sizes(
    kept: SampledTexts,
    added: SampledTexts,
    params: CompressionParams,
    unknown: SampledTexts = NO_TEXTS,
) -> SizeComparison:
    """Compress the added rows after the kept ones, and compare their size with that of as much kept text.

    All rows in the order of their hashes. The size of kept text falls as more of it is known. This curve is fitted to
    parts of the kept rows, ln(new bytes / raw bytes) over ln(known bytes), with one level for each source, and
    continued over the added rows. ``unknown``: rows that may be kept or added. They are compressed first, and count
    for neither.

    >>> import random
    >>> from monitor.measures.compression import CompressionParams
    >>> rows = [SourcedText(f"{i:032x}", "", random.Random(i).randbytes(500)) for i in range(150)]
    >>> kept, new, again = map(SampledTexts.whole, (rows[:100], rows[100:], rows[:50]))
    >>> fresh = compare_sizes(kept, new, CompressionParams()).change_log_r
    >>> copied = compare_sizes(kept, again, CompressionParams()).change_log_r
    >>> abs(round(fresh, 2)), round(copied, 1)
    (0.0, 0.4)
    """
    old, new = kept.rows, added.rows
    names = _group_sources(old)
    stream = params.long_codec().stream()
    _compress(stream, [row.text for row in unknown.rows])
    known = unknown.bytes
    blocks: list[_Block] = []
    for part in _split(old, PARTS):
        blocks += _compress_part(stream, part, names, known)
        known += _count_bytes(part)
    measured: list[_Block] = []
    for part in _split(new, max(1, round(len(new) * PARTS / len(old)))):
        measured += _compress_part(stream, part, names, known)
        known += _count_bytes(part)
    least = SETTLED_SHARE * (unknown.bytes + kept.bytes)
    settled = [block for block in blocks if block.known_bytes >= least]
    expected = _continue_curve(settled, measured)
    # Where not all rows were read, those that were stand for the others.
    kept_scale = (kept.total_bytes + unknown.total_bytes) / max(1, kept.bytes)
    added_scale = added.total_bytes / max(1, added.bytes)
    return SizeComparison(
        kept_bytes=sum(block.new_bytes for block in blocks) * kept_scale,
        added_bytes=sum(block.new_bytes for block in measured) * added_scale,
        expected_bytes=expected * added_scale,
        share=added.count / (added.count + kept.count + unknown.count),
    )


def join_messages(record: Record) -> bytes:
    """What the messages of a row say, one a line, without roles and without system messages.

    >>> from corpus.records import Conversation, Message
    >>> join_messages(Conversation((Message("system", "Be kind."), Message("user", "Tea?"))))
    b'Tea?\\n'
    """
    return "".join(f"{m.text}\n" for _, m in record.turns() if m.role != "system").encode("utf-8", "surrogatepass")


def _count_bytes(rows: Iterable[SourcedText]) -> int:
    return sum(len(row.text) for row in rows)


def _group_sources(rows: Sequence[SourcedText]) -> dict[str, str]:
    """The sources that are measured on their own. All others share one entry."""
    names, counts = np.unique([row.source for row in rows], return_counts=True)
    large = counts >= MIN_SOURCE_SHARE * len(rows)
    return {str(name): str(name) for name in names[large]}


def _split(rows: Sequence[SourcedText], parts: int) -> list[Sequence[SourcedText]]:
    cuts = [len(rows) * part // parts for part in range(parts + 1)]
    return [rows[start:stop] for start, stop in itertools.pairwise(cuts) if stop > start]


def _compress_part(stream: Stream, rows: Sequence[SourcedText], names: dict[str, str], known: int) -> list[_Block]:
    """Compress some rows source by source. Parts of equal length make blocks that cost equally much to begin."""
    groups: dict[str, list[bytes]] = {}
    for row in rows:
        groups.setdefault(names.get(row.source, OTHER_SOURCES), []).append(row.text)
    blocks = []
    for source, texts in sorted(groups.items()):
        raw = sum(map(len, texts))
        if raw:
            blocks.append(_Block(source, known + raw / 2, raw, max(1, _compress(stream, texts))))
        known += raw
    return blocks


def _compress(stream: Stream, texts: Iterable[bytes]) -> int:
    """Bytes written for these texts: the block is ended, so that none of them is put down to what follows."""
    written = sum(len(stream.compress(text)) for text in texts)
    return written + len(stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))  # type: ignore[call-arg]


def _continue_curve(kept: Sequence[_Block], added: Sequence[_Block]) -> float:
    """The bytes that the added blocks would have taken on the curve of the kept ones: least squares, weighted by size.

    A source without a block among the kept ones has the level of all.
    """
    x = np.log([block.known_bytes for block in kept])
    y = np.log([block.new_bytes / block.raw_bytes for block in kept])
    weight = np.array([block.raw_bytes for block in kept], dtype=float)
    source = np.array([block.source for block in kept])
    levels = {name: _centre(x, y, weight, source == name) for name in dict.fromkeys(source.tolist())}
    overall = _centre(x, y, weight, np.ones(len(kept), dtype=bool))
    dx = x - np.array([levels[name][0] for name in source.tolist()])
    dy = y - np.array([levels[name][1] for name in source.tolist()])
    spread = float((weight * dx * dx).sum())
    slope = float((weight * dx * dy).sum()) / spread if spread else 0.0
    # More known text never makes text longer: a rising curve is noise.
    slope = min(0.0, max(STEEPEST_SLOPE, slope))
    expected = 0.0
    for block in added:
        at, level = levels.get(block.source, overall)
        expected += block.raw_bytes * math.exp(level + slope * (math.log(block.known_bytes) - at))
    return expected


def _centre(
    x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64], among: NDArray[np.bool_]
) -> tuple[float, float]:
    return float(np.average(x[among], weights=weight[among])), float(np.average(y[among], weights=weight[among]))
