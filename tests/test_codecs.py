"""Codecs: sizes that a decoder confirms, whatever the chunks."""

from __future__ import annotations

import lzma
import random
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.codecs import LEVELS, Codec, CodecName

CODECS = [Codec("zlib"), Codec("zlib", 1), Codec("zstd", 3), Codec("zstd", 9), Codec("lzma", 1)]
DECODERS = {
    "zlib": zlib.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    "lzma": lzma.decompress,
}


def label(codec: Codec) -> str:
    return f"{codec.name}-{codec.level}"


def noise(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length)


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS, ids=label)
@settings(max_examples=30, deadline=None)
@given(chunks=st.lists(st.binary(max_size=200) | st.sampled_from([b"abc" * 100, b"user: hello\n"]), max_size=8))
def test_the_stream_decodes_to_the_chunks_and_has_the_size_that_is_told(codec: Codec, chunks: list[bytes]) -> None:
    stream = codec.stream()
    compressed = b"".join([*map(stream.compress, chunks), stream.flush()])
    assert DECODERS[codec.name](compressed) == b"".join(chunks)
    assert codec.sizes(iter(chunks)) == (len(b"".join(chunks)), len(compressed))


@pytest.mark.parametrize("codec", CODECS, ids=label)
def test_how_the_text_is_cut_into_chunks_does_not_matter(codec: Codec) -> None:
    words = random.Random(3).choices([noise(n, 5).hex().encode() for n in range(500)], k=30_000)
    text = b" ".join(words)
    sizes = {
        codec.sizes(text[i : i + step] for i in range(0, len(text), step)) for step in (101, 4096, 70_000, len(text))
    }
    assert len(sizes) == 1


def test_the_ratio_is_raw_over_compressed_bytes() -> None:
    text = b"a" * 1000
    assert Codec("zlib").ratio([text]) == 1000 / len(zlib.compress(text, 9))
    assert Codec("lzma", 6).ratio([text]) == 1000 / len(lzma.compress(text, preset=6))


@pytest.mark.parametrize("codec", CODECS, ids=label)
def test_no_bytes_have_the_ratio_one(codec: Codec) -> None:
    assert codec.ratio([]) == codec.ratio([b""]) == 1.0


def test_only_the_long_window_sees_a_far_copy() -> None:
    # 1 MiB of noise twice: far outside DEFLATE's 32 KiB, well inside 128 MiB.
    text = noise(1, 2**20)
    assert Codec("zlib").ratio([text, text]) < 1.01
    assert Codec("zstd", 3).ratio([text, text]) > 1.9
    assert Codec("zstd", 3, window_log=15).ratio([text, text]) < 1.01


def test_memory_does_not_grow_with_the_text() -> None:
    chunk = noise(2, 2**16)
    tracemalloc.start()
    try:
        Codec("zlib").sizes(chunk for _ in range(300))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2e6  # of 20 MB


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "gzip"}, "unknown codec 'gzip'; known are zlib, zstd, lzma"),
        ({"name": "zlib", "level": 10}, "zlib has levels 0 to 9, not 10"),
        ({"name": "zlib", "level": -1}, "zlib has levels 0 to 9, not -1"),
        ({"name": "zstd", "level": 23}, "zstd has levels 1 to 22, not 23"),
        ({"name": "lzma", "level": 10}, "lzma has levels 0 to 9, not 10"),
        ({"name": "zstd", "window_log": 9}, "window_log must lie between 10 and 31, not 9"),
    ],
)
def test_a_codec_that_does_not_exist_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Codec(**wrong)


@pytest.mark.parametrize(("name", "level"), [(name, levels[end]) for name, levels in LEVELS.items() for end in (0, -1)])
def test_the_extreme_levels_exist(name: CodecName, level: int) -> None:
    assert Codec(name, level, window_log=20).sizes([b"abc"])[0] == 3
