"""How much new text some rows bring: the bytes that they compress to once the other rows are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import zstandard

from corpus.records import HashedRecord, canonical_text
from monitor.measures.compression import CompressionParams


@dataclass(frozen=True)
class RowText:
    """The text of some rows.

    ``new_bytes``: what they add to the compressed size, over the long window, once the other rows are known.
    ``r_long``: ``raw_bytes`` / ``new_bytes``. Fresh rows of the same kind have about the long R of the whole version,
    copies far more.
    """

    raw_bytes: int
    new_bytes: int
    r_long: float


def measure_new_text(
    records: Sequence[HashedRecord], kept: Sequence[bool], params: CompressionParams
) -> RowText | None:
    """How much new text the rows bring that are not ``kept``; None where all are.

    ``records``: in file order; they are gone through up to three times, and none is held. ``kept``: shape (records,).
    Kept text that lies farther back than the long window cannot be copied from, so only its end is compressed.
    """
    if all(kept):
        return None
    skipped = sum(map(len, _texts(records, kept))) - 2**params.long_window_log
    stream = params.long_codec().stream()
    for text in _texts(records, kept):
        if skipped < len(text):
            stream.compress(text[max(0, skipped) :])
        skipped -= len(text)
    # The block is ended here, so that all bytes written from now on belong to the other rows.
    stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)  # type: ignore[call-arg]
    raw_bytes = new_bytes = 0
    for text in _texts(records, [not is_kept for is_kept in kept]):
        raw_bytes += len(text)
        new_bytes += len(stream.compress(text))
    new_bytes += len(stream.flush())
    return RowText(raw_bytes, new_bytes, raw_bytes / new_bytes)


def _texts(records: Sequence[HashedRecord], wanted: Sequence[bool]) -> Iterator[bytes]:
    flagged = zip(records, wanted, strict=True)
    return (canonical_text(record).encode() for (record, _), is_wanted in flagged if is_wanted)
