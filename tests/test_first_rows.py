"""What the first rows of a file decide: its format, its columns, and what its owner is told when they are unknown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corpus.errors import BadRow, DataError
from corpus.files import SUFFIXES, write_rows
from corpus.formats import Format, Reading, parse_rows, read_records
from corpus.formats.parsing import FIRST_ROWS
from corpus.records import Conversation, Message

ASK, FOUR = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}
CHAT: dict[str, Any] = {"messages": [ASK, FOUR]}
ALPACA = {"instruction": "2+2?", "input": "", "output": "4"}
PAIR = {"prompt": "2+2?", "chosen": "4", "rejected": "5"}


def parse(*rows: dict[str, Any], **options: Any) -> tuple[Format, list[int], list[tuple[int, str]]]:
    """The format of rows, the numbers of those that are read, and those left out with the reason."""
    bad: list[BadRow] = []
    parsed = parse_rows(enumerate(rows, start=1), "d.jsonl", bad_rows=bad.append, **options)
    read = [row.number for row in parsed.rows]
    return parsed.format, read, [(row.number, row.reason) for row in bad]


@pytest.mark.parametrize("position", [0, 1, FIRST_ROWS, FIRST_ROWS + 50])
@pytest.mark.parametrize(
    ("good", "odd", "reason"),
    [
        (PAIR, {**PAIR, "rejected": None}, "empty answer"),
        (PAIR, {"prompt": "2+2?", "chosen": "4"}, "missing key"),
        ({**CHAT, "rejected_response": "5"}, {**CHAT, "rejected_response": None}, "empty answer"),
        ({**CHAT, "rejected_response": "5"}, CHAT, "missing key"),
        ({**CHAT, "label": True}, {**CHAT, "label": None}, "no label"),
        ({**CHAT, "label": True}, CHAT, "missing key"),
        (ALPACA, {**ALPACA, "output": None}, "empty answer"),
        (ALPACA, {"instruction": None, "input": None, "output": None}, "blank row"),
        (CHAT, {"messages": []}, "blank row"),
        (CHAT, {"messages": None}, "blank row"),
        (CHAT, {"messages": [ASK]}, "no answer"),
    ],
)
def test_one_odd_row_is_left_out_wherever_it_stands(
    good: dict[str, Any], odd: dict[str, Any], reason: str, position: int
) -> None:
    rows = [good] * (FIRST_ROWS + 100)
    rows[position] = odd
    format, read, bad = parse(*rows)
    assert format == parse(good)[0]
    assert bad == [(position + 1, reason)]
    assert len(read) == len(rows) - 1


@pytest.mark.parametrize("position", [0, 5, FIRST_ROWS + 5])
def test_an_instruction_that_is_null_beside_an_input_is_no_other_format(position: int) -> None:
    rows = [ALPACA] * (FIRST_ROWS + 10)
    rows[position] = {"instruction": None, "input": "2+2?", "output": "4"}
    assert parse(*rows) == ("alpaca", list(range(1, len(rows) + 1)), [])


@pytest.mark.parametrize("position", [1, FIRST_ROWS + 5])
@pytest.mark.parametrize(
    ("rows", "other"),
    [
        (CHAT, ALPACA),
        (CHAT, {**CHAT, "messages": None, "prompt": "2+2?", "completion": "4"}),
        (ALPACA, {**ALPACA, "output": ["4", "5"]}),
        ({"instruction": "2+2?", "output": ["4", "5"]}, {"instruction": "2+2?", "output": "4"}),
    ],
)
def test_two_formats_in_one_file_are_refused(rows: dict[str, Any], other: dict[str, Any], position: int) -> None:
    mixed = [rows] * (FIRST_ROWS + 10)
    mixed[position] = other
    with pytest.raises(DataError, match=rf"line {position + 1}: mixed formats: this row is \w+, those before are \w+"):
        parse(*mixed)


@pytest.mark.parametrize(
    "more", [{**CHAT, "label": False}, {**CHAT, "rejected_response": "5"}, {**CHAT, "chosen": "4", "rejected": "5"}]
)
def test_conversations_that_turn_into_preferences_are_never_mixed(more: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"line {FIRST_ROWS + 2}: mixed formats: .* those before are messages"):
        parse(*[CHAT] * (FIRST_ROWS + 1), more)
    # Among the first rows it decides for all, and what is given as conversations is refused.
    with pytest.raises(DataError, match=r"holds preferences \(format \w+\); conversations are expected here"):
        parse(CHAT, more, kind="conversations")


def test_the_rows_behind_the_first_are_read_one_at_a_time() -> None:
    taken = 0

    def stream() -> Iterator[tuple[int, dict[str, Any]]]:
        nonlocal taken
        for number in range(1, 1001):
            taken = number
            yield number, CHAT

    rows = parse_rows(stream(), "d.jsonl").rows
    assert taken == FIRST_ROWS
    for expected in (1, 2):
        assert next(rows).number == expected
    assert taken == FIRST_ROWS


def test_nulls_everywhere_are_bad_rows_of_the_format_that_has_these_keys() -> None:
    assert parse(*[{"instruction": "2+2?", "input": "", "output": None}] * 3) == (
        "alpaca",
        [],
        [(n, "empty answer") for n in (1, 2, 3)],
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_unknown_columns_are_refused_with_the_mapping_that_would_help(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    write_rows(path, [{"id": 1, "frage": "2+2?", "antwort": "4"}] * 2)
    with pytest.raises(DataError) as caught:
        list(read_records(path))
    assert "no known format has the keys 'id, frage, antwort'" in str(caught.value)
    assert "`columns: {prompt: frage, completion: antwort}`" in str(caught.value)
    mapping = {"prompt": "frage", "completion": "antwort"}
    records = list(read_records(path, reading=Reading(columns=mapping)))
    expected = (Message("user", "2+2?"), Message("assistant", "4"))
    assert records == [Conversation(expected, row=1), Conversation(expected, row=2)]


@pytest.mark.parametrize(
    ("row", "remedy"),
    [
        ({"chat": [ASK, FOUR]}, r"columns: \{messages: chat\}"),
        ({"question": "2+2?", "chosen": "4"}, r"columns: \{prompt: question, chosen: chosen, rejected: …\}"),
        ({"text": "Q: 2+2?\nA: 4"}, "'text' alone does not say where the question ends .* hh-rlhf"),
        ({"message_id": "b", "parent_id": "a", "text": "4", "role": "assistant"}, "one message of a tree"),
        ({"number": 3}, r"columns: \{prompt: …, completion: …\}"),
        ({"a": None, "b": " "}, "hold nothing"),
        ({"instruction": "2+2?", "completions": [{"response": "4"}]}, r"several answers \('completions'\)"),
        ({"prompt": "2+2?", "response_1": "4", "response_2": "5"}, "several answers .'response_1' and 'response_2'"),
        ({"system": "Be brief.", "chat": "Hello"}, r"columns: \{prompt: …, completion: …\}"),
        ({"message_id": "a", "parent_id": None, "text": "2+2?", "role": "prompter"}, "one message of a tree"),
    ],
)
def test_a_refusal_says_what_to_do(row: dict[str, Any], remedy: str) -> None:
    with pytest.raises(DataError, match=f"^d.jsonl, line 1: .*{remedy}"):
        parse(row)


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match=r"columns: completion: no column 'answr'; the rows have question, answer"):
        parse({"question": "2+2?", "answer": "4"}, reading=Reading(columns={"completion": "answr"}))


@pytest.mark.parametrize(
    ("columns", "cause"),
    [
        ({"question": "prompt"}, "unknown name 'question'; known are "),
        ({"prompt": "q", "completion": "q"}, "'q' is named twice"),
    ],
)
def test_a_mapping_in_the_wrong_direction_is_refused(columns: dict[str, str], cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        Reading(columns=columns)
