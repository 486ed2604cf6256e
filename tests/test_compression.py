"""R over both windows against the codecs applied to the whole text at once."""

import math
import re
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from random import Random

import numpy as np
import psutil
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks import compression_speed, long_window
from corpus.codecs import Codec
from corpus.errors import DataError
from corpus.files import write_rows
from corpus.records import Conversation, HashedRecord, Message, Record, canonical_text
from corpus.workers import EngineName, start_workers
from entropylaw.measure import compress
from monitor.measures import compression, compression_threads
from monitor.measures.compression import (
    MAX_SOURCES,
    OTHER_SOURCES,
    Compressed,
    CompressionParams,
    profile_compression,
    profile_texts,
)
from monitor.measures.compression_threads import CompressionThreads, StreamQueue

Rows = list[HashedRecord]
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
    assert profile.r_long == pytest.approx(PARAMS.long_codec().ratio([text]), rel=0.005)


def test_duplicating_a_version_raises_its_long_window_ratio_and_not_its_32_kib_ratio(chats: Rows) -> None:
    records = [record for record, _ in chats[:1000]]
    assert len(whole_text(records)) > 10 * 32 * 1024
    once, twice = profile_compression(records, PARAMS), profile_compression(records * 2, PARAMS)
    assert twice.r_long > 1.9 * once.r_long
    assert twice.r == pytest.approx(once.r, rel=0.005)


def test_copies_side_by_side_raise_both_ratios(chats: Rows) -> None:
    records = [record for record, _ in chats[:100]]
    once = profile_compression(records, PARAMS)
    doubled = profile_compression([record for record in records for _ in range(2)], PARAMS)
    assert doubled.r > 1.8 * once.r
    assert doubled.r_long > 1.8 * once.r_long


@pytest.mark.slow
def test_a_10_percent_update_of_fresh_rows_moves_no_ratio_by_more_than_1_percent(chats: Rows) -> None:
    records = [record for record, _ in chats]
    before, after = (profile_compression(rows, PARAMS) for rows in (records[:800], records[80:880]))
    assert after.r == pytest.approx(before.r, rel=0.01)
    assert after.r_long == pytest.approx(before.r_long, rel=0.01)


def test_each_source_is_measured_as_if_it_were_alone() -> None:
    rng = np.random.default_rng(0)
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


# --- the streams in their threads

SMALL_WINDOW = CompressionParams(long_level=1, long_window_log=17)
# Text in pieces of a few rows, so that a short version has many of them.
SMALL_PIECES = {"PIECE_BYTES": 64, "HELD_PIECES": 1000}


def measure_row_by_row(records: list[Record], params: CompressionParams) -> Compressed:
    texts = [canonical_text(record).encode() for record in records]
    return Compressed(
        len(texts), sum(map(len, texts)), params.codec().ratio(texts), params.long_codec().ratio(iter(texts))
    )


