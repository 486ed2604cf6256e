"""The speed of `entropylaw compress` beside that of its codecs alone, on real conversations (chitchat-dataset).

    python -m benchmarks.compression_speed                     # a file of 1 GB: about eight minutes on two cores
    python -m benchmarks.compression_speed --megabytes 100     # one minute

A prepared file is measured twice: with all rows from one source, and with rows from two sources in turn. The command
is timed from its start to its exit, with Python, reading and parsing. It is compared with the codecs alone: the same
text, in memory and joined, goes through the same streams (zlib and zstd of the whole, and of each source where there
are two), each in a thread of its own. The codecs cannot be faster than their longest stream, nor than their CPU seconds
divided by the cores; this bound is printed too. A run on half of the file shows whether memory grows with the file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psutil

from corpus.codecs import Codec
from corpus.formats import read_records
from corpus.prepare import to_row
from corpus.records import Conversation, Message, Role, canonical_text, content_hash
from entropylaw.demo.chitchat import load_chat_logs, to_conversation
from monitor.measures.compression import CompressionParams
from selection.engines import count_cores

# The text of all conversations is mixed in phrases of so many words: no copy is longer, and both ratios are near those
# of the conversations themselves.
PHRASE_WORDS = 4
# Bytes that a codec is given at once.
PIECE_BYTES = 2**20
SOURCES = ("first", "second")


def write_file(path: Path, megabytes: int, sources: Sequence[str], seed: int = 0) -> None:
    """Write prepared rows with turns like those of real conversations, made of phrases from all of them."""
    random = Random(seed)
    roles: dict[str, Role] = {"human": "user", "gpt": "assistant"}
    chats = [to_conversation(log)["conversations"] for log in load_chat_logs()]
    words = [word for chat in chats for turn in chat for word in turn["value"].split()]
    phrases = [" ".join(words[i : i + PHRASE_WORDS]) for i in range(0, len(words), PHRASE_WORDS)]
    shapes = [
        [(roles[turn["from"]], -(-len(turn["value"].split()) // PHRASE_WORDS)) for turn in chat] for chat in chats
    ]
    size = row = 0
    with path.open("wb") as handle:
        while size < megabytes * 10**6:
            messages = [Message(role, " ".join(random.choices(phrases, k=k))) for role, k in random.choice(shapes)]
            record = Conversation(tuple(messages), sources[row % len(sources)], row + 1)
            line = json.dumps(to_row(record, content_hash(record)), ensure_ascii=False).encode() + b"\n"
            handle.write(line)
            size, row = size + len(line), row + 1


def halve_file(path: Path) -> None:
    """Cut a file off at the first line break after its middle."""
    with path.open("rb+") as handle:
        handle.seek(path.stat().st_size // 2)
        handle.readline()
        handle.truncate()


@dataclass(frozen=True)
class Run:
    """One run of the command: its time, its largest memory, and what it printed."""

    seconds: float
    peak_bytes: int
    result: dict[str, Any]


def run_command(path: Path) -> Run:
    """Run `entropylaw compress FILE --json` in a process of its own, whose memory is read ten times a second."""
    command = [str(Path(sys.executable).parent / "entropylaw"), "compress", str(path), "--json"]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=path.parent)
    watched, peak = psutil.Process(process.pid), 0
    while True:
        try:
            process.wait(0.1)
            break
        except subprocess.TimeoutExpired:
            peak = max(peak, watched.memory_info().rss)
    seconds = time.perf_counter() - start
    output = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    return Run(seconds, peak, json.loads(output))


@dataclass(frozen=True)
class CodecsAlone:
    """A run of the codecs: ``seconds`` of all streams at once, ``cpu_seconds`` of each, R and long R of each text."""

    seconds: float
    cpu_seconds: list[float]
    ratios: list[float]

    @property
    def bound_seconds(self) -> float:
        """The shortest time in which this machine could run all streams."""
        return max(max(self.cpu_seconds), sum(self.cpu_seconds) / count_cores())


def run_codecs(path: Path) -> CodecsAlone:
    """Compress the text of a file by the codecs alone."""
    texts = list(join_texts(path))
    params = CompressionParams()
    jobs = [(codec, text) for text in texts for codec in (params.codec(), params.long_codec())]
    with ThreadPoolExecutor(len(jobs)) as threads:
        start = time.perf_counter()
        done = list(threads.map(lambda job: compress_alone(*job), jobs))
        seconds = time.perf_counter() - start
    return CodecsAlone(seconds, [spent for spent, _ in done], [ratio for _, ratio in done])


def join_texts(path: Path) -> Iterator[bytes]:
    """The text of the whole file, then that of each source where there are several."""
    texts = [(record.source, canonical_text(record).encode()) for record in read_records(path)]
    yield b"".join(text for _, text in texts)
    sources = sorted({source for source, _ in texts})
    if len(sources) > 1:
        for name in sources:
            yield b"".join(text for source, text in texts if source == name)


def compress_alone(codec: Codec, text: bytes) -> tuple[float, float]:
    """Compress a text; the CPU seconds of this thread, and the ratio."""
    start = time.thread_time()
    pieces = memoryview(text)
    stream = codec.stream()
    written = sum(len(stream.compress(pieces[i : i + PIECE_BYTES])) for i in range(0, len(text), PIECE_BYTES))
    written += len(stream.flush())
    return time.thread_time() - start, len(text) / written


def measure(path: Path, megabytes: int, sources: Sequence[str]) -> None:
    """Measure command and codecs on a file at ``path``, and print how they compare."""
    write_file(path, megabytes, sources)
    command = run_command(path)
    alone = run_codecs(path)
    profile = command.result
    measured = [profile, *(profile["sources"][name] for name in sorted(profile["sources"]))]
    expected = [value for entry in measured for value in (entry["r"], entry["r_long"])]
    # Results are written with nine digits.
    if any(abs(a / b - 1) > 1e-8 for a, b in zip(alone.ratios, expected, strict=True)):
        raise SystemExit(f"other ratios: {alone.ratios}, the command says {expected}")
    halve_file(path)
    half = run_command(path)
    raw = profile["raw_bytes"] / 1e6
    print(f"{len(sources)} source{'s' * (len(sources) > 1)}, {profile['rows']:,} rows, {raw:,.0f} MB of text: ", end="")
    print(f"R {profile['r']:.3f}, long R {profile['r_long']:.3f}")
    print(f"  the command: {command.seconds:.1f} s, {raw / command.seconds:.1f} MB/s")
    streams, cores, bound = len(alone.cpu_seconds), count_cores(), alone.bound_seconds
    print(f"  {streams} streams of the codecs alone: {alone.seconds:.1f} s; on {cores} cores at best {bound:.1f} s")
    share, strict = alone.seconds / command.seconds, bound / command.seconds
    print(f"  the command reaches {share:.0%} of their speed, {strict:.0%} of the best possible")
    peaks = f"{command.peak_bytes / 1e6:.0f} MB; for half of the file {half.peak_bytes / 1e6:.0f} MB"
    print(f"  memory: {peaks}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for count in (1, 2):
            measure(Path(folder) / "chats.jsonl", options.megabytes, SOURCES[:count])


if __name__ == "__main__":
    main()
