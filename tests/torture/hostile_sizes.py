"""Data files that take far more memory or time than their size says, where a reader lets them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hostile_packed import pack_stream
from hostile_texts import ARRAY, GOOD, LINES, TABLE

MIB = 2**20

Write = Callable[[Path], None]


def _pieces(*parts: tuple[bytes, int]) -> Iterator[bytes]:
    """Each part so many times, in pieces of about a megabyte."""
    for part, count in parts:
        at_once = max(1, MIB // len(part))
        for done in range(0, count, at_once):
            yield part * min(at_once, count - done)


def _of(*parts: tuple[bytes, int]) -> Write:
    def write(path: Path) -> None:
        packed = path.name.endswith((".gz", ".zst"))
        with path.open("wb") as handle:
            handle.writelines([pack_stream(_pieces(*parts), path.name)] if packed else _pieces(*parts))

    return write


def _row(content: str, turns: int = 1) -> bytes:
    said = [{"role": "user", "content": content}, {"role": "assistant", "content": "Yes."}]
    return json.dumps({"messages": said * turns}, ensure_ascii=False).encode() + b"\n"


def _table(columns: Callable[[], dict[str, Any]], **options: Any) -> Write:
    def write(path: Path) -> None:
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table(columns()), path, **options)

    return write


def _long_values(rows: int, size: int) -> Callable[[], dict[str, Any]]:
    """A table whose every row names the same long value by a number."""

    def columns() -> dict[str, Any]:
        import pyarrow

        indices = pyarrow.array([0] * rows, pyarrow.int32())
        return {
            "prompt": pyarrow.DictionaryArray.from_arrays(indices, pyarrow.array(["x" * size])),
            "completion": pyarrow.DictionaryArray.from_arrays(indices, pyarrow.array(["Yes."])),
        }

    return columns


def _nulls(rows: int) -> Callable[[], dict[str, Any]]:
    def columns() -> dict[str, Any]:
        import pyarrow

        return {"prompt": pyarrow.nulls(rows, "string"), "completion": pyarrow.nulls(rows, "string")}

    return columns


_LONG = b"x" * 1024
_OPEN, _CLOSE = b'{"prompt": "', b'", "completion": "Yes."}'

# By the name of the file.
SIZES: dict[str, Write] = {
    # A gigabyte, packed to a megabyte or less.
    "spaces before an array.json.gz": _of((b" " * 1024, MIB), (ARRAY, 1)),
    "spaces in an array.json.gz": _of((b"[", 1), (b" " * 1024, MIB), (b"{}]", 1)),
    "line breaks.jsonl.gz": _of((LINES, 1), (b"\n" * 1024, MIB)),
    "line breaks.csv.gz": _of((TABLE, 1), (b"\n" * 1024, MIB)),
    "line breaks.jsonl.zst": _of((LINES, 1), (b"\n" * 1024, 4 * MIB)),
    "zeros.jsonl.gz": _of((b"\0" * 1024, MIB)),
    "zeros after a row.jsonl.gz": _of((LINES, 1), (b"\0" * 1024, MIB)),
    "one text.json.gz": _of((b"[" + _OPEN, 1), (_LONG, MIB), (_CLOSE + b"]", 1)),
    "one text.jsonl.gz": _of((_OPEN, 1), (_LONG, MIB), (_CLOSE, 1)),
    "one number.json.gz": _of((b"[", 1), (b"1" * 1024, MIB), (b"]", 1)),
    "one key of a wrapper.json.gz": _of((b'{"', 1), (_LONG, MIB), (b'": 1, "data": ' + ARRAY + b"}", 1)),
    "one value of a wrapper.json.gz": _of((b'{"a": "', 1), (_LONG, MIB), (b'", "data": ' + ARRAY + b"}", 1)),
    "one cell.csv.gz": _of((b'prompt,completion\n"', 1), (_LONG, MIB), (b'",b\n', 1)),
    "open brackets.json.gz": _of((b"[" * 1024, MIB)),
    "open braces.json.gz": _of((b'{"a":' * 256, MIB)),
    "empty lists.json.gz": _of((b"[[]", 1), (b",[]" * 512, 1000), (b"]", 1)),
    "empty lists in a row.json.gz": _of((b"[[[]", 1), (b",[]" * 512, MIB // 2), (b"]]", 1)),
    "empty objects in a row.jsonl.gz": _of((b'{"messages": [{}', 1), (b",{}" * 512, 20_000), (b"]}\n", 1)),
    "rows of 30 MB.json.gz": _of((b"[{}", 1), (b"," + _OPEN + b"x" * (30 * MIB) + _CLOSE, 32), (b"]", 1)),
    "rows of 30 MB.jsonl.gz": _of((_OPEN + b"x" * (30 * MIB) + _CLOSE + b"\n", 32)),
    "rows of many lists.jsonl.zst": _of((b'{"a": [[]' + b",[]" * (10 * MIB) + b"]}\n", 32)),
    "rows of 30 MB.csv.gz": _of((b"prompt,completion\n", 1), (b'"' + b"x" * (30 * MIB) + b'",Yes.\n', 32)),
    "columns.csv.gz": _of((b"a," * 512, MIB), (b"\n", 1)),
    # As large as they look.
    "a line of 100 MB.jsonl": _of((_OPEN, 1), (_LONG, 100 * 1024), (_CLOSE + b"\n" + LINES, 1)),
    "a line of 31 MB.jsonl": _of((_row("x" * (31 * MIB)), 1), (LINES, 1)),
    "a line of 31 MB with an emoji.jsonl": _of((_row("😀" + "x" * (31 * MIB)), 1), (LINES, 1)),
    "a line of 31 MB with an emoji.json": _of((b"[" + _row("😀" + "x" * (31 * MIB)) + b"]", 1)),
    "a line of 31 MB of escapes.jsonl": _of((_OPEN + b"\\u0041" * (5 * MIB) + _CLOSE + b"\n", 1)),
    "a line of 31 MB of lists.jsonl": _of((b'{"messages": [[]' + b",[]" * (10 * MIB) + b"]}\n", 1)),
    "a line of 31 MB of numbers.json": _of((b'[{"messages": [0' + b",0" * (15 * MIB) + b"]}]", 1)),
    "a line of 31 MB of keys.jsonl": _of(
        (b'{"prompt": "a", "completion": "b"', 1), (b"".join(b',"%d":1' % n for n in range(2_500_000)), 1), (b"}\n", 1)
    ),
    "a line of 20 MB of small messages.jsonl": _of((_row("a", 200_000), 1), (LINES, 1)),
    "a row of 100,000 turns.jsonl": _of((_row("What is that?", 50_000), 1), (LINES, 20)),
    "a row of a million words.jsonl": _of((_row("word " * 1_000_000), 1), (LINES, 20)),
    "a million empty lines.jsonl": _of((LINES, 1), (b"\n", 1_000_000), (LINES, 1)),
    "a million lines of spaces.jsonl": _of((LINES, 1), (b" \r\n", 1_000_000), (LINES, 1)),
    "ten million empty lines.csv": _of((TABLE, 1), (b"\n", 10_000_000)),
    "a quote without end.csv": _of((TABLE + b'"', 1), (b"word, word\n", 10_000_000)),
    "a row of many cells.csv": _of((TABLE, 1), (b"a,", 15_000_000), (b"\n", 1)),
    "half a million rows of nothing.jsonl": _of((LINES, 1), (b"{}\n", 500_000)),
    "long names of unread keys.jsonl": _of(
        *((json.dumps({**GOOD[0], f"k{n}" + "k" * 100_000: 1}).encode() + b"\n", 1) for n in range(300))
    ),
    # Tables.
    "long values by a number.parquet": _table(_long_values(3000, 8 * MIB), compression="zstd"),
    "long values by a number, plain.parquet": _table(_long_values(1000, 2 * MIB), compression="none"),
    "a million nulls.parquet": _table(_nulls(1_000_000)),
    "ten thousand columns.parquet": _table(
        lambda: {**{name: ["a", "b"] for name in ("prompt", "completion")}, **{f"c{n}": [n, n] for n in range(10_000)}}
    ),
}
