"""Messages as published data writes them: who speaks, what is said, thought, called and learned."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from corpus.errors import DataError
from corpus.formats import ROLE_NAMES, Reading, parse_row, parse_rows
from corpus.records import Conversation, Message, Preference

ASK, FOUR = Message("user", "2+2?"), Message("assistant", "4")
ask, four = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}
ADD = {"name": "add", "arguments": '{"a": 2}'}
CALL = '[{"arguments":{"a":2},"name":"add"}]'


def read(messages: Any, **beside: Any) -> tuple[Message, ...]:
    """The messages of a row, or of one whose first message is asked before."""
    record = parse_row({"messages": messages, **beside}, "messages", 1, "data.jsonl")
    assert isinstance(record, Conversation)
    return record.messages


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *[(name, "user") for name in ("user", "human", "Human", "prompter")],
        *[(name, "assistant") for name in ("assistant", "gpt", "GPT", "chatgpt", "bing", "bard", "bot", "model", "ai")],
        *[(name, "system") for name in ("system", "developer")],
        *[(name, "tool") for name in ("tool", "function", "observation", "tool_response", "ipython")],
    ],
)
def test_role_names_in_use_are_known(name: str, role: str) -> None:
    assert read([{"from": name, "value": "x"}, four])[0] == Message(role, "x")


def test_every_role_name_is_read_in_a_list_and_alone() -> None:
    for name, role in ROLE_NAMES.items():
        assert read([{"role": name, "content": "x"}, four])[0].role == role
        assert read([{"role": name.upper(), "content": "x", "name": "Ann"}, four])[0].role == role


SAME: dict[str, Any] = {
    "ShareGPT": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}],
    "MOSS": [{"speaker": "user", "text": "2+2?"}, {"speaker": "bot", "text": "4"}],
    "LangChain": [{"type": "human", "content": "2+2?"}, {"type": "ai", "content": "4"}],
    "LangChain, stored": [
        {"type": "human", "data": {"content": "2+2?", "additional_kwargs": {}}},
        {"type": "ai", "data": {"content": "4", "type": "ai", "example": False}},
    ],
    "Gemini": [{"role": "user", "parts": [{"text": "2+2?"}]}, {"role": "model", "parts": [{"text": "4"}]}],
    "Bedrock": [{"role": "user", "content": [{"text": "2+"}, {"text": "2?"}]}, four],
    "OpenAI's responses": [
        {"role": "user", "content": [{"type": "input_text", "text": "2+2?"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "4"}]},
    ],
    "LLaMA-Factory's newer form": [{"role": "user", "content": [{"type": "text", "value": "2+2?"}]}, four],
    "ChatGPT's export": [
        {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["2+2?"]}},
        {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": ["4"]}},
    ],
    "OpenAssistant": [{"role": "prompter", "text": "2+2?"}, {"role": "assistant", "text": "4"}],
    "value, text and markdown mixed": [{"from": "human", "text": "2+2?"}, {"from": "gpt", "markdown": "4"}],
    "JSON in a text": '[{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]',
    "Python's list in a text": str([ask, four]),
    "columns of a struct": {"role": ["user", "assistant"], "content": ["2+2?", "4"]},
    "columns of a struct, with nulls": {"role": ["user", "assistant"], "content": ["2+2?", "4"], "name": None},
    "texts in turn": ["2+2?", "4"],
    "pairs": [{"input": "2+2?", "output": "4"}],
    "bytes": [{"role": "user", "content": b"2+2?"}, four],
    "hh-rlhf": "\n\nHuman: 2+2?\n\nAssistant: 4",
    "guanaco": "### Human: 2+2?\n### Assistant: 4",
    "ChatML": "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>\n",
}


@pytest.mark.parametrize("case", SAME)
def test_one_conversation_in_many_forms(case: str) -> None:
    assert read(SAME[case]) == (ASK, FOUR)


@pytest.mark.parametrize("write", [json.dumps, str])
def test_messages_in_the_text_of_an_answer_are_messages(write: Callable[[Any], str]) -> None:
    five = {"role": "assistant", "content": "5"}
    row = {"prompt": write([ask]), "chosen": write([four]), "rejected": write([five])}
    record = parse_row(row, "preference", 1, "d.jsonl")
    assert record == Preference((ASK,), (FOUR,), (Message("assistant", "5"),), row=1)


@pytest.mark.parametrize("text", ["[{1: 2}]", "[1, 2]", "[{'a': 1}]", '[{"role": "x"}', "[{}, x]", "[{'role': open}]"])
def test_a_text_that_looks_like_a_list_stays_a_text(text: str) -> None:
    record = parse_row({"prompt": text, "completion": "4"}, "prompt_completion", 1, "d.jsonl")
    assert isinstance(record, Conversation) and record.messages[0] == Message("user", text)


def test_a_marker_inside_a_line_begins_no_turn() -> None:
    text = "\n\nHuman: Who said Human: what?\nAssistant: maybe\n\nAssistant: I."
    assert read(text) == (Message("user", "Who said Human: what?\nAssistant: maybe"), Message("assistant", "I."))


@pytest.mark.parametrize(
    "answer",
    [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": ADD}]},
        {"role": "assistant", "content": "", "tool_calls": [{"name": "add", "arguments": {"a": 2}}]},
        {"role": "assistant", "content": "", "tool_calls": '[{"name": "add", "arguments": {"a": 2}}]'},
        {"role": "assistant", "content": "", "tool_calls": [{"name": "add", "args": {"a": 2}, "type": "tool_call"}]},
        {"role": "assistant", "content": None, "function_call": ADD},
        {"role": "tool_call", "content": '{"name": "add", "arguments": {"a": 2}}'},
        {"from": "function_call", "value": '[{"name": "add", "arguments": {"a": 2}}]'},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "add", "input": {"a": 2}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "add", "args": {"a": 2}}}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "1", "name": "add", "input": {"a": 2}}}]},
    ],
)  # fmt: skip
def test_a_tool_call_has_one_canonical_form(answer: dict[str, Any]) -> None:
    assert read([ask, answer])[1] == Message("assistant", "", tool_calls=CALL)


def test_a_call_beside_a_text_keeps_both() -> None:
    (_, answer) = read([ask, {"role": "assistant", "content": "Let me see.", "function_call": {"name": "add"}}])
    assert answer == Message("assistant", "Let me see.", tool_calls='[{"arguments":{},"name":"add"}]')


def test_arguments_that_are_no_json_stay_a_text() -> None:
    call = {"name": "add", "arguments": "2 and 2"}
    assert read([ask, {"role": "assistant", "content": "", "tool_calls": [call]}])[1].tool_calls == (
        '[{"arguments":"2 and 2","name":"add"}]'
    )


def test_a_call_that_is_no_json_is_what_the_assistant_says() -> None:
    assert read([ask, {"from": "function_call", "value": "add(2, 2)"}])[1] == Message("assistant", "add(2, 2)")


@pytest.mark.parametrize(
    "result",
    [
        {"role": "tool", "content": "4"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "4"}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "1", "content": [{"text": "4"}]}}]},
        {"role": "observation", "content": "4"},
    ],
)
def test_what_a_tool_gives_back_is_said_by_the_tool(result: dict[str, Any]) -> None:
    assert read([ask, result, four])[1] == Message("tool", "4")


def test_an_object_that_a_tool_gives_back_is_kept_as_json() -> None:
    assert read([ask, {"role": "tool", "content": {"sum": 4}}, four])[1] == Message("tool", '{"sum":4}')


@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning"])
def test_a_thought_is_kept_apart(key: str) -> None:
    assert read([ask, {**four, key: "2 and 2"}])[1] == Message("assistant", "4", reasoning="2 and 2")


def test_a_part_that_is_a_thought_is_kept_apart() -> None:
    parts = [{"type": "thinking", "thinking": "2 and 2", "signature": "x"}, {"type": "text", "text": "4"}]
    assert read([ask, {"role": "assistant", "content": parts}])[1] == Message("assistant", "4", reasoning="2 and 2")


@pytest.mark.parametrize(
    "mask", [{"weight": 0}, {"weight": 0.0}, {"train": False}, {"training": False}, {"loss": False}]
)
def test_an_answer_that_is_not_learned_is_marked(mask: dict[str, object]) -> None:
    messages = read([ask, {**four, **mask}, ask, {**four, "weight": 1}])
    assert [message.trained for message in messages] == [True, False, True, True]


@pytest.mark.parametrize(
    ("turn", "cause"),
    [
        ({**four, "weight": 0.5}, "'weight' 0.5; a turn is learned (1) or not (0)"),
        ({**four, "loss": 0.1}, "'loss' 0.1; a turn is learned (1) or not (0)"),
        ({**ask, "train": True}, "'train' True, but only answers of the assistant are learned"),
    ],
)
def test_a_mask_that_cannot_be_followed_is_refused(turn: dict[str, Any], cause: str) -> None:
    with pytest.raises(DataError) as caught:
        read([turn, four])
    assert f"message 1 of 'messages' has {cause}" in str(caught.value)
    (key,) = turn.keys() - {"role", "content"}
    kept = parse_row({"messages": [turn, four]}, "messages", 1, "d.jsonl", Reading(ignore_keys=[key]))
    assert isinstance(kept, Conversation) and kept.messages[0].trained


@pytest.mark.parametrize("mask", [{"weight": 0}, {"train": False}, {"weight": 1}, {"weight": None}])
def test_a_mask_that_asks_for_what_is_done_anyway_changes_nothing(mask: dict[str, object]) -> None:
    assert read([{**ask, **mask}, four]) == (ASK, FOUR)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "x.png"}},
        {"type": "image"},
        {"type": "input_audio", "input_audio": {"data": "x"}},
        {"inlineData": {"mimeType": "image/png", "data": "x"}},
    ],
)
def test_images_and_sounds_are_refused_unless_they_are_ignored(part: dict[str, Any]) -> None:
    messages = [{"role": "user", "content": [part, {"type": "text", "text": "2+2?"}]}, four]
    name = part.get("type", "inlineData")
    with pytest.raises(DataError, match=rf"has a part that is '{name}', .*name {name} in prepare\.ignore_keys"):
        read(messages)
    parsed = parse_rows([(1, {"messages": messages})], "d.jsonl", Reading(ignore_keys=[name]))
    (row,) = parsed.rows
    assert isinstance(row.record, Conversation) and row.record.messages == (ASK, FOUR)
    assert parsed.keys.unread == {f"part.{name}": 1}


def test_two_texts_of_one_message_are_not_joined_and_the_other_is_named() -> None:
    parsed = parse_rows([(1, {"messages": [ask, {**four, "markdown": "**4**", "text": "4"}]})], "d.jsonl")
    (row,) = parsed.rows
    assert isinstance(row.record, Conversation) and row.record.messages[1] == FOUR
    assert parsed.keys.unread == {"message.markdown": 1}
