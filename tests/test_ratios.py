"""R and long R by threads against the codecs used plainly."""

from __future__ import annotations

import zlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.codecs import Codec
from corpus.records import Conversation, Message, canonical_text
from monitor.measures.compression import CompressionParams, profile_compression
from selection.ratios import measure_ratios


def words(seed: int, size: int) -> bytes:
    random = Random(seed)
    vocabulary = ["".join(random.choices("abcdefghij", k=random.randrange(2, 9))) for _ in range(500)]
    return " ".join(random.choices(vocabulary, k=size // 5)).encode()[:size]


@given(st.lists(st.binary(max_size=300), max_size=30))
def test_both_are_those_of_one_stream_over_all_texts(texts: list[bytes]) -> None:
    expected = Codec("zlib").ratio(texts), Codec("zstd").ratio(texts)
    assert measure_ratios(iter(texts)) == expected


def shrink(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    for name, value in {"ONE_STREAM_BYTES": 50_000, "PART_BYTES": 40_000, "PIECE_BYTES": 16_384}.items():
        monkeypatch.setattr(f"{module}.{name}", value)


def test_after_the_first_stream_r_is_that_of_parts_that_know_the_window_before_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shrink(monkeypatch, "selection.ratios")
    texts = [words(seed, 100 + 37 * seed % 9_000) for seed in range(60)] + [words(99, 130_000)]
    whole = b"".join(texts)
    size = len(zlib.compress(whole[:50_000], 9))
    for start in range(50_000, len(whole), 40_000):
        part = zlib.compressobj(9, wbits=-15, zdict=whole[start - 32_768 : start])
        size += len(part.compress(whole[start : start + 40_000]) + part.flush())
    r, r_long = measure_ratios(texts)
    assert r == len(whole) / size
    assert r_long == pytest.approx(Codec("zstd").ratio([whole]), rel=1e-3)


def test_r_is_that_of_the_stage_compression(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, "selection.ratios")
    shrink(monkeypatch, "monitor.measures.compression")
    records = [Conversation((Message("user", words(seed, 3_000).decode()),)) for seed in range(80)]
    profile = profile_compression(records, CompressionParams())
    r, _ = measure_ratios(canonical_text(record).encode() for record in records)
    assert r == profile.r
