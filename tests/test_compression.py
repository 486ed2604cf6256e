"""R over both windows against the codecs applied to the whole text at once."""

import zlib

import numpy
import pytest

from corpus.codecs import Codec
from corpus.records import Conversation, Message, Record, canonical_text
from monitor.compression import MAX_SOURCES, OTHER_SOURCES, CompressionParams, profile_compression

Rows = list[tuple[Record, str]]
PARAMS = CompressionParams()


def whole_text(records: list[Record]) -> bytes:
    return "".join(canonical_text(record) for record in records).encode()


def from_source(source: str, text: str = "Hello!") -> Conversation:
    return Conversation((Message("user", "Hi"), Message("assistant", text)), source)


def test_r_is_the_raw_size_over_the_size_that_zlib_writes(chats: Rows) -> None:
    records = [record for record, _ in chats[:200]]
    text = whole_text(records)
    profile = profile_compression(records, PARAMS)
    assert (profile.rows, profile.raw_bytes) == (200, len(text))
    assert profile.r == len(text) / len(zlib.compress(text, 9))
    # Row by row or in one piece, the long-window codec sees one stream; its blocks may end elsewhere.
    assert profile.r_long == pytest.approx(Codec("zstd", 9).ratio([text]), rel=0.005)


def test_duplicating_a_version_raises_its_long_window_ratio_and_not_its_32_kib_ratio(chats: Rows) -> None:
    records = [record for record, _ in chats[:300]]
    assert len(whole_text(records)) > 4 * 32 * 1024
    once, twice = profile_compression(records, PARAMS), profile_compression(records * 2, PARAMS)
    assert twice.r_long > 1.9 * once.r_long
    assert twice.r == pytest.approx(once.r, rel=0.005)


def test_copies_side_by_side_raise_both_ratios(chats: Rows) -> None:
    records = [record for record, _ in chats[:100]]
    once = profile_compression(records, PARAMS)
    doubled = profile_compression([record for record in records for _ in range(2)], PARAMS)
    assert doubled.r > 1.8 * once.r
    assert doubled.r_long > 1.8 * once.r_long


def test_a_10_percent_update_of_fresh_rows_moves_no_ratio_by_more_than_1_percent(chats: Rows) -> None:
    records = [record for record, _ in chats]
    before, after = (profile_compression(rows, PARAMS) for rows in (records[:800], records[80:880]))
    assert after.r == pytest.approx(before.r, rel=0.01)
    assert after.r_long == pytest.approx(before.r_long, rel=0.01)


def test_each_source_is_measured_as_if_it_were_alone() -> None:
    rng = numpy.random.default_rng(0)
    noisy = [from_source("noisy", rng.bytes(300).hex()) for _ in range(40)]
    same = [from_source("same") for _ in range(40)]
    interleaved = [record for pair in zip(noisy, same, strict=True) for record in pair]
    profile = profile_compression(interleaved, PARAMS)
    for name, records in (("noisy", noisy), ("same", same)):
        alone = profile_compression(records, PARAMS)
        measured = profile.sources[name]
        assert (measured.rows, measured.raw_bytes, measured.r) == (alone.rows, alone.raw_bytes, alone.r)
    assert profile.sources["same"].r > 10 > 3 > profile.sources["noisy"].r


def test_a_single_source_is_not_repeated_and_more_than_eight_share_an_entry() -> None:
    assert profile_compression([from_source("only")] * 3, PARAMS).sources == {}
    many = profile_compression([from_source(f"s{i % 12:02d}") for i in range(36)], PARAMS)
    assert len(many.sources) == MAX_SOURCES + 1
    assert many.sources[OTHER_SOURCES].rows == 3 * (12 - MAX_SOURCES)
    assert sum(source.raw_bytes for source in many.sources.values()) == many.raw_bytes


def test_no_rows_at_all_have_the_ratio_1() -> None:
    profile = profile_compression([], PARAMS)
    assert (profile.rows, profile.raw_bytes, profile.r, profile.r_long) == (0, 0, 1.0, 1.0)


@pytest.mark.parametrize("change", [{"level": 0}, {"level": 10}, {"long_level": 23}, {"long_window_log": 31}])
def test_levels_and_windows_that_do_not_exist_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="level must be 1-9"):
        CompressionParams(**change)