def noise(seed: int, characters: int = 60_000) -> str:
    return Random(seed).randbytes(characters // 2).hex()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 150), st.integers(0, 3)), max_size=40))
@example([(0, 50, 0)] * 2 + [(1, 50, 1)])  # a second source before the first piece is full
@example([(0, 90, 0)] * 30 + [(1, 50, 1)])  # and after many
@example([(0, 90, i % 4) for i in range(4)] + [(1, 9, 1), (0, 90, 2)] * 9)
def test_every_ratio_is_that_of_its_rows_compressed_one_by_one(rows: list[tuple[int, int, int]]) -> None:
    records: list[Record] = [from_source(f"s{source:02d}", noise(seed, length)) for source, length, seed in rows]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL_PIECES.items():
            patch.setattr(compression, name, value)
        profile = profile_compression(records, SMALL_WINDOW)
    whole = measure_row_by_row(records, SMALL_WINDOW)
    assert Compressed(profile.rows, profile.raw_bytes, profile.r, profile.r_long) == whole
    in_order = list(dict.fromkeys(record.source for record in records))
    groups: dict[str, list[Record]] = {}
    for record in records:
        named = record.source in in_order[:MAX_SOURCES]
        groups.setdefault(record.source if named else OTHER_SOURCES, []).append(record)
    expected = {name: measure_row_by_row(group, SMALL_WINDOW) for name, group in groups.items()}
    assert profile.sources == (expected if len(expected) > 1 else {})


def compress_in_parts(texts: list[bytes], params: CompressionParams, one_stream: int, part: int) -> float:
    """R by its definition: one zlib stream, and behind it parts that know the 32 KiB before them."""
    raw = b"".join(texts)
    size = len(zlib.compress(raw[:one_stream], params.level))
    for start in range(one_stream, len(raw) + 1, part):
        stream = zlib.compressobj(params.level, wbits=-15, zdict=raw[max(0, start - 2**15) : start])
        size += len(stream.compress(raw[start : start + part])) + len(stream.flush())
    return len(raw) / size


WORKERS: list[tuple[EngineName | None, int]] = [(None, 1), (None, 3), ("threads", 1), ("threads", 2)]
SLOW_WORKERS = [pytest.param(engine, 2, marks=pytest.mark.slow) for engine in ("processes", "ray")]


@pytest.mark.parametrize(("engine", "count"), [*WORKERS, *SLOW_WORKERS])
def test_a_large_version_is_compressed_in_parts_that_know_what_is_before_them(
    monkeypatch: pytest.MonkeyPatch, engine: EngineName | None, count: int
) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
    monkeypatch.setattr(compression_threads, "count_cores", lambda: count)
    small = {"PIECE_BYTES": 5_000, "ONE_STREAM_BYTES": 120_000, "PART_BYTES": 50_000}
    for name, value in small.items():
        monkeypatch.setattr(compression, name, value)
    # The second source begins in the third part; texts come again within 32 KiB.
    records = [from_source("first" if i < 80 or i % 2 else "second", noise(i % 7, 3_000)) for i in range(110)]
    texts = [canonical_text(record).encode() for record in records]
    rows = [(record.source, text) for record, text in zip(records, texts, strict=True)]
    with start_workers(engine, count) if engine else nullcontext() as workers:
        profile = profile_texts(rows, SMALL_WINDOW, workers=workers)
    whole = compress_in_parts(texts, SMALL_WINDOW, small["ONE_STREAM_BYTES"], small["PART_BYTES"])
    assert profile.r == pytest.approx(whole, rel=1e-12)
    assert profile.r == pytest.approx(measure_row_by_row(records, SMALL_WINDOW).r, rel=0.05)
    of_first = [text for text, record in zip(texts, records, strict=True) if record.source == "first"]
    first = compress_in_parts(of_first, SMALL_WINDOW, small["ONE_STREAM_BYTES"], small["PART_BYTES"])
    assert profile.sources["first"].r == pytest.approx(first, rel=1e-12)


@pytest.mark.slow
def test_pieces_of_a_mebibyte_change_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "PIECE_BYTES", 2**20)
    # The first source alone for two pieces, then both; one row is longer than a piece.
    lengths = [60_000] * 40 + [2_500_000] + [60_000] * 20
    records = [from_source("first" if i < 40 or i % 2 else "second", noise(i, n)) for i, n in enumerate(lengths)]
    profile = profile_compression(records, PARAMS)
    assert profile.raw_bytes > 5 * compression.PIECE_BYTES
    assert (profile.r, profile.r_long) == measured_ratios(records)
    for name, source in profile.sources.items():
        assert (source.r, source.r_long) == measured_ratios([row for row in records if row.source == name])


def measured_ratios(records: list[Record]) -> tuple[float, float]:
    alone = measure_row_by_row(records, PARAMS)
    return alone.r, alone.r_long


