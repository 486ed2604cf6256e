"""How well zstd's levels see copies that lie far apart, and what they cost: the choice of `compression.long_level`.

    python -m benchmarks.long_window                               # about ten minutes on one core
    python -m benchmarks.long_window --megabytes 20 --data FILE    # conversations of your own, as short rows

Each corpus is compressed three times: as it is; with 10% of its rows replaced by copies of others, anywhere in the
text; and with copies in which one word of fifty is another one. `far` and `near` are the changes of ln(long R): seen
whole, 10% of copies change it by 0.105. Chit-chat and files are cut into phrases of four words, which are dealt out
again; code is that of the installed Python packages, as it is. `speed` is in MB a CPU second, the best of the three.
"""

from __future__ import annotations

import argparse
import math
import sysconfig
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import zstandard

from benchmarks.corpora import Part, read_part
from corpus.codecs import LONG_WINDOW_LOG
from corpus.records import Record
from entropylaw.demo.chitchat import load_chat_logs, to_conversation

COPIES_SHARE = 0.1
# In near copies, one word of so many is another one.
WORDS_FOR_ONE_CHANGE = 50
# Median bytes of long and of short rows; the sizes of single rows are log-normal, as those of instruction data are.
LONG_ROW, SHORT_ROW, ROW_SPREAD = 6000, 250, 0.6
PHRASE_WORDS = 4
PHRASE_BYTES = 22
LINES_OF_CODE = 30
PIECE_BYTES = 2**22
LDM: dict[str, Any] = {"enable_ldm": True}
# Beside the levels: what finer sampling of the text, shorter matches and zstd's own threads change.
SETTINGS: list[dict[str, Any]] = [
    *({"level": level, **LDM} for level in (1, 2, 3, 4, 5, 6, 9)),
    {"level": 3},
    {"level": 9},
    *({"level": level, **LDM, "ldm_hash_rate_log": 5} for level in (1, 3)),
    {"level": 3, **LDM, "ldm_hash_rate_log": 5, "ldm_min_match": 32, "ldm_hash_log": 22},
    *({"level": 3, **LDM, "threads": threads} for threads in (1, 2)),
]


def deal_rows(texts: Sequence[str], row_bytes: int, total_bytes: int) -> list[bytes]:
    """Rows made of the texts' phrases, some of them in each a question and the rest its answer."""
    random = Random(row_bytes)
    words = [word for text in texts for word in text.split()]
    phrases = [" ".join(words[i : i + PHRASE_WORDS]) for i in range(0, len(words), PHRASE_WORDS)]
    rows, size = [], 0
    while size < total_bytes:
        count = max(2, round(random.lognormvariate(0, ROW_SPREAD) * row_bytes / PHRASE_BYTES))
        chosen = random.choices(phrases, k=count)
        asked = max(1, count // 5)
        rows.append(f"user: {' '.join(chosen[:asked])}\nassistant: {' '.join(chosen[asked:])}\n\n".encode())
        size += len(rows[-1])
    return rows


def read_code(total_bytes: int) -> list[bytes]:
    """Distinct pieces of the Python files that are installed here, in random order."""
    random, rows, size = Random(0), dict[bytes, None](), 0
    files = sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.py"))
    random.shuffle(files)
    for file in files:
        lines = file.read_bytes().splitlines()
        for i in range(0, len(lines), LINES_OF_CODE):
            row = b"user: go on\nassistant: " + b"\n".join(lines[i : i + LINES_OF_CODE]) + b"\n\n"
            if row not in rows:
                rows[row] = None
                size += len(row)
        if size >= total_bytes:
            break
    shuffled = list(rows)
    random.shuffle(shuffled)
    return shuffled


def put_copies(rows: Sequence[bytes], *, near: bool) -> list[bytes]:
    """The rows with a share of them replaced by copies of others; ``near``: with other words here and there."""
    random = Random(int(near))
    replaced = set(random.sample(range(len(rows)), int(len(rows) * COPIES_SHARE)))
    originals = [row for i, row in enumerate(rows) if i not in replaced]
    copies = list(rows)
    for i in sorted(replaced):
        words = random.choice(originals).split(b" ")
        for _ in range(max(1, len(words) // WORDS_FOR_ONE_CHANGE) if near else 0):
            words[random.randrange(1, len(words))] = random.choice(words)
        copies[i] = b" ".join(words)
    return copies


def compress(text: bytes, setting: dict[str, Any]) -> tuple[float, float]:
    """Long R of a text, and the MB that were compressed in a CPU second."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        setting["level"],
        window_log=LONG_WINDOW_LOG,
        **{name: value for name, value in setting.items() if name != "level"},
    )
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    pieces, start = memoryview(text), time.process_time()
    written = sum(len(stream.compress(pieces[i : i + PIECE_BYTES])) for i in range(0, len(text), PIECE_BYTES))
    written += len(stream.flush())
    return len(text) / written, len(text) / 1e6 / (time.process_time() - start)


def read_corpora(files: Sequence[Path], total_bytes: int) -> Iterator[tuple[str, list[bytes]]]:
    chats = [turn["value"] for log in load_chat_logs() for turn in to_conversation(log)["conversations"]]
    yield "chit-chat, long rows", deal_rows(chats, LONG_ROW, total_bytes)
    yield "chit-chat, short rows", deal_rows(chats, SHORT_ROW, total_bytes)
    for file in files:
        yield f"{file.name}, short rows", deal_rows(list(map(_say, read_part(Part(file)))), SHORT_ROW, total_bytes)
    yield "code", read_code(total_bytes)


def _say(record: Record) -> str:
    return " ".join(message.text for _, message in record.turns())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=100, help="size of each corpus")
    parser.add_argument("--data", type=Path, action="append", default=[], help="a file of conversations")
    options = parser.parse_args()
    for name, rows in read_corpora(options.data, options.megabytes * 10**6):
        texts = [b"".join(made) for made in (rows, put_copies(rows, near=False), put_copies(rows, near=True))]
        print(f"{name}: {len(rows):,} rows, {len(texts[0]) / 1e6:.0f} MB", flush=True)
        for setting in SETTINGS:
            (plain, *speeds), (far, fast), (near, faster) = (compress(text, setting) for text in texts)
            changes = f"far {math.log(far / plain):+.4f}, near {math.log(near / plain):+.4f}"
            name = ", ".join(f"{key} {value}" for key, value in setting.items())
            print(f"  {name}: long R {plain:.3f}, {changes}, speed {max(*speeds, fast, faster):.0f}", flush=True)


if __name__ == "__main__":
    main()
