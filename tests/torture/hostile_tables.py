"""Hostile and broken tables: parquet and Arrow with types, names, sizes and damage that no reader of texts expects."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import io
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow
import pyarrow.parquet
from hostile_texts import GOOD

Array = Callable[[], Any]

_PROMPTS = [row["prompt"] for row in GOOD[:4]]
_ANSWERS = [row["completion"] for row in GOOD[:4]]


def _repeat(value: Any, kind: Any) -> Array:
    return lambda: pyarrow.array([value] * 4, kind)


def _raw(values: list[int], kind: Any, width: int = 64) -> Array:
    """Numbers taken for another type, as they are stored."""
    return lambda: pyarrow.array(values, pyarrow.int64() if width == 64 else pyarrow.int32()).view(kind)


def _invalid_text() -> Any:
    return pyarrow.array([b"caf\xe9", b"\xed\xa0\x80", b"\xff", b"ok"], pyarrow.binary()).view(pyarrow.string())


def _union() -> Any:
    kinds = pyarrow.array([0, 1, 0, 1], pyarrow.int8())
    return pyarrow.UnionArray.from_sparse(kinds, [pyarrow.array(["a"] * 4), pyarrow.array([1, 2, 3, 4])])


def _nested(depth: int, value: Any = "a") -> Any:
    kind = pyarrow.string()
    for _ in range(depth):
        kind, value = pyarrow.list_(kind), [value]
    return pyarrow.array([value] * 4, kind)


def _nested_structs(depth: int) -> Any:
    kind, value = pyarrow.string(), "a"
    for _ in range(depth):
        kind, value = pyarrow.struct([("content", kind)]), {"content": value}
    return pyarrow.array([value] * 4, kind)


_EXTREME = [2**63 - 1, -(2**63) + 1, 0, 5]
# A column beside `prompt` or in place of it.
COLUMNS: dict[str, Array] = {
    "dates out of range": _raw([2**31 - 1, -(2**31), 0, 1], pyarrow.date32(), 32),
    "dates in milliseconds out of range": lambda: pyarrow.array([86_400_000 * 10**9] * 4, pyarrow.date64()),
    "times in seconds out of range": _raw(_EXTREME, pyarrow.timestamp("s")),
    "times in milliseconds out of range": _raw(_EXTREME, pyarrow.timestamp("ms")),
    "times in microseconds out of range": _raw(_EXTREME, pyarrow.timestamp("us")),
    "times in nanoseconds": _raw([1, 2, 3, 2**60 + 1], pyarrow.timestamp("ns")),
    "times in an unknown zone": _raw([1, 2, 3, 4], pyarrow.timestamp("us", "Middle/Earth")),
    "times in an odd zone": _raw([1, 2, 3, 4], pyarrow.timestamp("us", "+99:99")),
    "times in a zone that is a path": _raw([1, 2, 3, 4], pyarrow.timestamp("us", "../../etc/passwd")),
    "times in a zone with a NUL": _raw([1, 2, 3, 4], pyarrow.timestamp("us", "a\0b")),
    "times in a zone out of range": _raw([-62135596800000000] * 4, pyarrow.timestamp("us", "America/New_York")),
    "durations out of range": _raw(_EXTREME, pyarrow.duration("s")),
    "durations in nanoseconds": _raw(_EXTREME, pyarrow.duration("ns")),
    "times of day out of range": _raw([2**62, -1, 86_400_000_000, 0], pyarrow.time64("us")),
    "times of day in nanoseconds": _raw([1, 2, 3, 2**62], pyarrow.time64("ns")),
    "seconds of day out of range": _raw([2**30, -5, 86_400, 0], pyarrow.time32("s"), 32),
    "decimals": _repeat(decimal.Decimal("1E+30"), pyarrow.decimal128(38, 2)),
    "decimals of 76 digits": _repeat(decimal.Decimal(10) ** 60, pyarrow.decimal256(76, 0)),
    "floats that are none": _repeat(float("nan"), pyarrow.float64()),
    "infinite floats": _repeat(float("-inf"), pyarrow.float32()),
    "half floats": lambda: pyarrow.array([1.5, None, 2, 3], pyarrow.float16()),
    "binary data": _repeat(b"\xff\xfe\x00", pyarrow.binary()),
    "binary data of UTF-8": _repeat("é".encode(), pyarrow.large_binary()),
    "binary data of a fixed size": _repeat(b"ab", pyarrow.binary(2)),
    "binary views": lambda: pyarrow.array([b"a" * 20] * 4, pyarrow.binary_view()),
    "text views": lambda: pyarrow.array(["a" * 20] * 4, pyarrow.string_view()),
    "large texts": _repeat("text", pyarrow.large_string()),
    "invalid UTF-8": _invalid_text,
    "unsigned integers": _repeat(2**64 - 1, pyarrow.uint64()),
    "booleans": _repeat(True, pyarrow.bool_()),
    "nulls": _repeat(None, pyarrow.null()),
    "a map": lambda: pyarrow.array([[("a", 1), ("a", 2)]] * 4, pyarrow.map_(pyarrow.string(), pyarrow.int64())),
    "a map with keys that are objects": lambda: pyarrow.array(
        [[({"a": 1}, "b")]] * 4, pyarrow.map_(pyarrow.struct([("a", pyarrow.int64())]), pyarrow.string())
    ),
    "a dictionary": lambda: pyarrow.array(_PROMPTS).dictionary_encode(),
    "a dictionary of nothing": lambda: pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([None] * 4, pyarrow.int32()), pyarrow.array([], pyarrow.string())
    ),
    "runs": lambda: pyarrow.RunEndEncodedArray.from_arrays([2, 4], pyarrow.array(["a", "b"])),
    "a union": _union,
    "an object without keys": lambda: pyarrow.array([{}] * 4, pyarrow.struct([])),
    "an object with a key twice": lambda: pyarrow.StructArray.from_arrays(
        [pyarrow.array(["a"] * 4), pyarrow.array(["b"] * 4)], ["role", "role"]
    ),
    "a list of a fixed size": lambda: pyarrow.array([["a", "b"]] * 4, pyarrow.list_(pyarrow.string(), 2)),
    "a list of a fixed size of none": lambda: pyarrow.array([[]] * 4, pyarrow.list_(pyarrow.string(), 0)),
    "a list of views": lambda: pyarrow.array([["a"]] * 4, pyarrow.list_view(pyarrow.string())),
    "lists nested 90 deep": lambda: _nested(90),
    "objects nested 60 deep": lambda: _nested_structs(60),
    "lists nested 400 deep": lambda: _nested(400),
    "messages of dates": lambda: pyarrow.array([[{"role": datetime.date(2020, 1, 1), "content": b"\xff"}]] * 4),
    "messages with a decimal": lambda: pyarrow.array([[{"role": "user", "content": decimal.Decimal(1)}]] * 4),
    "months, days and nanoseconds": lambda: pyarrow.array([(1, 2, 3)] * 4, pyarrow.month_day_nano_interval()),
    "identifiers": lambda: pyarrow.ExtensionArray.from_storage(
        pyarrow.uuid(), pyarrow.array([b"0" * 16] * 4, pyarrow.binary(16))
    ),
    "JSON": lambda: pyarrow.ExtensionArray.from_storage(pyarrow.json_(), pyarrow.array(['{"a": 1}'] * 4)),
    "a tensor": lambda: pyarrow.ExtensionArray.from_storage(
        pyarrow.fixed_shape_tensor(pyarrow.int32(), [2]),
        pyarrow.array([[1, 2]] * 4, pyarrow.list_(pyarrow.int32(), 2)),
    ),
    "an opaque type": lambda: pyarrow.ExtensionArray.from_storage(
        pyarrow.opaque(pyarrow.binary(), "geometry", "postgis"), pyarrow.array([b"\x01"] * 4)
    ),
}


def _named(*names: str) -> Any:
    return pyarrow.Table.from_arrays([pyarrow.array(["a", "b"])] * len(names), names=list(names))


TABLES: dict[str, Array] = {
    "no columns": lambda: pyarrow.table({}),
    "no rows": lambda: pyarrow.table(
        {"prompt": pyarrow.array([], "string"), "completion": pyarrow.array([], "string")}
    ),
    "a column twice": lambda: _named("prompt", "completion", "prompt"),
    "a column twice in other letters": lambda: _named("prompt", "completion", "Prompt", "PROMPT"),
    "a column without a name": lambda: _named("prompt", "completion", ""),
    "columns named with dots": lambda: _named("prompt", "completion", "a.b.c", "list.element"),
    "columns of control characters": lambda: _named("prompt", "completion", "\x1b[2J\n\r\0", "::error::"),
    "a column of a million characters": lambda: _named("prompt", "completion", "k" * 1_000_000),
    "three thousand columns": lambda: _named("prompt", "completion", *(f"c{n}" for n in range(3000))),
    "only unknown columns": lambda: _named("a", "b"),
    "one column": lambda: _named("prompt"),
    "notes of pandas that are no JSON": lambda: _named("prompt", "completion").replace_schema_metadata({"pandas": "{"}),
    "notes of Hugging Face that lie": lambda: _named("prompt", "completion").replace_schema_metadata(
        {"huggingface": '{"info": {"features": {"prompt": {"_type": "Image"}}}}'}
    ),
    "an extension that nobody knows": lambda: pyarrow.Table.from_arrays(
        [pyarrow.array(["a"]), pyarrow.array(["b"])],
        schema=pyarrow.schema(
            [
                pyarrow.field(
                    name, pyarrow.string(), metadata={"ARROW:extension:name": "x.y", "ARROW:extension:metadata": "\0"}
                )
                for name in ("prompt", "completion")
            ]
        ),
    ),
    "a pickled extension": lambda: pyarrow.Table.from_arrays(
        [pyarrow.array(["a"]), pyarrow.array(["b"])],
        schema=pyarrow.schema(
            [
                pyarrow.field(
                    name,
                    pyarrow.string(),
                    metadata={
                        "ARROW:extension:name": "arrow.py_extension_type",
                        "ARROW:extension:metadata": b"\x80\x04\x95\x00cos\nsystem\n",
                    },
                )
                for name in ("prompt", "completion")
            ]
        ),
    ),
}


def parquet(table: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink, **options)
    return sink.getvalue()


def arrow(table: Any, as_file: bool = False, **options: Any) -> bytes:
    sink = io.BytesIO()
    make = pyarrow.ipc.new_file if as_file else pyarrow.ipc.new_stream
    with make(sink, table.schema, options=pyarrow.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _tables() -> Iterator[tuple[str, Any]]:
    for name, make in COLUMNS.items():
        column = make()
        yield f"{name} beside", pyarrow.table({"prompt": _PROMPTS, "completion": _ANSWERS, "x": column})
        yield f"{name} as the prompt", pyarrow.table({"prompt": column, "completion": _ANSWERS})
        yield f"{name} as messages", pyarrow.table({"messages": column})
    for name, make in TABLES.items():
        yield name, make()


def files_of_tables() -> Iterator[tuple[str, bytes]]:
    """Every table in each of its layouts; parquet has no unions, runs and views, which are Arrow's alone."""
    for name, table in _tables():
        with contextlib.suppress(pyarrow.ArrowException):
            # Writing a list of this size ends the process that tries it.
            if "fixed size of none" not in name:
                yield f"{name}.parquet", parquet(table)
        with contextlib.suppress(pyarrow.ArrowException):
            yield f"{name}.arrow", arrow(table)
    sound = pyarrow.table({"prompt": _PROMPTS * 50, "completion": _ANSWERS * 50})
    whole = {
        "plain.parquet": parquet(sound, compression="none", use_dictionary=False),
        "packed.parquet": parquet(sound, compression="zstd", write_page_checksum=True),
        "newer.parquet": parquet(sound, compression="gzip", data_page_version="2.0", row_group_size=20),
        "stream.arrow": arrow(sound),
        "packed.arrow": arrow(sound, compression="zstd"),
        "file.arrow": arrow(sound, as_file=True),
    }
    for name, content in whole.items():
        for place in range(16):
            at = len(content) * place // 16
            yield f"cut at {place} of 16, {name}", content[:at]
            yield f"a bit other at {place} of 16, {name}", content[:at] + bytes([content[at] ^ 64]) + content[at + 1 :]
            yield f"0xff at {place} of 16, {name}", content[:at] + b"\xff" * 8 + content[at + 8 :]
        for place in (4, 8, 12):
            yield (
                f"a length of -1 {place} from the end, {name}",
                content[:-place] + b"\xff" * 4 + content[len(content) - place + 4 :],
            )
            yield (
                f"a large length {place} from the end, {name}",
                content[:-place] + b"\xff\xff\xff\x7f" + content[len(content) - place + 4 :],
            )
        yield f"more behind it, {name}", content + b"more"
        yield f"twice, {name}", content + content
        yield f"only its beginning, {name}", content[:6]
        yield f"only its beginning and end, {name}", content[:4] + content[-12:]
        yield f"called otherwise, {name.replace('.', ' ')}.jsonl", content
        yield f"called a table, {name.replace('.', ' ')}.csv", content
    yield "parquet called arrow.arrow", whole["plain.parquet"]
    yield "arrow called parquet.parquet", whole["stream.arrow"]
    yield "text called parquet.parquet", b'{"prompt": "a", "completion": "b"}\n'
    yield "text called arrow.arrow", b'{"prompt": "a", "completion": "b"}\n'
    yield "encrypted.parquet", b"PARE" + whole["plain.parquet"][4:-4] + b"PARE"
    yield "NUL.parquet", b"\0" * 5000
    yield "NUL.arrow", b"\0" * 5000
    yield "only ff.arrow", b"\xff" * 64
    yield "an end at once.arrow", b"\xff\xff\xff\xff\0\0\0\0"
    yield "a size beyond memory.arrow", b"\xff\xff\xff\xff\xff\xff\xff\x7f" + b"\0" * 64
