"""The texts of prepared rows against the canonical texts of their records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import DataError
from corpus.prepared_rows import read_prepared, write_row
from corpus.prepared_texts import read_prepared_texts
from corpus.records import ROLES, Conversation, Message, Preference, Record, canonical_text, content_hash

texts = st.text(max_size=20) | st.sampled_from(["", "\n\nuser: ", "你好", "\u2028", '"\\', "\x00"])
messages = st.lists(
    st.builds(Message, st.sampled_from(ROLES), texts)
    | st.builds(Message, st.sampled_from(ROLES), texts, texts, texts, st.booleans()),
    max_size=4,
).map(tuple)
records: st.SearchStrategy[Record] = st.builds(Conversation, messages, texts, tools=texts) | st.builds(
    Preference, messages, messages, messages, texts, chosen_score=st.none() | st.floats(-9, 9), tools=texts
)
ROW = write_row(Conversation((Message("user", "Hi"), Message("assistant", "Ho"))), "0" * 32)


def write(path: Path, rows: list[Record]) -> Path:
    path.write_text("".join(write_row(row, content_hash(row)) for row in rows), "utf-8")
    return path


@settings(deadline=None)
@given(st.lists(records, min_size=1, max_size=6))
def test_the_texts_are_those_of_the_records(tmp_path_factory: pytest.TempPathFactory, rows: list[Record]) -> None:
    path = write(tmp_path_factory.mktemp("texts") / "rows.jsonl", rows)
    assert list(read_prepared_texts(path)) == [(row.source, canonical_text(row).encode()) for row in rows]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}\n",
        ROW + "not JSON\n",
        ROW + ROW.replace("user", "robot"),
        ROW + ROW.replace('"Hi"', "7"),
        ROW + ROW.replace("Hi", "\\ud83d"),
        ROW + json.dumps({**json.loads(ROW), "extra": 1}) + "\n",
        ROW + json.dumps({**json.loads(ROW), "messages": None, "chosen": "?"}) + "\n",
        ROW + "[" * 100_000 + "\n",
    ],
)
def test_what_is_wrong_is_said_as_the_reader_of_records_says_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content, "utf-8")
    errors = []
    for read in (read_prepared, read_prepared_texts):
        with pytest.raises(DataError) as caught:
            list(read(path))
        errors.append(str(caught.value))
    assert errors[0] == errors[1]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        next(read_prepared_texts(tmp_path / "none.jsonl"))
