"""Keys that are not read: named, refused or known as metadata, but never passed over in silence."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import DataError
from corpus.formats import DIALECTS, Reading, parse_row, parse_rows
from corpus.formats.keys import (
    MAX_NAMES,
    METADATA_KEYS,
    OTHER_NAMES,
    READ_ANYWHERE,
    KeyLedger,
    is_empty,
    is_metadata,
    is_unsupported,
)
from corpus.prepared_rows import to_row
from corpus.records import Conversation

ASK, FOUR = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}
ROW: dict[str, Any] = {"messages": [ASK, FOUR]}


def unread(*rows: dict[str, Any], **reading: Any) -> dict[str, int]:
    parsed = parse_rows(enumerate(rows, start=1), "d.jsonl", Reading(**reading))
    assert len(list(parsed.rows)) == len(rows)
    return dict(parsed.keys.unread)


def test_a_key_that_nobody_knows_is_counted_in_the_rows_where_it_holds_something() -> None:
    rows = [{**ROW, "hint": value} for value in ("think", None, "", " ", [], {}, [None], 0, "again")]
    assert unread(*rows) == {"hint": 3}


def test_a_key_inside_a_message_counts_once_a_row() -> None:
    messages = [{**ASK, "mood": "curious"}, {**FOUR, "mood": "sure"}]
    assert unread({"messages": messages}, ROW, {"messages": [messages[0], FOUR]}) == {"message.mood": 2}


def test_keys_of_rows_that_are_left_out_are_counted_too() -> None:
    rows = [ROW, {"messages": [ASK], "hint": "x"}]
    parsed = parse_rows(enumerate(rows, start=1), "d.jsonl", bad_rows=lambda row: None)
    assert len(list(parsed.rows)) == 1


def test_published_metadata_is_passed_over() -> None:
    lmsys = {"conversation_id": "c", "model": "m", "turn": 1, "language": "English", "redacted": False}
    helpsteer = {"helpfulness": 3, "correctness": 4, "coherence": 4, "complexity": 1, "verbosity": 2}
    message = {**FOUR, "id": "7", "tool_call_id": "t", "timestamp": "2024-01-01"}
    assert unread({"messages": [ASK, message], "prompt_id": "p", **lmsys, **helpsteer}) == {}


def test_a_name_beside_a_role_is_named_as_not_read() -> None:
    assert unread({"messages": [{**ASK, "name": "Ann"}, {**FOUR, "name": None}], "name": "x"}) == {"message.name": 1}


def test_what_the_row_says_elsewhere_is_not_lost() -> None:
    assert unread({**ROW, "prompt": "2+2?"}) == {}
    assert unread({"prompt": "2+2?", "chosen": [ASK, FOUR], "rejected": [ASK, FOUR], "messages": [ASK, FOUR]}) == {}
    assert unread({**ROW, "prompt": "2+3?"}) == {"prompt": 1}


UNSUPPORTED: dict[str, Any] = {
    "images": ["x.png"],
    "image": "x.png",
    "audio": "x.wav",
    "videos": ["x.mp4"],
    "label": "maths",
    "kto_tag": 2,
    "rejected": "5",
    "rejected_answers": ["5"],
    "loss_mask": [0, 1],
    "train_on_turn": False,
    "weight": 0.5,
    "input_ids": [1, 2],
    "chat_template_kwargs": {"enable_thinking": False},
}


@pytest.mark.parametrize("key", UNSUPPORTED)
def test_a_key_that_changes_training_is_an_error_unless_it_is_ignored(key: str) -> None:
    row = {**ROW, key: UNSUPPORTED[key]}
    with pytest.raises(DataError, match=rf"^d\.jsonl, line 2: '{key}' .*prepare\.ignore_keys$"):
        list(parse_rows(enumerate([ROW, row], start=1), "d.jsonl", bad_rows=lambda row: None).rows)
    assert unread(ROW, row, ignore_keys=[key]) == {key: 1}
    assert unread(ROW, {**ROW, key: None}, {**ROW, key: []}) == {}


@pytest.mark.parametrize("key", ["images", "audio", "mask", "train_detail"])
def test_inside_a_message_too(key: str) -> None:
    row = {"messages": [ASK, {**FOUR, key: "x"}]}
    with pytest.raises(DataError, match=rf"line 1: message 2 of 'messages' has '{key}', .*prepare\.ignore_keys"):
        parse_row(row, "messages", 1, "d.jsonl")
    assert unread(row, ignore_keys=[key]) == {f"message.{key}": 1}


def test_what_is_read_can_be_ignored_too() -> None:
    row = {"messages": [ASK, {**FOUR, "thinking": "2 and 2", "weight": 0}], "system": "Be brief."}
    parsed = parse_rows([(1, row)], "d.jsonl", Reading(ignore_keys=["thinking", "weight", "system"]))
    (read,) = parsed.rows
    assert read.record == parse_row(ROW, "messages", 1, "d.jsonl")
    assert parsed.keys.unread == {"message.thinking": 1, "message.weight": 1, "system": 1}


def test_what_columns_names_is_read_although_it_is_ignored() -> None:
    reading = Reading(columns={"label": "label"}, ignore_keys=["label"])
    assert parse_rows([(1, {**ROW, "label": 1})], "d.jsonl", reading).format == "unpaired"


def test_an_ignored_key_decides_nothing() -> None:
    row = {**ROW, "label": 1, "rejected_response": "5"}
    parsed = parse_rows([(1, row)], "d.jsonl", Reading(ignore_keys=["label", "rejected_response"]))
    assert parsed.format == "messages"


def test_no_key_is_metadata_and_read_or_refused_as_well() -> None:
    columns = {theirs for dialect in DIALECTS for theirs in dialect.columns.values()}
    assert not METADATA_KEYS & columns
    assert not [key for key in METADATA_KEYS if is_unsupported(key)]
    assert not [key for key in READ_ANYWHERE if is_unsupported(key)]
    assert not [key for key in columns if is_metadata(key)]


def test_prepared_rows_have_no_unknown_keys() -> None:
    record = parse_row({**ROW, "system": "Be brief.", "tools": [{"name": "add"}]}, "messages", 1, "d.jsonl")
    assert unread(to_row(record, "0" * 32)) == {}


def test_a_new_key_in_every_row_does_not_fill_the_memory() -> None:
    ledger = KeyLedger()
    for number in range(3 * MAX_NAMES):
        ledger.note_unread(f"key {number}")
        ledger.end_row()
    assert len(ledger.unread) == MAX_NAMES + 1
    assert ledger.unread[OTHER_NAMES] == 2 * MAX_NAMES


@pytest.mark.parametrize("value", [None, "", " \n", [], {}, [None, ""], {"a": None}, float("nan"), b""])
def test_values_that_say_nothing(value: object) -> None:
    assert is_empty(value)


@pytest.mark.parametrize("value", [0, False, 0.0, "x", [0], {"a": 0}, b"x"])
def test_values_that_say_something(value: object) -> None:
    assert not is_empty(value)


# --- nothing that is said disappears

WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=12, max_size=16)
NAMES = st.text("abcdefghij_", min_size=1, max_size=9) | st.sampled_from(
    ["system", "system_prompt", "history", "tools", "text", "context", "input", "answer", "images", "mask", "label"]
)
VALUES = st.recursive(WORDS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2))


def find_words(value: Any) -> set[str]:
    """The made-up words in a value. No word of the examples, and no name of a role, is so long."""
    return set(re.findall("[a-z]{12,}", json.dumps(value)))


@settings(max_examples=300, deadline=None)
@given(base=st.sampled_from(DIALECTS), beside=st.dictionaries(NAMES, VALUES, max_size=4), data=st.data())
def test_no_text_of_a_row_disappears_without_its_key_being_named(
    base: Any, beside: dict[str, Any], data: st.DataObject
) -> None:
    row = {**beside, **json.loads(json.dumps(base.example))}
    inner = [item for value in row.values() if isinstance(value, list) for item in value if isinstance(item, dict)]
    if inner:
        message = data.draw(st.sampled_from(inner))
        drawn = data.draw(st.dictionaries(NAMES, WORDS, max_size=2))
        message |= {key: word for key, word in drawn.items() if key not in message and not is_metadata(key)}
    bad: list[object] = []
    try:
        parsed = parse_rows([(1, row)], "d.jsonl", bad_rows=bad.append)
        records = [item.record for item in parsed.rows]
    except DataError:
        return  # refused, and so not in silence
    if bad:
        return  # listed as left out
    kept = json.dumps([to_row(record, "") for record in records], ensure_ascii=False)
    for key, value in row.items():
        lost = {word for word in find_words(value) if word not in kept}
        named = [name for name in parsed.keys.unread if name == key or "." in name]
        assert not lost or named or is_metadata(key), (key, lost)


def test_a_conversation_is_what_the_property_reads() -> None:
    """The property above would hold of a reader that refuses everything."""
    for dialect in DIALECTS:
        assert parse_row(dialect.example, dialect.format, 1, "d.jsonl")
    assert isinstance(parse_row(ROW, "messages", 1, "d.jsonl"), Conversation)
