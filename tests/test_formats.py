"""The formats, worked by hand: how a row is recognised, and the record that it is read into."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import DataError
from corpus.files import SUFFIXES, write_rows
from corpus.formats import DIALECTS, Format, Kind, detect_format, kind_of, parse_row, read_records
from corpus.records import Conversation, Message, Preference, Record, content_hash

SYSTEM, ASK = Message("system", "Be brief."), Message("user", "2+2?")
FOUR, FIVE = Message("assistant", "4"), Message("assistant", "5")
MORE, NINE = Message("user", "Plus 5?"), Message("assistant", "9")

ask, four, five = ({"role": message.role, "content": message.content} for message in (ASK, FOUR, FIVE))
system, more, nine = ({"role": message.role, "content": message.content} for message in (SYSTEM, MORE, NINE))


def said(role: str, text: str) -> dict[str, str]:
    return {"from": role, "value": text}


ROWS: dict[str, tuple[Format, dict[str, object], Record]] = {
    "messages": ("messages", {"messages": [system, ask, four]}, Conversation((SYSTEM, ASK, FOUR))),
    "messages with content parts": (
        "messages",
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "2+"}, {"type": "text", "text": "2?"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "4"}]},
            ]
        },
        Conversation((ASK, FOUR)),
    ),
    "messages as parquet fills them with nulls": (
        "messages",
        {"messages": [{**ask, "name": None, "tool_calls": None}, four], "prompt": None, "completion": None},
        Conversation((ASK, FOUR)),
    ),
    "messages with a tool": (
        "messages",
        {"messages": [ask, {"role": "tool", "content": "4"}, four]},
        Conversation((ASK, Message("tool", "4"), FOUR)),
    ),
    "sharegpt": (
        "sharegpt",
        {"id": "x", "conversations": [said("human", "2+2?"), said("gpt", "4")]},
        Conversation((ASK, FOUR)),
    ),
    "sharegpt with a system turn": (
        "sharegpt",
        {"conversations": [said("system", "Be brief."), said("human", "2+2?"), said("gpt", "4")]},
        Conversation((SYSTEM, ASK, FOUR)),
    ),
    "sharegpt with a system field": (
        "sharegpt",
        {"system": "Be brief.", "conversations": [said("human", "2+2?"), said("gpt", "4")]},
        Conversation((SYSTEM, ASK, FOUR)),
    ),
    "sharegpt with an empty system field": (
        "sharegpt",
        {"system": "", "conversations": [said("human", "2+2?"), said("gpt", "4")]},
        Conversation((ASK, FOUR)),
    ),
    "sharegpt with tools": (
        "sharegpt",
        {
            "conversations": [
                said("human", "2+2?"),
                said("function_call", "add(2, 2)"),
                said("observation", "4"),
                said("gpt", "4"),
            ]
        },
        Conversation((ASK, Message("assistant", "add(2, 2)"), Message("tool", "4"), FOUR)),
    ),
    "sharegpt keys around OpenAI roles": (
        "sharegpt",
        {"conversations": [ask, four]},
        Conversation((ASK, FOUR)),
    ),
    "alpaca": ("alpaca", {"instruction": "2+2?", "input": "", "output": "4"}, Conversation((ASK, FOUR))),
    "alpaca without input": ("alpaca", {"instruction": "2+2?", "output": "4"}, Conversation((ASK, FOUR))),
    "alpaca with input": (
        "alpaca",
        {"instruction": "Add.", "input": "2 and 2", "output": "4", "system": "Be brief."},
        Conversation((SYSTEM, Message("user", "Add.\n\n2 and 2"), FOUR)),
    ),
    "prompt and completion": ("prompt_completion", {"prompt": "2+2?", "completion": "4"}, Conversation((ASK, FOUR))),
    "prompt and completion messages": (
        "prompt_completion",
        {"prompt": [system, ask], "completion": [four]},
        Conversation((SYSTEM, ASK, FOUR)),
    ),
    "preference": (
        "preference",
        {"prompt": "2+2?", "chosen": "4", "rejected": "5"},
        Preference((ASK,), (FOUR,), (FIVE,)),
    ),
    "preference, answers as messages": (
        "preference",
        {"prompt": [ask], "chosen": [four], "rejected": [five]},
        Preference((ASK,), (FOUR,), (FIVE,)),
    ),
    "preference, prompt repeated in the answers": (
        "preference",
        {"prompt": [ask], "chosen": [ask, four], "rejected": [ask, five]},
        Preference((ASK,), (FOUR,), (FIVE,)),
    ),
    "preference, two answers that begin alike": (
        "preference",
        {"prompt": [ask], "chosen": [four, more, nine], "rejected": [four, more, five]},
        Preference((ASK,), (FOUR, MORE, NINE), (FOUR, MORE, FIVE)),
    ),
    "preference, prompt repeated and answers that begin alike": (
        "preference",
        {"prompt": [ask], "chosen": [ask, four, more, nine], "rejected": [ask, four, more, five]},
        Preference((ASK,), (FOUR, MORE, NINE), (FOUR, MORE, FIVE)),
    ),
    "UltraFeedback": (
        "preference",
        {
            "prompt": "2+2?",
            "messages": [ask, four],
            "chosen": [ask, four],
            "rejected": [ask, five],
            "score_chosen": 8.5,
            "score_rejected": 2.0,
        },
        Preference((ASK,), (FOUR,), (FIVE,), chosen_score=8.5),
    ),
    "preference, prompt string inside whole conversations": (
        "preference",
        {"prompt": "2+2? ", "chosen": [system, ask, four], "rejected": [system, ask, five]},
        Preference((SYSTEM, ASK), (FOUR,), (FIVE,)),
    ),
    "implicit prompt": (
        "preference",
        {"chosen": [ask, four, more, nine], "rejected": [ask, four, more, five], "chosen_score": 4},
        Preference((ASK, FOUR, MORE), (NINE,), (FIVE,), chosen_score=4.0),
    ),
    "implicit prompt of two equal conversations": (
        "preference",
        {"chosen": [ask, four], "rejected": [ask, four]},
        Preference((ASK,), (FOUR,), (FOUR,)),
    ),
    "implicit prompt, one conversation longer": (
        "preference",
        {"chosen": [ask, four], "rejected": [ask, four, more, nine]},
        Preference((ASK,), (FOUR,), (FOUR, MORE, NINE)),
    ),
    "ShareGPT preference": (
        "sharegpt_preference",
        {"conversations": [said("human", "2+2?")], "chosen": said("gpt", "4"), "rejected": said("gpt", "5")},
        Preference((ASK,), (FOUR,), (FIVE,)),
    ),
    "ShareGPT preference, answers in lists and strings": (
        "sharegpt_preference",
        {
            "system": "Be brief.",
            "conversations": [said("human", "2+2?")],
            "chosen": [said("gpt", "4")],
            "rejected": "5",
        },
        Preference((SYSTEM, ASK), (FOUR,), (FIVE,)),
    ),
    "liked": ("unpaired", {"prompt": "2+2?", "completion": "4", "label": True}, Preference((ASK,), (FOUR,))),
    "disliked": (
        "unpaired",
        {"prompt": [ask], "completion": [five], "label": False, "chosen_score": 3},
        Preference((ASK,), (), (FIVE,)),
    ),
    "prepared": (
        "prepared",
        {"messages": [ask, four], "source": "s", "row": 7, "hash": "0" * 32},
        Conversation((ASK, FOUR), "s", 7),
    ),
    "prepared preference": (
        "prepared_preference",
        {
            "prompt": [ask],
            "chosen": [four],
            "rejected": [],
            "chosen_score": 2.5,
            "source": "",
            "row": 7,
            "hash": "0" * 32,
        },
        Preference((ASK,), (FOUR,), (), "", 7, 2.5),
    ),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_row_is_recognised_and_read(case: str) -> None:
    format, row, record = ROWS[case]
    assert detect_format(row) == format
    row_number = record.row or 3
    expected = type(record)(**{**{name: getattr(record, name) for name in record.__slots__}, "row": row_number})
    assert parse_row(row, format, 3, "data.jsonl") == expected


def test_every_format_is_worked_by_hand_or_has_an_example() -> None:
    worked = {format for format, _, _ in ROWS.values()} | {dialect.format for dialect in DIALECTS}
    assert worked == set(get_args(Format))


# What rows hashed to before rows had more than roles and contents. A history that was accepted then has these hashes.
HASHES_BEFORE = {
    "messages": "a6834732d0ee3ed8f3a0f00b0e3d9759",
    "messages with content parts": "288a4ddd1515ecc1f2db6772c87ea307",
    "messages with a tool": "eaf151dee2aac48410d5abc913111100",
    "sharegpt with a system field": "a6834732d0ee3ed8f3a0f00b0e3d9759",
    "sharegpt with tools": "1fbc9c8a950ff8d910d4621387673acb",
    "alpaca with input": "e90a2bf6779adb5a7f144ae7fc8e3a53",
    "prompt and completion messages": "a6834732d0ee3ed8f3a0f00b0e3d9759",
    "preference": "e19613eb40e409c85f278a28ebc2aac3",
    "preference, two answers that begin alike": "2e5bd2df9290c1b08ae3d4ec36400174",
    "preference, prompt string inside whole conversations": "7d7c96aae83bb171ea0db34de9f0d78f",
    "implicit prompt": "255a8cade4481013225a9598910902cf",
    "implicit prompt, one conversation longer": "5cabf3a6145793714f9681d62baedf52",
    "ShareGPT preference, answers in lists and strings": "7d7c96aae83bb171ea0db34de9f0d78f",
    "liked": "95b9a492a73be8983ce548c954d141ef",
    "disliked": "77733aacd487c7600abddc19b85eb73e",
    "prepared": "288a4ddd1515ecc1f2db6772c87ea307",
    "prepared preference": "95b9a492a73be8983ce548c954d141ef",
}


@pytest.mark.parametrize("case", HASHES_BEFORE)
def test_a_row_that_was_read_before_keeps_its_hash(case: str) -> None:
    format, row, _ = ROWS[case]
    assert content_hash(parse_row(row, format, 3, "data.jsonl")) == HASHES_BEFORE[case]


@pytest.mark.parametrize("case", ROWS)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_read_from_every_file_type(tmp_path: Path, suffix: str, case: str) -> None:
    _, row, record = ROWS[case]
    path = tmp_path / f"data{suffix}"
    write_rows(path, [row, row])
    first, second = read_records(path)
    assert content_hash(first) == content_hash(second) == content_hash(record)
    assert (first.row, second.row) == ((record.row, record.row) if record.row else (1, 2))


def test_prepared_rows_are_read_whatever_format_the_raw_data_have(tmp_path: Path) -> None:
    path = tmp_path / "prepared.jsonl"
    path.write_text('{"row": 3, "hash": "00", "source": "a", "messages": [{"role": "assistant", "content": "Hi"}]}\n')
    assert list(read_records(path, "sharegpt")) == list(read_records(path)) != []


def test_a_format_that_is_named_is_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    write_rows(path, [{"messages": [ask, four]}, {"messages": [ask, five], "prompt": "x", "completion": "y"}])
    records = list(read_records(path, "messages"))
    assert records == [Conversation((ASK, FOUR), row=1), Conversation((ASK, FIVE), row=2)]
    with pytest.raises(DataError, match="line 2: mixed formats: this row is prompt_completion"):
        list(read_records(path))


@pytest.mark.parametrize("key", ["source", "dataset", "source_name"])
def test_the_source_is_kept(key: str) -> None:
    assert parse_row({"messages": [ask, four], key: "wiki"}, "messages", 1, "data.jsonl").source == "wiki"


def test_a_source_that_is_no_text_is_left_out() -> None:
    assert parse_row({"messages": [ask, four], "source": 3}, "messages", 1, "data.jsonl").source == ""


@pytest.mark.parametrize("score", [None, "8", True, float("nan"), float("inf"), 10**400])
def test_a_score_that_is_no_finite_number_is_left_out(score: object) -> None:
    row = {"prompt": "2+2?", "chosen": "4", "rejected": "5", "chosen_score": score}
    record = parse_row(row, "preference", 1, "data.jsonl")
    assert isinstance(record, Preference)
    assert record.chosen_score is None


@pytest.mark.parametrize("case", ROWS)
def test_the_other_kind_is_refused(tmp_path: Path, case: str) -> None:
    format, row, record = ROWS[case]
    kind: Kind = "conversations" if isinstance(record, Conversation) else "preferences"
    other: Kind = "preferences" if kind == "conversations" else "conversations"
    assert kind_of(format) == kind
    path = tmp_path / "data.jsonl"
    write_rows(path, [row])
    assert len(list(read_records(path, kind=kind))) == 1
    with pytest.raises(DataError, match=re.escape(f"holds {kind} (format {format}); {other} are expected here")):
        list(read_records(path, kind=other))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["user", "gpt", "text"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "from", "value", "type", "text", "parts", "data", "tool_calls", "name"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)
BASES = {**{case: row for case, (_, row, _) in ROWS.items()}, **{str(d.columns): d.example for d in DIALECTS}}
BESIDE = {"system_prompt": "Be brief.", "history": [["Hi", "Hello"]], "tools": [{"name": "add"}]}
KEYS = sorted({key for row in (*BASES.values(), BESIDE) for key in row})


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(row=st.dictionaries(st.sampled_from(KEYS), JUNK, max_size=5), format=st.sampled_from(get_args(Format)))
def test_any_row_is_a_record_or_a_data_error(row: dict[str, object], format: Format) -> None:
    for chosen in {format, detect_format(row) or format}:
        try:
            record = parse_row(row, chosen, 1, "data.jsonl")
        except DataError as error:
            assert "\n" not in str(error)
        else:
            assert isinstance(record, Conversation if kind_of(chosen) == "conversations" else Preference)
            assert len(content_hash(record)) == 32


@settings(max_examples=100, deadline=None)
@given(
    base=st.sampled_from(sorted(BASES)),
    junk=JUNK,
    position=st.integers(0, 10),
    data=st.data(),
)
def test_a_good_row_with_one_value_replaced_is_a_record_or_a_data_error(
    base: str, junk: object, position: int, data: st.DataObject
) -> None:
    copy = json.loads(json.dumps({**BASES[base], **data.draw(st.sampled_from([{}, BESIDE]))}))
    format = detect_format(copy)
    assert format is not None
    place = copy
    for _ in range(position):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys)) if keys else None
        if key is None or not isinstance(place[key], (dict, list)) or not place[key]:
            break
        place = place[key]
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    place[data.draw(st.sampled_from(keys))] = junk
    try:
        parse_row(copy, format, 1, "data.jsonl")
    except DataError as error:
        assert "\n" not in str(error)
