"""What a file compressed by zstd holds, unpacked piece by piece, and an error where its data ends early."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

# zstd --ultra --long=31 looks two gigabytes back, and its own reader refuses more than 128 MiB unless told otherwise.
_LONGEST_WINDOW = 2**31
# A thousand bytes of zstd are at most some thirty million of text, so that even a hostile file is unpacked piecemeal.
_PACKED_BYTES = 2**10


class DamagedData(Exception):
    """Compressed data that cannot be unpacked; the message says why."""


class ZstdContents(io.RawIOBase):
    """The unpacked bytes of all frames of a file. The library's own reader ends in silence where the data was cut.

    Reading raises DamagedData where the data ends early or cannot be unpacked.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._frame = self._begin_frame()
        self._unpacked = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        import zstandard

        while not self._unpacked:
            packed = self._frame.unused_data or self._file.read(_PACKED_BYTES)
            if not packed:
                if not self._frame.eof:
                    raise DamagedData("the zstd data ends early; was the file cut short?")
                return 0
            if self._frame.eof:
                # Another one follows, as `cat a.zst b.zst` and pzstd make them.
                self._frame = self._begin_frame()
            try:
                self._unpacked = memoryview(self._frame.decompress(packed))
            except zstandard.ZstdError as error:
                raise DamagedData(f"not zstd, or damaged: {error}") from None
        count = min(len(target), len(self._unpacked))
        target[:count] = self._unpacked[:count]
        self._unpacked = self._unpacked[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()

    def _begin_frame(self) -> Any:
        import zstandard

        return zstandard.ZstdDecompressor(max_window_size=_LONGEST_WINDOW).decompressobj()
