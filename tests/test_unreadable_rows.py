"""Rows that are no records: each with what is wrong with it, and the reason that it is counted under."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus.errors import BadRow, DataError
from corpus.files import write_rows
from corpus.formats import Format, parse_row, parse_rows, read_records

ask, four = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}
more, nine = {"role": "user", "content": "Plus 5?"}, {"role": "assistant", "content": "9"}
five = {"role": "assistant", "content": "5"}


def said(role: str, text: str) -> dict[str, str]:
    return {"from": role, "value": text}


UNREADABLE: dict[str, tuple[Format, dict[str, object], str, str]] = {
    "unknown role": (
        "messages",
        {"messages": [ask, {"role": "robot", "content": "4"}]},
        "message 2 of 'messages' has unknown role 'robot'; known are system, user, assistant, tool",
        "unknown role",
    ),
    "no role": ("messages", {"messages": [{"content": "4"}]}, "message 1 of 'messages' has no 'role'", "unknown role"),
    "role a number": (
        "messages",
        {"messages": [{"role": 1, "content": "4"}]},
        "message 1 of 'messages' has unknown role 1",
        "unknown role",
    ),
    "unknown sender": (
        "sharegpt",
        {"conversations": [said("alien", "x")]},
        "message 1 of 'conversations' has unknown role 'alien'",
        "unknown role",
    ),
    "no answer": ("messages", {"messages": [ask]}, "no assistant turn", "no answer"),
    "no answer in sharegpt": ("sharegpt", {"conversations": [said("human", "x")]}, "no assistant turn", "no answer"),
    "no answer in completion": (
        "prompt_completion",
        {"prompt": [ask, four], "completion": [ask]},
        "no assistant turn in 'completion'",
        "no answer",
    ),
    "no answer in chosen": (
        "preference",
        {"prompt": [ask], "chosen": [ask], "rejected": [four]},
        "no assistant turn in 'chosen'",
        "no answer",
    ),
    "no answer left in rejected": (
        "preference",
        {"prompt": [ask, four], "chosen": [ask, four, more, nine], "rejected": [ask, four]},
        "no assistant turn in 'rejected'",
        "no answer",
    ),
    "all empty": (
        "messages",
        {"messages": [{"role": "user", "content": " "}, {"role": "assistant", "content": ""}]},
        "all texts are empty",
        "blank row",
    ),
    "all empty preference": (
        "preference",
        {"prompt": "", "chosen": "\n", "rejected": ""},
        "all texts are empty",
        "blank row",
    ),
    "content a number": (
        "messages",
        {"messages": [{"role": "user", "content": 4}]},
        "'content' of message 1 of 'messages' is a number; expected text",
        "wrong type",
    ),
    "content null": (
        "messages",
        {"messages": [{"role": "user", "content": None}]},
        "message 1 of 'messages': 'content' is null",
        "blank message",
    ),
    "no content": (
        "messages",
        {"messages": [{"role": "user"}]},
        "message 1 of 'messages': missing key 'content'",
        "blank message",
    ),
    "no value": (
        "sharegpt",
        {"conversations": [{"from": "human"}]},
        "message 1 of 'conversations': missing key 'value'",
        "blank message",
    ),
    "messages a string": (
        "messages",
        {"messages": "hello"},
        "'messages' is a string; expected a list of messages",
        "wrong type",
    ),
    "messages an object": (
        "messages",
        {"messages": ask},
        "'messages' is an object; expected a list of messages",
        "wrong type",
    ),
    "messages empty": ("messages", {"messages": []}, "'messages' is an empty list", "blank row"),
    "messages missing": ("messages", {"text": "hello"}, "missing key 'messages'", "missing key"),
    "instruction a list": (
        "alpaca",
        {"instruction": [1], "output": "x"},
        "'instruction' has a part that is a number",
        "wrong type",
    ),
    "input a number": (
        "alpaca",
        {"instruction": "x", "input": 0, "output": "x"},
        "'input' is a number; expected text",
        "wrong type",
    ),
    "output null": ("alpaca", {"instruction": "x", "output": None}, "'output' is null", "empty answer"),
    "system a boolean": (
        "sharegpt",
        {"system": False, "conversations": [said("human", "x"), said("gpt", "y")]},
        "'system' is a boolean; expected text",
        "wrong type",
    ),
    "prompt a number": (
        "prompt_completion",
        {"prompt": 4, "completion": "x"},
        "'prompt' is a number; expected a list of messages",
        "wrong type",
    ),
    "label missing": ("unpaired", {"prompt": "x", "completion": "y"}, "missing key 'label'", "missing key"),
    "no prompt, answers alone": (
        "preference",
        {"chosen": "4", "rejected": "5"},
        "no prompt: no key 'prompt'",
        "no prompt",
    ),
    "no common prompt": ("preference", {"chosen": [ask, four], "rejected": [more, five]}, "no prompt: ", "no prompt"),
    "another prompt": (
        "preference",
        {"prompt": "Hi", "chosen": [ask, four], "rejected": [ask, five]},
        "'prompt' is not in the conversation",
        "no prompt",
    ),
    "rejected missing": ("preference", {"prompt": "x", "chosen": "y"}, "missing key 'rejected'", "missing key"),
    "prepared without answers": (
        "prepared_preference",
        {"prompt": [ask], "chosen": [], "rejected": [], "row": 1},
        "neither 'chosen' nor 'rejected' holds an answer",
        "no answer",
    ),
    "prepared without a row": ("prepared", {"messages": [ask, four]}, "missing key 'row'", "wrong type"),
    "prepared row a string": (
        "prepared",
        {"messages": [ask, four], "row": "1"},
        "'row' is a string; expected a number",
        "wrong type",
    ),
    "only a question in a list of texts": ("messages", {"messages": ["hello"]}, "no assistant turn", "no answer"),
    "a call without a name": (
        "messages",
        {"messages": [ask, {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}]},
        "a tool call has no name",
        "wrong type",
    ),
    "a call that is no object": (
        "messages",
        {"messages": [ask, {"role": "assistant", "content": "", "tool_calls": ["add"]}]},
        "a tool call is a string",
        "wrong type",
    ),
    "label of another kind": (
        "unpaired",
        {"prompt": "x", "completion": "y", "label": "maths"},
        "'label' is 'maths'",
        "no label",
    ),
    "label null": ("unpaired", {"prompt": "x", "completion": "y", "label": None}, "'label' is null", "no label"),
    "the last message is not the answer": (
        "unpaired",
        {"messages": [ask, four, more], "label": True},
        "the last message is the user's; expected the answer",
        "no answer",
    ),
    "all null": ("alpaca", {"instruction": None, "input": None, "output": None}, "all texts are empty", "blank row"),
    "instruction null": ("alpaca", {"instruction": None, "output": "x"}, "'instruction' is null", "no prompt"),
    "chosen empty": (
        "preference",
        {"prompt": "x", "chosen": [], "rejected": "y"},
        "'chosen' is an empty list",
        "empty answer",
    ),
    "rejected null": (
        "preference",
        {"prompt": "x", "chosen": "y", "rejected": None},
        "'rejected' is null",
        "empty answer",
    ),
    "three ranked answers": (
        "ranked",
        {"instruction": "x", "output": ["a", "b", "c"]},
        "'output' lists 3 answers",
        "more than two answers",
    ),
    "one ranked answer": (
        "ranked",
        {"instruction": "x", "output": ["a"]},
        "'output' does not list two",
        "empty answer",
    ),
    "two rejected responses": (
        "rejected_response",
        {"messages": [ask, four], "rejected_response": ["a", "b"]},
        "'rejected_response' lists several answers",
        "more than two answers",
    ),
    "a history of single texts": (
        "alpaca",
        {"instruction": "x", "output": "y", "history": ["a", "b"]},
        "pair 1 of 'history' is a string",
        "wrong type",
    ),
    "a history of triples": (
        "alpaca",
        {"instruction": "x", "output": "y", "history": [["a", "b", "c"]]},
        "pair 1 of 'history' is a list of 3",
        "wrong type",
    ),
    "roles without contents": (
        "messages",
        {"messages": {"role": ["user", "assistant"], "content": ["2+2?"]}},
        "'messages' holds columns of different lengths",
        "wrong type",
    ),
    "no answer is learned": (
        "messages",
        {"messages": [ask, {**four, "weight": 0}]},
        "no answer is to be learned",
        "nothing to train on",
    ),
    "bytes that are no text": (
        "alpaca",
        {"instruction": b"2+2?", "output": b"\xff"},
        "'output' is binary data that is no UTF-8 text",
        "wrong type",
    ),
    "a text without turns": ("text", {"text": "Once upon a time"}, "'text' does not say where", "no prompt"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_an_unreadable_row_is_an_error_that_names_it(case: str) -> None:
    format, row, cause, _ = UNREADABLE[case]
    with pytest.raises(DataError) as caught:
        parse_row(row, format, 12, "data/sft.jsonl")
    assert str(caught.value).startswith(f"data/sft.jsonl, line 12: {cause}")


GOOD: dict[Format, dict[str, object]] = {
    "messages": {"messages": [ask, four]},
    "sharegpt": {"conversations": [said("human", "x"), said("gpt", "y")]},
    "alpaca": {"instruction": "x", "output": "y"},
    "prompt_completion": {"prompt": "x", "completion": "y"},
    "text": {"text": "### Human: x\n### Assistant: y"},
    "preference": {"prompt": "x", "chosen": "y", "rejected": "z"},
    "rejected_response": {"messages": [ask, four], "rejected_response": "z"},
    "ranked": {"instruction": "x", "output": ["y", "z"]},
    "unpaired": {"prompt": "x", "completion": "y", "label": True},
}


@pytest.mark.parametrize("case", [case for case, (format, *_) in UNREADABLE.items() if format in GOOD])
def test_among_good_rows_it_is_left_out_and_counted_under_its_reason(case: str) -> None:
    format, row, cause, reason = UNREADABLE[case]
    bad: list[BadRow] = []
    numbered = list(enumerate([GOOD[format], row, GOOD[format]], start=1))
    parsed = parse_rows(numbered, "data.jsonl", bad_rows=bad.append)
    assert [item.number for item in parsed.rows] == [1, 3]
    assert parsed.format == format
    assert [(item.number, item.reason) for item in bad] == [(2, reason)]
    assert bad[0].detail.startswith(cause)


def test_without_a_listener_the_first_bad_row_ends_the_reading(tmp_path: Path) -> None:
    write_rows(tmp_path / "data.jsonl", [GOOD["messages"], {"message": [ask, five]}])
    with pytest.raises(DataError, match="line 2: missing key 'messages'"):
        list(read_records(tmp_path / "data.jsonl"))


def test_a_parquet_row_is_called_a_row() -> None:
    with pytest.raises(DataError, match=r"^pool\.parquet, row 12: no assistant turn$"):
        parse_row({"messages": [ask]}, "messages", 12, "pool.parquet")


def test_a_bad_row_is_explained_under_the_names_of_the_file() -> None:
    bad: list[BadRow] = []
    rows = [{"question": "2+2?", "answer": "4"}, {"question": "2+3?", "answer": None}]
    assert len(list(parse_rows(enumerate(rows, start=1), "qa.jsonl", bad_rows=bad.append).rows)) == 1
    assert bad == [BadRow(2, "empty answer", "'answer' is null")]
