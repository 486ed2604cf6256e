"""R: how redundant a data version is, as the paper measures it and over a window that sees far copies too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from corpus.codecs import LONG_WINDOW_LOG, ZLIB_LEVEL, Codec
from corpus.records import Record, canonical_text

# Each source keeps two compressors open at once; the rest share one entry, so that memory stays constant.
MAX_SOURCES = 8
OTHER_SOURCES = "(other sources)"


@dataclass(frozen=True)
class CompressionParams:
    """``level``: zlib's, 9 in the authors' program. ``long_level``, ``long_window_log``: zstd's; the window is
    2**long_window_log bytes.

    zlib looks 32 KiB back, so a copied row further away than about ten rows costs it as much as a new one.
    """

    level: int = ZLIB_LEVEL
    long_level: int = 9
    long_window_log: int = LONG_WINDOW_LOG

    def __post_init__(self) -> None:
        if not 1 <= self.level <= 9 or not 1 <= self.long_level <= 22 or not 10 <= self.long_window_log <= 30:
            raise ValueError("level must be 1-9, long_level 1-22 and long_window_log 10-30")

    def codec(self) -> Codec:
        return Codec("zlib", self.level)

    def long_codec(self) -> Codec:
        return Codec("zstd", self.long_level, self.long_window_log)


@dataclass(frozen=True)
class Compressed:
    """``r``, ``r_long``: raw bytes / compressed bytes, rows in file order as one stream."""

    rows: int
    raw_bytes: int
    r: float
    r_long: float


@dataclass(frozen=True)
class CompressionProfile:
    rows: int
    raw_bytes: int
    r: float
    r_long: float
    sources: dict[str, Compressed]


class _Meter:
    """Two streams over the same rows."""

    def __init__(self, params: CompressionParams) -> None:
        self.streams = (params.codec().stream(), params.long_codec().stream())
        self.written = [0, 0]
        self.rows = self.raw_bytes = 0

    def add(self, text: bytes) -> None:
        self.rows += 1
        self.raw_bytes += len(text)
        for i, stream in enumerate(self.streams):
            self.written[i] += len(stream.compress(text))

    def finish(self) -> Compressed:
        # Of no text at all the ratio is 1, as in `Codec.ratio`.
        r, r_long = (
            self.raw_bytes / (written + len(stream.flush())) if self.raw_bytes else 1.0
            for written, stream in zip(self.written, self.streams, strict=True)
        )
        return Compressed(self.rows, self.raw_bytes, r, r_long)


def profile_compression(records: Iterable[Record], params: CompressionParams) -> CompressionProfile:
    """R and long-window R of a version and of each of its sources, in one pass and constant memory.

    >>> from corpus.records import Conversation, Message
    >>> row = Conversation((Message("user", "Hi"), Message("assistant", "Hello!")))
    >>> profile = profile_compression([row] * 1000, CompressionParams())
    >>> profile.r > 50 and profile.r_long > 50
    True
    """
    whole = _Meter(params)
    sources: dict[str, _Meter] = {}
    for record in records:
        text = canonical_text(record).encode()
        whole.add(text)
        source = record.source if record.source in sources or len(sources) < MAX_SOURCES else OTHER_SOURCES
        if source not in sources:
            sources[source] = _Meter(params)
        sources[source].add(text)
    total = whole.finish()
    # With a single source its entry would only repeat the whole.
    per_source = {name: meter.finish() for name, meter in sorted(sources.items())} if len(sources) > 1 else {}
    return CompressionProfile(total.rows, total.raw_bytes, total.r, total.r_long, per_source)
