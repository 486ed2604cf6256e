"""How much new information some rows bring: what they compress to once the other rows are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import zstandard

from corpus.records import HashedRecord, canonical_text
from monitor.measures.compression import CompressionParams


@dataclass(frozen=True)
class RowText:
    """The text of some rows. ``new_bytes``: what they add to the compressed size, over the long window, once the other
    rows are known; ``r_long`` = ``raw_bytes`` / ``new_bytes``. Of fresh rows of the same kind it is about the
    version's own long R, of copies it is far above.
    """

    raw_bytes: int
    new_bytes: int
    r_long: float


def measure_new_text(
    records: Sequence[HashedRecord], kept: Sequence[bool], params: CompressionParams
) -> RowText | None:
    """How much the rows that are not ``kept``, shape (records,), say beyond those that are; None without such rows.

    ``records``: (record, content hash), in file order.
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
