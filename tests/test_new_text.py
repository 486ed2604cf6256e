"""How much new text rows bring, against the codec applied to all texts at once."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from random import Random

import pytest
import zstandard

from corpus.records import Conversation, HashedRecord, Message, canonical_text
from monitor.measures.compression import CompressionParams
from monitor.measures.new_text import measure_new_text

# A window of 128 KiB.
SMALL = CompressionParams(long_window_log=17)


def row(seed: int, characters: int = 3000) -> HashedRecord:
    record = Conversation((Message("user", "?"), Message("assistant", Random(seed).randbytes(characters // 2).hex())))
    return HashedRecord(record, f"{seed:032x}")


def measure_at_once(rows: Sequence[HashedRecord], kept: Sequence[bool], params: CompressionParams) -> int:
    """The bytes of the other rows behind all kept ones."""
    old, new = (
        [canonical_text(item.record).encode() for item, flag in zip(rows, kept, strict=True) if flag is wanted]
        for wanted in (True, False)
    )
    stream = params.long_codec().stream()
    for text in old:
        stream.compress(text)
    stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)  # type: ignore[call-arg]
    return sum(len(stream.compress(text)) for text in new) + len(stream.flush())


@pytest.mark.parametrize("params", [CompressionParams(), CompressionParams(long_level=9)])
def test_within_the_window_the_bytes_are_those_of_one_stream(
    chats: list[HashedRecord], params: CompressionParams
) -> None:
    rows = chats[:300]
    kept = [i % 7 not in (2, 3) for i in range(300)]
    text = measure_new_text(rows, kept, params)
    assert text is not None and text.new_bytes == measure_at_once(rows, kept, params)


def test_kept_text_beyond_the_window_is_not_read_and_that_changes_almost_nothing() -> None:
    # Half of the added rows are copies: of rows out of reach, of the last ones, or of each other.
    rows = [row(i) for i in range(150)] + [row(i) for i in (1, 2, 130, 131, 140, 149, 200, 201, 202, 203, 203, 204)]
    kept = [i < 150 for i in range(len(rows))]
    text = measure_new_text(rows, kept, SMALL)
    assert text is not None
    assert text.new_bytes == pytest.approx(measure_at_once(rows, kept, SMALL), rel=5e-3)
    other = [row(1000 + i) if i < 80 else item for i, item in enumerate(rows)]
    assert measure_new_text(other, kept, SMALL) == text


def test_no_added_rows_have_no_text() -> None:
    assert measure_new_text([row(0)], [True], SMALL) is None
    assert measure_new_text([], [], SMALL) is None


def test_a_flag_for_each_row_is_asked_for() -> None:
    with pytest.raises(ValueError, match="2 records, and 1 flags"):
        measure_new_text([row(0), row(1)], [False], SMALL)


def test_no_text_is_held() -> None:
    class Made(Sequence[HashedRecord]):  # type: ignore[misc]
        def __len__(self) -> int:
            return 200

        def __getitem__(self, index: int) -> HashedRecord:  # type: ignore[override]
            return row(index, 100_000)

        def __iter__(self) -> Iterator[HashedRecord]:
            return (self[i] for i in range(len(self)))

    tracemalloc.start()
    try:
        text = measure_new_text(Made(), [i % 4 > 0 for i in range(200)], SMALL)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert text is not None and text.raw_bytes > 5e6
    assert peak < 2e6
