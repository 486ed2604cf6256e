"""How much new text some rows bring: the bytes that they compress to once the other rows are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
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

    ``records``: in file order; none is held. ``kept``: shape (records,). Kept text that lies farther back than the long
    window cannot be copied from, so only its end is read and compressed.
    """
    if len(records) != len(kept):
        raise ValueError(f"{len(records)} records, and {len(kept)} flags")
    if all(kept):
        return None
    is_kept = np.array(kept, dtype=bool)
    rows = np.flatnonzero(is_kept).tolist()
    skipped, room = 0, 2**params.long_window_log
    # From the end, until the window is full: what lies before that is not even read.
    for place in reversed(range(len(rows))):
        room -= len(_read_text(records, rows[place]))
        if room <= 0:
            rows, skipped = rows[place:], -room
            break
    stream = params.long_codec().stream()
    for row in rows:
        stream.compress(_read_text(records, row)[skipped:])
        skipped = 0
    # The block is ended here, so that all bytes written from now on belong to the other rows.
    stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)  # type: ignore[call-arg]
    raw_bytes = new_bytes = 0
    for row in np.flatnonzero(~is_kept).tolist():
        text = _read_text(records, row)
        raw_bytes += len(text)
        new_bytes += len(stream.compress(text))
    new_bytes += len(stream.flush())
    return RowText(raw_bytes, new_bytes, raw_bytes / new_bytes)


def _read_text(records: Sequence[HashedRecord], row: int) -> bytes:
    return canonical_text(records[row][0]).encode()