@pytest.mark.slow
@pytest.mark.parametrize("sources", [1, 2])
def test_memory_does_not_grow_with_the_number_of_rows(monkeypatch: pytest.MonkeyPatch, sources: int) -> None:
    monkeypatch.setattr(compression, "PIECE_BYTES", 2**16)
    monkeypatch.setattr(compression, "HELD_PIECES", 8)
    row = noise(1)
    tracemalloc.start()
    try:
        # Repeated rows are read faster than they are compressed.
        profile = profile_compression((from_source(f"s{i % sources}", row) for i in range(300)), SMALL_WINDOW)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert profile.raw_bytes > 18e6
    assert peak < 3e6


def test_a_bad_row_is_raised_as_it_is_and_ends_every_thread() -> None:
    def read_bad_file() -> Iterator[Record]:
        for i in range(80):
            yield from_source(f"s{i % 3}", noise(i))
        raise DataError("data.jsonl", "not JSON", 81)

    before = threading.active_count()
    with pytest.raises(DataError, match=r"^data\.jsonl, line 81: not JSON$"):
        profile_compression(read_bad_file(), PARAMS)
    assert threading.active_count() == before


@pytest.mark.parametrize("thread", ["reader", "assistant"])
def test_a_codec_that_fails_in_any_thread_ends_the_measurement(monkeypatch: pytest.MonkeyPatch, thread: str) -> None:
    failed = threading.Event()

    class NoMemory:
        def compress(self, data: bytes) -> bytes:
            if (threading.current_thread() is threading.main_thread()) == (thread == "reader"):
                failed.set()
                raise MemoryError("cannot allocate")
            assert failed.wait(20)
            return b""

    row, read = from_source("one", noise(1)), []
    monkeypatch.setattr(Codec, "stream", lambda self: NoMemory())
    monkeypatch.setattr(compression_threads, "count_cores", lambda: 2)
    before = threading.active_count()
    with pytest.raises(MemoryError, match="cannot allocate"):
        profile_compression((read.append(i) or row for i in range(1000)), PARAMS)
    assert threading.active_count() == before
    assert len(read) < 500


