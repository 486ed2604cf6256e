"""The speed of `entropylaw compress` beside that of zlib alone on one core, on real conversations (chitchat-dataset).

    python -m benchmarks.compression_speed                      # 102 MB and 2 GB of text: ten minutes on two cores
    python -m benchmarks.compression_speed --megabytes 102      # the first of them: half a minute
    python -m benchmarks.compression_speed --megabytes 102 --sources 2

The command measures R and long R of a prepared file. It is timed from its start to its exit, with Python, reading and
parsing. zlib alone gets the same text, made before, piece by piece, and only its own time counts. Wall times say what
a person waits for, on a machine with nothing else to do; CPU seconds say it on a busy one: at best the command takes
its own CPU seconds divided by the cores. Neither program holds the text. `--half` also runs the command on half of the
file, which shows whether its memory grows with the file.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psutil

from corpus.cores import count_cores
from corpus.prepared_rows import write_row
from corpus.prepared_texts import read_prepared_texts
from corpus.records import Conversation, Message, Role, canonical_text, content_hash
from entropylaw.demo.chitchat import load_chat_logs, to_conversation
from monitor.measures.compression import CompressionParams

# The text of all conversations is mixed in phrases of so many words: no copy is longer, and both ratios are near those
# of the conversations themselves.
PHRASE_WORDS = 4
# Bytes that a codec is given at once.
PIECE_BYTES = 2**20
SOURCES = ("first", "second")
# MB of text: what the paper's smaller sets have, and a large set.
SIZES = (102, 2000)


def write_file(path: Path, megabytes: int, sources: Sequence[str], seed: int = 0) -> None:
    """Write prepared rows with turns like those of real conversations, made of phrases from all of them.

    ``megabytes``: of their text.
    """
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
            handle.write(write_row(record, content_hash(record)).encode())
            size, row = size + len(canonical_text(record).encode()), row + 1


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
    cpu_seconds: float
    peak_bytes: int
    result: dict[str, Any]


def run_command(path: Path) -> Run:
    """Run `entropylaw compress FILE --json` in a process of its own, whose memory is read ten times a second."""
    command = [str(Path(sys.executable).parent / "entropylaw"), "compress", str(path), "--json"]
    start, cpu_start = time.perf_counter(), _children_cpu()
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
    return Run(seconds, _children_cpu() - cpu_start, peak, json.loads(output))


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@dataclass(frozen=True)
class ZlibAlone:
    """zlib's own time for a text as one stream, on one core, and R."""

    seconds: float
    cpu_seconds: float
    r: float


def run_zlib(path: Path) -> ZlibAlone:
    """Compress the text of a prepared file by zlib alone."""
    stream = CompressionParams().codec().stream()
    seconds = cpu_seconds = 0.0
    raw = written = 0
    for piece in read_pieces(path):
        start, cpu_start = time.perf_counter(), time.thread_time()
        written += len(stream.compress(piece))
        seconds, cpu_seconds = seconds + time.perf_counter() - start, cpu_seconds + time.thread_time() - cpu_start
        raw += len(piece)
    return ZlibAlone(seconds, cpu_seconds, raw / (written + len(stream.flush())))


def read_pieces(path: Path) -> Iterator[bytes]:
    """The text of a prepared file in pieces of about PIECE_BYTES."""
    texts: list[bytes] = []
    size = 0
    for _, text in read_prepared_texts(path):
        texts.append(text)
        size += len(text)
        if size >= PIECE_BYTES:
            yield b"".join(texts)
            texts, size = [], 0
    yield b"".join(texts)


def measure(path: Path, megabytes: int, sources: Sequence[str], half: bool = False) -> None:
    """Measure the command and zlib alone on a file made at ``path``, and print how they compare."""
    write_file(path, megabytes, sources)
    command = run_command(path)
    alone = run_zlib(path)
    profile, cores = command.result, count_cores()
    raw = profile["raw_bytes"] / 1e6
    print(f"{len(sources)} source{'s' * (len(sources) > 1)}, {profile['rows']:,} rows, {raw:,.0f} MB of text: ", end="")
    print(f"R {profile['r']:.4f}, long R {profile['r_long']:.4f}")
    print(f"  zlib alone, one core: {alone.seconds:.1f} s ({alone.cpu_seconds:.1f} s of CPU), ", end="")
    print(f"{raw / alone.cpu_seconds:.1f} MB/s; its R differs by {abs(profile['r'] / alone.r - 1):.0e}")
    print(f"  the command, {cores} cores: {command.seconds:.1f} s ({command.cpu_seconds:.1f} s of CPU)")
    wall, best = alone.seconds / command.seconds, alone.cpu_seconds / (command.cpu_seconds / cores)
    print(f"  {wall:.2f} times as fast as zlib alone; at best {best:.2f} times, by CPU seconds")
    print(f"  memory: {command.peak_bytes / 1e6:.0f} MB", end="")
    if half:
        halve_file(path)
        print(f"; for half of the file {run_command(path).peak_bytes / 1e6:.0f} MB", end="")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, action="append", help="of text; may be given several times")
    parser.add_argument("--sources", type=int, choices=(1, 2), default=1, help="of the rows, in turn")
    parser.add_argument("--half", action="store_true", help="also run the command on half of the file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in options.megabytes or SIZES:
            measure(Path(folder) / "chats.jsonl", megabytes, SOURCES[: options.sources], options.half)


if __name__ == "__main__":
    main()
