"""The speed of ZIP's selection and how many copies it avoids, on real conversations (chitchat-dataset).

    python -m benchmarks.zip_speed                # about five minutes on two cores
    python -m benchmarks.zip_speed --plain        # only the comparison with a plain program: two minutes
    python -m benchmarks.zip_speed --large        # 300,000 rows of 4 KB to 10,000, both windows: about twenty minutes

Prints one line per figure and draws benchmarks/zip_speed.png. Each speed-up compares two programs within one run; the
seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import psutil

from corpus.records import Conversation, Message, canonical_text
from selection.budget import Budget
from selection.engines import count_cores
from selection.redundancy import DeflateState, StateKind
from selection.stored_texts import StoredTexts
from selection.zip_greedy import Selection, ZipParams, select_zip

PLOT = Path(__file__).with_suffix(".png")


def read_conversations() -> list[bytes]:
    """The canonical texts of all conversations with two or more turns, about 12 MB in all."""
    import chitchat_dataset  # here, so that no worker loads it

    texts = []
    for conversation in chitchat_dataset.Dataset().values():
        turns = [" ".join(message["text"] for message in turn).strip() for turn in conversation["messages"]]
        messages = [Message(("user", "assistant")[i % 2], turn) for i, turn in enumerate(t for t in turns if t)]
        if len(messages) > 1:
            texts.append(canonical_text(Conversation(tuple(messages))).encode())
    return texts


def recut(
    conversations: list[bytes], rows: int, seed: int = 0, sizes: tuple[int, int] = (1_000, 7_000)
) -> Iterator[bytes]:
    """Rows made of turns drawn from all conversations; by default they have 1 to 7 KB, 4 KB on average."""
    random = Random(seed)
    turns = [turn + b"\n" for text in conversations for turn in text.splitlines() if turn]
    for _ in range(rows):
        size = random.randrange(*sizes)
        row = bytearray()
        while len(row) < size:
            row += random.choice(turns)
        yield bytes(row)


# --- a plain program that follows Algorithm 1 and recompresses the set for every candidate -------------------------


def _plain_ratio(part: tuple[bytes, bytes]) -> float:
    whole = b"".join(part)
    return len(whole) / len(zlib.compress(whole, 9))


def select_plainly(pool: list[bytes], budget: int, k1: int, k2: int, k3: int, workers: int) -> list[tuple[int, float]]:
    """The chosen rows, each with the seconds at which its round was over."""
    start = time.perf_counter()
    chosen: list[tuple[int, float]] = []
    merged = b""
    with multiprocessing.get_context("spawn").Pool(workers) as processes:

        def ratios(members: bytes, rows: list[int]) -> list[float]:
            return processes.map(_plain_ratio, [(members, pool[row]) for row in rows], chunksize=25)

        state = ratios(b"", list(range(len(pool))))
        left = list(range(len(pool)))
        while len(chosen) < budget:
            first = sorted(sorted(left, key=state.__getitem__)[:k1])
            for row, value in zip(first, ratios(merged, first), strict=True):
                state[row] = value
            second = sorted(sorted(first, key=state.__getitem__)[:k2])
            local, third = b"", []
            while len(third) < k3:
                values = ratios(local, second)
                best = second.pop(values.index(min(values)))
                third.append(best)
                local += pool[best]
            merged += local
            left = [row for row in left if row not in third]
            chosen += [(row, time.perf_counter() - start) for row in third]
    return chosen[:budget]


def compare_with_plain_program(conversations: list[bytes], workers: int) -> None:
    """Print the speed-up over the plain program, and whether both select the same rows."""
    pool = list(recut(conversations, 4_000, seed=1))
    sizes = {"k1": 1_000, "k2": 100, "k3": 50}
    print(f"Against a plain program: 4,000 rows of 4 KB, K 1000/100/50, {workers} workers each")
    plain = select_plainly(pool, 300, **sizes, workers=workers)
    for budget in (100, 200, 300):
        seconds, selection = timed(
            lambda n=budget: select_zip(pool, Budget(rows=n), ZipParams(**sizes), workers=workers)
        )
        same = list(selection.indices) == [row for row, _ in plain[:budget]]
        plain_seconds = plain[budget - 1][1]
        print(
            f"  {budget} rows: plain {plain_seconds:.1f} s, incremental {seconds:.2f} s, "
            f"{plain_seconds / seconds:.0f} times as fast; identical rows in identical order: {same}"
        )


def timed(run: Callable[[], Selection]) -> tuple[float, Selection]:
    start = time.perf_counter()
    selection = run()
    return time.perf_counter() - start, selection


# --- growth --------------------------------------------------------------------------------------------------------


def measure_growth(conversations: list[bytes], workers: int) -> None:
    """Print and draw how the time grows with the budget and with K1."""
    # Rows of one length: short rows have the lower ratios, so a larger K1 would also mean longer rows.
    pool = list(recut(conversations, 6_000, seed=2, sizes=(4_000, 4_001)))
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {"budget, rows": {}, "K1": {}}
    for window in ("codec", "global"):
        for label, values in (("budget, rows", (200, 400, 800, 1_600)), ("K1", (500, 1_000, 2_000, 4_000))):
            points = []
            for value in values:
                rows, k1 = (value, 2_000) if label != "K1" else (200, value)
                params = ZipParams(k1=k1, k2=100, k3=50, window=window)  # type: ignore[arg-type]
                selection = select_zip(pool, Budget(rows=rows), params, workers=workers)
                # Reading and scoring the pool once does not depend on either.
                stages = ("coarse", "fine") if label != "K1" else ("coarse",)
                points.append((value, sum(selection.seconds[stage] for stage in stages)))
            curves[label][window] = points
            line = ", ".join(f"{value}: {seconds:.2f} s" for value, seconds in points)
            exponent = np.polyfit(*np.log(np.array(points)).T, 1)[0]
            print(f"  window {window}, {label}: {line}; grows as its power {exponent:.2f}")
    draw(curves)


def draw(curves: dict[str, dict[str, list[tuple[int, float]]]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for axis, (label, windows) in zip(axes, curves.items(), strict=True):
        for window, points in windows.items():
            axis.plot(*zip(*points, strict=True), marker="o", label=f"window {window}")
        axis.set(xlabel=label, ylabel="seconds", xlim=(0, None), ylim=(0, None))
    axes[0].set_title("all rounds, K 2000/100/50")
    axes[1].set_title("coarse stage, 200 rows")
    axes[0].legend()
    figure.savefig(PLOT, dpi=120)
    print(f"  drawn: {PLOT.name}")


# --- throughput ----------------------------------------------------------------------------------------------------


def measure_throughput(conversations: list[bytes]) -> None:
    """Compare the speed of scoring with a bare compressor that has read the same bytes and compresses the same rows."""
    import zstandard

    rows = list(recut(conversations, 600, seed=3))
    members, candidates = rows[:400], rows[400:]
    merged = b"".join(members)
    dictionary = zstandard.ZstdCompressionDict(merged, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    dictionary.precompute_compress(level=7)
    bare_zstd = zstandard.ZstdCompressor(dict_data=dictionary, level=7)
    zstd_state = StateKind("zstd", 7, "global").start()
    for member in members:
        zstd_state.add(member)
    report_throughput("zstd 7, the whole set", candidates, [(zstd_state.size_with, bare_zstd.compress)])

    pairs, copied = [], []
    for count in range(20, 400, 19):
        # The cost of DEFLATE depends on how full its last block is, so the states differ in that.
        counting, copying = StateKind("zlib", 9).start(), DeflateState(9)
        for member in members[:count]:
            counting.add(member)
            copying.add(member)
        bare = _primed_zlib(b"".join(members[:count])[-32_768:])
        pairs.append((counting.size_with, bare))
        copied.append((copying.size_with, bare))
    report_throughput("zlib 9, 32 KiB window", candidates[:40], pairs)
    report_throughput("the same through copies of zlib's own state", candidates[:40], copied)


def _primed_zlib(window: bytes) -> Callable[[bytes], int]:
    def size(row: bytes) -> int:
        compressor = zlib.compressobj(9, zdict=window)
        return len(compressor.compress(row)) + len(compressor.flush())

    return size


def report_throughput(
    name: str, candidates: list[bytes], pairs: list[tuple[Callable[[bytes], object], Callable[[bytes], object]]]
) -> None:
    seconds = [0.0, 0.0]
    for pair in pairs:
        for which, size in enumerate(pair):
            best = min(_cpu_seconds(size, candidates) for _ in range(3))
            seconds[which] += best
    megabytes = sum(map(len, candidates)) * len(pairs) / 1e6
    scoring, bare = (megabytes / each for each in seconds)
    print(f"  {name}: scoring {scoring:.1f} MB/s a core, the codec alone {bare:.1f} MB/s: {scoring / bare:.0%}")


def _cpu_seconds(size: Callable[[bytes], object], candidates: list[bytes]) -> float:
    start = time.process_time()
    for candidate in candidates:
        size(candidate)
    return time.process_time() - start


# --- copies --------------------------------------------------------------------------------------------------------


def count_copies(conversations: list[bytes], workers: int) -> None:
    """Select 1,000 rows of a pool in which 27% of the rows repeat another one, exactly or except for one word."""
    originals = list(recut(conversations, 4_000, seed=4))
    random = Random(5)
    repeated = random.sample(range(len(originals)), 1_480)
    for name, change in (("exact", lambda text: text), ("near", lambda text: _change_word(text, random))):
        pool = [(row, text) for row, text in enumerate(originals)]
        pool += [(row, change(originals[row])) for row in repeated]
        random.shuffle(pool)
        for window in ("codec", "global"):
            params = ZipParams(k1=2_000, k2=200, k3=100, window=window)  # type: ignore[arg-type]
            chosen = select_zip((text for _, text in pool), Budget(rows=1_000), params, workers=workers).indices
            copies = len(chosen) - len({pool[index][0] for index in chosen})
            print(f"  {name} copies, window {window}: {copies} of 1,000 chosen rows repeat another chosen row")


def _change_word(text: bytes, random: Random) -> bytes:
    words = text.split(b" ")
    words[random.randrange(1, len(words))] = b"changed"
    return b" ".join(words)


# --- the paper's size ----------------------------------------------------------------------------------------------


def select_large(conversations: list[bytes], rows: int, budget: int, workers: int) -> None:
    """Print time and memory of a selection at the paper's size, of texts that lie in a file as a command's do."""
    texts = StoredTexts()
    for text in recut(conversations, rows, seed=6):
        texts.append(text)
    pool_bytes = sum(map(len, texts))
    for window in ("global", "codec"):
        before = time.process_time()
        with MemoryWatch() as watch:
            seconds, selection = timed(
                lambda window=window: select_zip(texts, Budget(rows=budget), ZipParams(window=window), workers=workers)
            )
        cpu_seconds = (time.process_time() - before) / workers
        stages = ", ".join(f"{stage} {spent:.0f} s" for stage, spent in selection.seconds.items())
        print(
            f"  window {window}: {seconds / 60:.1f} min, {workers} workers of {cpu_seconds:.0f} CPU s ({stages}); "
            f"memory {watch.peak_bytes / 1e9:.2f} GB = {watch.peak_bytes / pool_bytes:.2f} x the pool's bytes",
            flush=True,
        )


class MemoryWatch:
    """Watches the memory of this process and its children; pages that they share are counted once."""

    def __enter__(self) -> MemoryWatch:
        self.peak_bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        own = psutil.Process()
        while not self._over.wait(0.5):
            total = 0
            for process in [own, *own.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    total += process.memory_full_info().pss
            self.peak_bytes = max(self.peak_bytes, total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help="only the run at the paper's size")
    parser.add_argument("--plain", action="store_true", help="only the comparison with a plain program")
    parser.add_argument("--large-rows", type=int, default=300_000, help="rows of the large pool")
    parser.add_argument("--large-budget", type=int, default=10_000, help="rows to select of the large pool")
    parser.add_argument("--workers", type=int, default=count_cores())
    options = parser.parse_args()
    conversations = read_conversations()
    if options.large:
        print(f"{options.large_rows} rows of 4 KB to {options.large_budget}, K 10000/200/100")
        select_large(conversations, options.large_rows, options.large_budget, options.workers)
        return
    compare_with_plain_program(conversations, options.workers)
    if options.plain:
        return
    print(f"Growth, 6,000 rows of 4 KB, {options.workers} workers")
    measure_growth(conversations, options.workers)
    print("Throughput of scoring, CPU seconds of one core")
    measure_throughput(conversations)
    print("Copies among the chosen rows; 27% of the pool are copies")
    count_copies(conversations, options.workers)


if __name__ == "__main__":
    main()
