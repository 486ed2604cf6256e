"""Packed data files that are damaged, packed otherwise than their name says, or larger than they look."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator

import zstandard
from hostile_texts import ARRAY, LINES, TABLE

_PLACES = 16


def _gzip_with_name() -> bytes:
    sink = io.BytesIO()
    with gzip.GzipFile("../../../etc/passwd\x1b[31m", "wb", fileobj=sink, mtime=2**32 - 1) as packed:
        packed.write(LINES)
    return sink.getvalue()


def _zip(*names: str, encrypted: bool = False) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, LINES)
    content = bytearray(sink.getvalue())
    if encrypted:
        content[6] |= 1
    return bytes(content)


def _tar(name: str) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(LINES)
        archive.addfile(entry, io.BytesIO(LINES))
    return sink.getvalue()


def _strangers() -> Iterator[tuple[str, bytes]]:
    """What is packed by something else than gzip and zstd."""
    yield "bzip2", bz2.compress(LINES)
    yield "xz", lzma.compress(LINES)
    yield "lzma", lzma.compress(LINES, lzma.FORMAT_ALONE)
    yield "zlib", zlib.compress(LINES)
    yield "deflate", zlib.compress(LINES, wbits=-15)
    yield "lz4", b"\x04\x22\x4d\x18" + b"\x64\x40\xa7" + b"\0" * 50
    yield "snappy", b"\xff\x06\x00\x00sNaPpY" + b"\0" * 50
    yield "compress", b"\x1f\x9d\x90" + b"\0" * 50
    yield "7z", b"7z\xbc\xaf\x27\x1c" + b"\0" * 50
    yield "rar", b"Rar!\x1a\x07\x01\0" + b"\0" * 50
    yield "a zip archive", _zip("a.jsonl")
    yield "a zip archive that climbs", _zip("../../../tmp/a.jsonl", "/etc/cron.d/a", "C:\\a")
    yield "a zip archive with a password", _zip("a.jsonl", encrypted=True)
    yield "an empty zip archive", _zip()
    yield "a tar archive", _tar("../a.jsonl")
    yield "a zstd dictionary", b"\x37\xa4\x30\xec" + b"\0" * 50
    yield "a skippable frame", b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstandard.compress(LINES)


def files_packed() -> Iterator[tuple[str, bytes]]:
    """Every packed file that is small when it is unpacked."""
    packers: dict[str, Callable[[bytes], bytes]] = {
        "gz": lambda text: gzip.compress(text, mtime=0),
        "zst": zstandard.compress,
    }
    for layout, text in (("jsonl", LINES * 20), ("json", ARRAY), ("csv", TABLE * 20), ("ndjson", LINES)):
        for end, pack in packers.items():
            name, packed = f"{layout}.{end}", pack(text)
            for place in range(1, _PLACES):
                at = len(packed) * place // _PLACES
                yield f"cut at {place} of {_PLACES}.{name}", packed[:at]
                yield (
                    f"a bit other at {place} of {_PLACES}.{name}",
                    packed[:at] + bytes([packed[at] ^ 4]) + packed[at + 1 :],
                )
            for last in (1, 4, 8):
                yield f"cut {last} from its end.{name}", packed[:-last]
            yield f"nothing.{name}", b""
            yield f"only its magic.{name}", packed[:4]
            yield f"packed nothing.{name}", pack(b"")
            yield f"packed line breaks.{name}", pack(b"\n" * 1000)
            yield f"packed NUL.{name}", pack(b"\0" * 1000)
            yield f"packed UTF-16.{name}", pack(text.decode().encode("utf-16"))
            yield f"packed Latin-1.{name}", pack(text.replace(b"is", b"\xe9"))
            yield f"packed twice.{name}", pack(pack(text))
            yield f"packed thrice.{name}", pack(pack(pack(text)))
            yield f"plain text.{name}", text
            yield f"two members.{name}", packed + packed
            yield f"a thousand members.{name}", pack(text) + pack(b"") * 1000
            yield f"a second member that is cut.{name}", packed + packed[:-9]
            yield f"zeros behind it.{name}", packed + b"\0" * 512
            yield f"text behind it.{name}", packed + b"and more"
            yield f"a pointer of Git LFS.{name}", b"version https://git-lfs.github.com/spec/v1\n"
            for other, pack_other in packers.items():
                yield f"a member of {other} behind it.{name}", packed + pack_other(text)
                yield f"really {other}.{name}", pack_other(text)
            for kind, content in _strangers():
                yield f"{kind}.{name}", content
                yield f"{kind}, packed.{name}", pack(content)
    for kind, content in _strangers():
        for suffix in ("jsonl", "json", "csv", "parquet", "arrow"):
            yield f"{kind}.{suffix}", content
    yield "an odd name and time.jsonl.gz", _gzip_with_name()
    yield "a method that is none.jsonl.gz", b"\x1f\x8b\x09" + gzip.compress(LINES)[3:]
    yield "all flags.jsonl.gz", b"\x1f\x8b\x08\xff" + gzip.compress(LINES)[4:]
    yield "a window of an exabyte.jsonl.zst", b"\x28\xb5\x2f\xfd\x00\xff" + b"\0" * 20
    yield "a size of an exabyte.jsonl.zst", b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 8 + b"\0" * 20
    yield "an unknown dictionary.jsonl.zst", b"\x28\xb5\x2f\xfd\x23\x01\x02\x03\x04\x05" + b"\0" * 20
    yield "parquet.parquet.gz", gzip.compress(b"PAR1" + b"\0" * 100)
    yield "parquet within.jsonl.gz", gzip.compress(b"PAR1" + b"\0" * 100)


def pack_stream(pieces: Iterable[bytes], suffix: str) -> bytes:
    """Gzip or zstd of far more than memory should hold at once."""
    packer = zstandard.ZstdCompressor(3).compressobj() if suffix.endswith(".zst") else zlib.compressobj(9, wbits=31)
    return b"".join([*map(packer.compress, pieces), packer.flush()])
