"""The readers under made-up rows and bytes: valid rows that are bent, bytes at random, and what a fuzzer found."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_hostile_files import require_read_or_refused

from corpus.files import SUFFIXES, TABLE_SUFFIXES
from corpus.formats.dialects import DIALECTS

EXAMPLES = [40, pytest.param(2000, marks=pytest.mark.torture)]

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
KEYS = st.sampled_from(sorted({key for dialect in DIALECTS for key in dialect.example})) | st.sampled_from(
    [
        "role",
        "content",
        "from",
        "value",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "parts",
        "weight",
        "type",
        "text",
    ]
)
# Often a word that means something to a reader.
WORDS = st.sampled_from(["user", "assistant", "system", "tool", "function_call", "[{'role': 'user'}]", "### Human: "])
VALUES = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@st.composite
def bent_rows(draw: Callable[..., Any]) -> dict[str, Any]:
    """The example of a dialect with a value, at any depth, replaced by another; or with a key more, or less."""
    row = json.loads(json.dumps(draw(st.sampled_from(DIALECTS)).example))
    for _ in range(draw(st.integers(1, 3))):
        place: Any = row
        while True:
            steps = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not steps:
                break
            step = draw(st.sampled_from(steps))
            if isinstance(place[step], (dict, list)) and place[step] and draw(st.booleans()):
                place = place[step]
                continue
            if draw(st.integers(0, 5)) == 0:
                del place[step]
            else:
                place[step] = draw(VALUES)
            break
    if draw(st.booleans()):
        row[draw(KEYS)] = draw(VALUES)
    return row


def many(test: Callable[..., None], examples: int) -> Callable[..., None]:
    quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=examples, deadline=None, suppress_health_check=quiet)(test)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_bent_rows_are_read_or_refused_in_one_line(
    in_tmp_path: Path, examples: int, tally: Callable[..., None]
) -> None:
    @given(st.lists(bent_rows(), min_size=1, max_size=4), st.sampled_from([".jsonl", ".json"]))
    def check(rows: list[dict[str, Any]], suffix: str) -> None:
        lines = [json.dumps(row) for row in rows]
        path = Path(f"data{suffix}")
        path.write_text("\n".join(lines) if suffix == ".jsonl" else f"[{','.join(lines)}]", encoding="utf-8")
        require_read_or_refused(path, Path("out.jsonl"))

    many(check, examples)()
    tally("made-up files", examples)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_bytes_are_read_or_refused_in_one_line(in_tmp_path: Path, examples: int, tally: Callable[..., None]) -> None:
    starts = [
        b"",
        b"PAR1",
        b"ARROW1\0\0",
        b"\xff\xff\xff\xff",
        b"\x1f\x8b\x08\0",
        b"\x28\xb5\x2f\xfd",
        b"[",
        b'{"data": [',
    ]

    @given(st.sampled_from(starts), st.binary(max_size=200), st.sampled_from([*SUFFIXES, *TABLE_SUFFIXES]))
    def check(start: bytes, content: bytes, suffix: str) -> None:
        path = Path(f"data{suffix}")
        path.write_bytes(start + content)
        require_read_or_refused(path, Path("out.jsonl"))

    many(check, examples)()
    tally("made-up files", examples)


# What the fuzzer found, made small: the name says what went wrong.
FINDS = {
    # A wrong size in the notes on a column, at which the library ended the process.
    "notes on a column that end the process.parquet": (
        "P(e~L6$BLu6$(rh0u=xf00031003bX02LAy5-b%06%Z8$6$TtO04M=r7y)4s5dZ)H0ssI20s#R602KroEHwZa26JO*Wo=;<0ss{Z"
        "Bmx)#a3ugt8~^|S76KU@85|}692E>1H2?+>85jX@6#y0j7IGGHCN3rj95w(b0bv*cVG$7k87vh96#x|i02Kfg5ETLdJQe~O1{o#*"
        "0ssI27IGE>CI}XC04N}EVRCVGWppiLaBwYQa&m8XAa-SPb7^mGATl;CFfK6}92@`u0GI#(08l|vF#"
    ),
}


@pytest.mark.parametrize("name", FINDS)
def test_what_the_fuzzer_found_is_read_or_refused(in_tmp_path: Path, name: str, tally: Callable[..., None]) -> None:
    Path(name).write_bytes(base64.b85decode(FINDS[name]))
    require_read_or_refused(Path(name), Path("out.jsonl"))
    tally("hostile files")
