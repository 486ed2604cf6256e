"""Lossless codecs behind one small interface. All of them stream, so that memory does not grow with the data."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

CodecName = Literal["zlib", "zstd", "lzma"]

# The paper's g is computed with DEFLATE; its authors' program calls zlib at level 9 (32 KiB window).
ZLIB_LEVEL = 9
# How far back zlib looks for a copy.
ZLIB_WINDOW_BYTES = 2**15
# 2**27 = 128 MiB: the smallest window in which a far copy is plainly seen, and the largest a zstd
# decoder accepts without being told to.
LONG_WINDOW_LOG = 27
LEVELS: dict[CodecName, range] = {"zlib": range(10), "zstd": range(1, 23), "lzma": range(10)}
WINDOW_LOGS = range(10, 32)


class Stream(Protocol):
    """What zlib, zstandard and lzma compressor objects have in common."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


@dataclass(frozen=True)
class Codec:
    """A named codec at one level. ``window_log`` is the base-2 logarithm of zstd's window in bytes.

    Raises ValueError for a codec, level or window that does not exist.

    >>> Codec("zlib").ratio([b"a" * 1000])
    58.8235294117647
    """

    name: CodecName
    level: int = ZLIB_LEVEL
    window_log: int = LONG_WINDOW_LOG

    def __post_init__(self) -> None:
        # zstandard itself lowers a level that is too high, and would measure something else than was asked for.
        if self.name not in LEVELS:
            raise ValueError(f"unknown codec {self.name!r}; known are {', '.join(LEVELS)}")
        if self.level not in LEVELS[self.name]:
            raise ValueError(
                f"{self.name} has levels {LEVELS[self.name][0]} to {LEVELS[self.name][-1]}, not {self.level}"
            )
        if self.window_log not in WINDOW_LOGS:
            raise ValueError(
                f"window_log must lie between {WINDOW_LOGS[0]} and {WINDOW_LOGS[-1]}, not {self.window_log}"
            )

    def stream(self) -> Stream:
        """A new compressor of this codec, which has read nothing yet."""
        if self.name == "zlib":
            return zlib.compressobj(self.level)
        if self.name == "lzma":
            return lzma.LZMACompressor(preset=self.level)
        import zstandard

        parameters = zstandard.ZstdCompressionParameters.from_level(
            self.level, window_log=self.window_log, enable_ldm=True
        )
        return zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    def stream_after(self, text: bytes) -> Stream:
        """A compressor for what follows ``text``, which it can copy from; it writes no header. Only zlib has one."""
        if self.name != "zlib":
            raise ValueError(f"{self.name} cannot go on after a text")
        return zlib.compressobj(self.level, wbits=-15, zdict=text[-ZLIB_WINDOW_BYTES:])

    def sizes(self, chunks: Iterable[bytes]) -> tuple[int, int]:
        """Bytes before and after compressing the chunks as one stream."""
        stream = self.stream()
        raw = compressed = 0
        for chunk in chunks:
            raw += len(chunk)
            compressed += len(stream.compress(chunk))
        return raw, compressed + len(stream.flush())

    def ratio(self, chunks: Iterable[bytes]) -> float:
        """The compression ratio g = raw bytes / compressed bytes (Algorithm 1); 1.0 for no bytes at all."""
        raw, compressed = self.sizes(chunks)
        return raw / compressed if raw else 1.0
