"""How much new text some rows bring: the bytes that they compress to once the other rows are known."""

from __future__ import annotations

from collections.abc import Sequence
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

    ``records``: in file order. ``kept``: shape (records,).
    """
    texts = [canonical_text(record).encode() for record, _ in records]
    others = [text for text, is_kept in zip(texts, kept, strict=True) if not is_kept]
    if not others:
        return None
    stream = params.long_codec().stream()
    for text, is_kept in zip(texts, kept, strict=True):
        if is_kept:
            stream.compress(text)
    # The block is ended here, so that all bytes written from now on belong to the other rows.
    stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)  # type: ignore[call-arg]
    new_bytes = sum(len(stream.compress(text)) for text in others) + len(stream.flush())
    raw_bytes = sum(map(len, others))
    return RowText(raw_bytes, new_bytes, raw_bytes / new_bytes)