@pytest.mark.parametrize("cores", [1, 2, 16])
def test_the_number_of_cores_changes_no_ratio(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr(compression_threads, "count_cores", lambda: cores)
    monkeypatch.setattr(compression, "PIECE_BYTES", 5000)
    records = [from_source(f"s{i % 3}", noise(i, 2000)) for i in range(60)]
    profile = profile_compression(records, SMALL_WINDOW)
    assert profile.sources == {
        name: measure_row_by_row([row for row in records if row.source == name], SMALL_WINDOW)
        for name in profile.sources
    }


def test_the_number_of_workers_that_is_asked_for_is_the_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three sources are six streams and more, so no thread is left out for want of work."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compression, "PIECE_BYTES", 5000)
    rows = [{"prompt": f"say {i}", "response": noise(i, 2000), "source": f"s{i % 3}"} for i in range(60)]
    write_rows(tmp_path / "rows.jsonl", rows)
    at_once: list[int] = []
    add = CompressionThreads.add

    def count(self: CompressionThreads, stream: StreamQueue) -> StreamQueue:
        added = add(self, stream)
        at_once.append(1 + len(self._threads))  # the reader compresses too
        return added

    monkeypatch.setattr(CompressionThreads, "add", count)
    results = []
    for workers in (1, 2, 4):
        at_once.clear()
        compress(tmp_path / "rows.jsonl", tmp_path / "out.json", str(workers))
        results.append((tmp_path / "out.json").read_bytes())
        assert max(at_once) == workers
    assert results[0] == results[1] == results[2]


def test_a_single_source_is_compressed_once_by_each_codec_however_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting:
        def compress(self, data: bytes) -> bytes:
            used.add(self)
            return b""

        def flush(self) -> bytes:
            return b"x"

    used: set[Counting] = set()
    monkeypatch.setattr(Codec, "stream", lambda self: Counting())
    monkeypatch.setattr(compression, "PIECE_BYTES", 1024)
    row = from_source("one", "x" * 900)
    profile = profile_compression((row for _ in range(2 * compression.HELD_PIECES)), PARAMS)
    assert profile.r == profile.raw_bytes
    assert len(used) == 2


@pytest.mark.parametrize("cores", [1, 3])
def test_a_second_source_behind_more_text_than_is_held_changes_long_r_by_almost_nothing(
    monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(compression_threads, "count_cores", lambda: cores)
    # A window of 128 KiB; 256 KiB are held.
    for name, value in {"PIECE_BYTES": 2**14, "HELD_PIECES": 16}.items():
        monkeypatch.setattr(compression, name, value)
    # Every fourth text is a copy of one 60 KB before it; the second source begins with the 250th row.
    texts = [noise(i if i % 4 else i - 21, 3_000) for i in range(600)]
    records = [from_source("first" if i < 250 or i % 9 else "second", text) for i, text in enumerate(texts)]
    profile = profile_compression(records, SMALL_WINDOW)
    for name, source in profile.sources.items():
        alone = measure_row_by_row([row for row in records if row.source == name], SMALL_WINDOW)
        assert source.r == alone.r
        assert source.r_long == pytest.approx(alone.r_long, rel=1e-3)
    whole = measure_row_by_row(records, SMALL_WINDOW)
    assert (profile.r, profile.r_long) == (whole.r, whole.r_long)


@pytest.mark.slow
@pytest.mark.parametrize("cores", [1, 2])
def test_memory_does_not_grow_with_the_parts_of_a_large_version(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr(compression_threads, "count_cores", lambda: cores)
    small = {"PIECE_BYTES": 2**16, "HELD_PIECES": 8, "ONE_STREAM_BYTES": 2**20, "PART_BYTES": 2**18}
    for name, value in small.items():
        monkeypatch.setattr(compression, name, value)
    tracemalloc.start()
    try:
        profile = profile_compression((from_source("one", noise(i)) for i in range(300)), SMALL_WINDOW)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert profile.raw_bytes > 18e6
    assert peak < 3e6


@pytest.mark.slow
def test_ctrl_c_stops_the_command_at_once(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    # Some seconds of zlib.
    texts = [noise(seed, 10_000) for seed in range(500)]
    random = Random(0)
    write_rows(data, ({"source": "ab"[i % 2], "prompt": "?", "completion": random.choice(texts)} for i in range(5_000)))
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "entropylaw"), "compress", str(data), "--out", str(tmp_path / "r.json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        # Tests that run in the background are started with the signal ignored, which a program inherits.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        watched, end = psutil.Process(process.pid), time.monotonic() + 60
        # Python and the imports take a quarter of it.
        while sum(watched.cpu_times()[:2]) < 1 and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, stdout, stderr) == (130, "", "entropylaw: stopped\n")
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


@pytest.mark.slow
def test_the_benchmark_measures_the_ratio_that_the_command_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compression_speed.measure(tmp_path / "chats.jsonl", 2, ["first", "second"], half=True)
    printed = capsys.readouterr().out
    # The command writes nine digits.
    assert "2 sources" in printed and re.search(r"its R differs by [0-9]e(-09|-1[0-9]|\+00)", printed)
    assert 1e6 < (tmp_path / "chats.jsonl").stat().st_size < 1.5e6  # the half that was measured last


@pytest.mark.slow
def test_the_benchmark_of_levels_knows_far_copies(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(long_window, "SETTINGS", [{"level": 3, "enable_ldm": True}])
    monkeypatch.setattr("sys.argv", ["long_window", "--megabytes", "2"])
    long_window.main()
    changes = [float(value) for value in re.findall(r"far \+([0-9.]+)", capsys.readouterr().out)]
    assert len(changes) == 3
    assert all(0.07 < change < -math.log(0.9) for change in changes)
