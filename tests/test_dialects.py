"""The dialects: every one is recognised by its example and read into the same records."""

from __future__ import annotations

import json

import pytest

from corpus.formats import DIALECTS, Dialect, Reading, detect_format, kind_of, parse_row, parse_rows
from corpus.formats.preferences import truth_of
from corpus.records import Conversation, Message, Preference

NAMES = {f"{dialect.format} {', '.join(dialect.columns.values())}": dialect for dialect in DIALECTS}
YES, NO = "Yes, mostly.", "No."


def test_no_dialect_is_there_twice() -> None:
    assert len(NAMES) == len(DIALECTS)


@pytest.mark.parametrize("name", NAMES)
def test_the_example_is_recognised_and_read_whole(name: str) -> None:
    dialect = NAMES[name]
    parsed = parse_rows([(1, dialect.example)], "d.jsonl")
    (row,) = parsed.rows
    assert parsed.format == detect_format(dialect.example) == dialect.format
    assert {ours: dialect.renamed[ours] for ours in parsed.columns} == parsed.columns
    assert parsed.keys.unread == {}
    record = row.record
    if kind_of(dialect.format) == "conversations":
        assert isinstance(record, Conversation)
        asked, answered = record.messages[:-1], [record.messages[-1:]]
    else:
        assert isinstance(record, Preference)
        asked, answered = record.prompt, [side for side in (record.chosen, record.rejected) if side]
    assert "Is tea hot?" in asked[-1].content and asked[-1].role == "user"
    expected = [YES] if len(answered) == 1 else [YES, NO]
    assert answered == [(Message("assistant", text),) for text in expected]


@pytest.mark.parametrize("name", NAMES)
def test_a_row_with_all_nulls_beside_is_read_alike(name: str) -> None:
    """Parquet gives every row every column."""
    dialect = NAMES[name]
    all_columns = {theirs: None for other in DIALECTS for theirs in other.columns.values()}
    row = {**all_columns, **dialect.example}
    assert detect_format(row) == dialect.format
    assert parse_row(row, dialect.format, 1, "d.jsonl") == parse_row(dialect.example, dialect.format, 1, "d.jsonl")


BESIDE: dict[str, tuple[object, tuple[Message, ...]]] = {
    "system": ("Be brief.", (Message("system", "Be brief."),)),
    "system_prompt": ("Be brief.", (Message("system", "Be brief."),)),
    "systemInstruction": ({"parts": [{"text": "Be brief."}]}, (Message("system", "Be brief."),)),
    "history": ([["Hi", "Hello"]], (Message("user", "Hi"), Message("assistant", "Hello"))),
}


@pytest.mark.parametrize("key", BESIDE)
@pytest.mark.parametrize("name", NAMES)
def test_what_stands_beside_the_texts_comes_first_in_every_format(name: str, key: str) -> None:
    dialect = NAMES[name]
    value, before = BESIDE[key]
    # The examples that have a system text of their own would show nothing.
    example = {field: held for field, held in dialect.example.items() if field != "system"}
    plain = parse_row(example, dialect.format, 1, "d.jsonl")
    record = parse_row({**example, key: value}, dialect.format, 1, "d.jsonl")
    if isinstance(record, Conversation) and isinstance(plain, Conversation):
        assert record.messages == before + plain.messages
    else:
        assert isinstance(record, Preference) and isinstance(plain, Preference)
        assert record.prompt == before + plain.prompt
        assert (record.chosen, record.rejected) == (plain.chosen, plain.rejected)


@pytest.mark.parametrize("given", [[{"name": "add", "about": "é"}], '[{"about": "é", "name": "add"}]'])
@pytest.mark.parametrize("name", NAMES)
def test_tools_are_kept_in_every_format(name: str, given: object) -> None:
    dialect = NAMES[name]
    record = parse_row({**dialect.example, "tools": given}, dialect.format, 1, "d.jsonl")
    assert record.tools == '[{"about":"é","name":"add"}]'


def test_a_system_message_counts_and_another_system_text_is_named() -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
    ]
    for text, unread in (("Be brief.", {"system": 1}), ("Be kind.", {})):
        parsed = parse_rows([(1, {"messages": messages, "system": text})], "d.jsonl")
        (row,) = parsed.rows
        assert isinstance(row.record, Conversation) and row.record.messages[0] == Message("system", "Be kind.")
        assert parsed.keys.unread == unread


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", "True", "1"])
def test_labels_that_say_yes(value: object) -> None:
    assert truth_of(value) is True


@pytest.mark.parametrize("value", [False, 0, 0.0, "false", "False", "0"])
def test_labels_that_say_no(value: object) -> None:
    assert truth_of(value) is False
    row = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Go"}], "label": value}
    record = parse_row(row, "unpaired", 1, "d.jsonl")
    assert isinstance(record, Preference) and record.rejected and not record.chosen
    assert detect_format(row) == "unpaired"


@pytest.mark.parametrize("value", [2, -1, 0.5, "yes", "maths", "", None, [True]])
def test_other_labels_say_nothing(value: object) -> None:
    assert truth_of(value) is None


def test_ultrafeedbacks_ratings_are_scores() -> None:
    row = {"prompt": "Hi", "chosen": "Hello", "rejected": "Go", "chosen-rating": 4.5, "rejected-rating": 1.0}
    parsed = parse_rows([(1, row)], "d.jsonl")
    (read,) = parsed.rows
    assert isinstance(read.record, Preference) and read.record.chosen_score == 4.5
    assert parsed.keys.unread == {}


def test_an_instruction_alone_in_the_input_is_the_question() -> None:
    record = parse_row({"instruction": "", "input": "2+2?", "output": "4"}, "alpaca", 1, "d.jsonl")
    assert isinstance(record, Conversation) and record.messages[0] == Message("user", "2+2?")


def test_an_input_of_several_texts_is_one_of_several_lines() -> None:
    record = parse_row({"instruction": "Sort.", "input": ["b", "a"], "output": "a b"}, "alpaca", 1, "d.jsonl")
    assert isinstance(record, Conversation) and record.messages[0] == Message("user", "Sort.\n\nb\na")


def test_columns_name_any_key_and_what_they_displace_is_named() -> None:
    row = {"q": "2+2?", "completion": "not this", "a": "4", "label": True}
    parsed = parse_rows([(1, row)], "d.jsonl", Reading(columns={"prompt": "q", "completion": "a"}))
    (read,) = parsed.rows
    assert parsed.format == "unpaired" and parsed.keys.unread == {"completion": 1}
    assert read.record == Preference((Message("user", "2+2?"),), (Message("assistant", "4"),), row=1)


def test_examples_are_json() -> None:
    for dialect in DIALECTS:
        assert json.loads(json.dumps(dialect.example)) == dialect.example
        assert isinstance(dialect, Dialect) and dialect.used_by
