"""Rows that are preferences: each format's keys, read into a prompt with a chosen and a rejected answer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from typing import Any

from corpus.files import Row, json_type
from corpus.formats.conversations import (
    read_answer,
    read_conversation,
    read_prepared_messages,
    read_prompt,
    read_question,
    require,
    require_answer,
)
from corpus.formats.dialogue import split_dialogue
from corpus.formats.keys import KeyLedger, is_empty, is_metadata
from corpus.formats.kinds import Format
from corpus.formats.messages import Messages, read_messages, read_turns
from corpus.formats.tools import write_tools
from corpus.formats.unreadable import Unreadable, quote

# Prompt, chosen answer, rejected answer.
Sides = tuple[Messages, Messages, Messages]

_TRUTHS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def truth_of(value: Any) -> bool | None:
    """Whether a label says yes or no, None where it says neither. Tables write 0 and 1, or words.

    >>> truth_of(1), truth_of("False"), truth_of("maths"), truth_of(2)
    (True, False, None, None)
    """
    if isinstance(value, (bool, int, float, str)):
        return _TRUTHS.get(str(value).strip().lower())
    return None


def read_preference(row: Row, format: Format, keys: KeyLedger) -> Sides:
    """The three sides of a row of a format that holds preferences, without what stands beside them."""
    return PREFERENCE_READERS[format](row, keys)


def _preference(row: Row, keys: KeyLedger) -> Sides:
    chosen, rejected = read_answer(row, "chosen", keys), read_answer(row, "rejected", keys)
    # UltraFeedback's `messages` are the chosen conversation once more.
    repeated = row.get("prompt") is None and row.get("messages") == row["chosen"]
    given = () if repeated else read_prompt(row, keys) or ()
    if not given and isinstance(row["chosen"], str) and isinstance(row["rejected"], str):
        chosen, rejected = (_dialogue(row, key) for key in ("chosen", "rejected"))
    if given and chosen[: len(given)] == rejected[: len(given)] == given:
        shared = given
    elif given and {chosen[0].role, rejected[0].role} <= {"assistant", "tool"}:
        return given, chosen, rejected
    else:
        # Whole conversations, as in TRL's implicit-prompt form: the prompt is what both begin with.
        longest = min(max(i for i, turn in enumerate(side) if turn.role == "assistant") for side in (chosen, rejected))
        pairs = zip(chosen[:longest], rejected[:longest], strict=True)
        shared = tuple(turn for turn, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if not shared:
            raise Unreadable("no prompt", "no prompt: 'chosen' and 'rejected' begin with different messages")
        if given and given[-1].content.strip() not in {turn.content.strip() for turn in shared}:
            raise Unreadable("no prompt", "'prompt' is not in the conversation that 'chosen' and 'rejected' begin with")
    chosen, rejected = chosen[len(shared) :], rejected[len(shared) :]
    return shared, require_answer(chosen, "chosen"), require_answer(rejected, "rejected")


def _dialogue(row: Row, key: str) -> Messages:
    turns = split_dialogue(row[key])
    if turns is None:
        raise Unreadable("no prompt", f"no prompt: no key 'prompt', and {key!r} is no dialogue of marked turns")
    return turns


def _sharegpt_preference(row: Row, keys: KeyLedger) -> Sides:
    prompt = read_messages(require(row, "conversations"), "conversations", keys)
    return prompt, read_answer(row, "chosen", keys), read_answer(row, "rejected", keys)


def _rejected_response(row: Row, keys: KeyLedger) -> Sides:
    prompt, chosen = _split_at_answer(_read_base(row, keys))
    rejected = require(row, "rejected_response")
    if isinstance(rejected, list) and len(rejected) > 1 and all(isinstance(text, str) for text in rejected):
        raise Unreadable("more than two answers", "'rejected_response' lists several answers; write a row for each")
    return prompt, chosen, read_answer(row, "rejected_response", keys)


def _ranked(row: Row, keys: KeyLedger) -> Sides:
    answers = require(row, "output")
    if not isinstance(answers, list):
        raise Unreadable("wrong type", f"'output' is {json_type(answers)}; expected two answers, the better one first")
    if len(answers) > 2:
        raise Unreadable("more than two answers", f"'output' lists {len(answers)} answers; write a row for each pair")
    if len(answers) < 2 or any(is_empty(answer) for answer in answers):
        raise Unreadable("empty answer", "'output' does not list two answers, the better one first")
    chosen, rejected = (read_turns(answer, "output", "assistant", keys) for answer in answers)
    return read_question(row, keys), chosen, rejected


def _openai_preference(row: Row, keys: KeyLedger) -> Sides:
    given = require(row, "input")
    if not isinstance(given, dict):
        raise Unreadable("wrong type", f"'input' is {json_type(given)}; expected an object with messages")
    for key, value in given.items():
        if key not in ("messages", "tools") and not is_metadata(key) and not is_empty(value):
            keys.note_unread(f"input.{key}")
    prompt = read_messages(require(given, "messages"), "messages", keys)
    return prompt, read_answer(row, "preferred_output", keys), read_answer(row, "non_preferred_output", keys)


def read_inner_tools(row: Row) -> str:
    """The tools of an OpenAI preference, which stand beside its messages."""
    given = row.get("input")
    return write_tools(given.get("tools")) if isinstance(given, dict) else ""


def _unpaired(row: Row, keys: KeyLedger) -> Sides:
    label = require(row, "label")
    liked = truth_of(label)
    if liked is None:
        raise Unreadable("no label", f"'label' is {quote(label)}; expected true or false, or 1 or 0")
    if row.get("completion") is not None:
        prompt = read_turns(require(row, "prompt"), "prompt", "user", keys)
        answer = read_answer(row, "completion", keys)
    else:
        prompt, answer = _split_at_answer(_read_base(row, keys))
    return (prompt, answer, ()) if liked else (prompt, (), answer)


# Our column that tells a conversation's format, in the order in which the dialects are tried.
_BASES: tuple[tuple[str, Format], ...] = (
    ("completion", "prompt_completion"),
    ("messages", "messages"),
    ("conversations", "sharegpt"),
    ("output", "alpaca"),
    ("text", "text"),
)


def _read_base(row: Row, keys: KeyLedger) -> Messages:
    """The conversation of a row that is a conversation and more."""
    held = [base for column, base in _BASES if row.get(column) is not None]
    there = [base for column, base in _BASES if column in row]
    return read_conversation(row, next(iter((*held, *there)), "prompt_completion"), keys)


def _split_at_answer(messages: Messages) -> tuple[Messages, Messages]:
    """What comes before the last answer, and that answer."""
    require_answer(messages)
    if messages[-1].role != "assistant":
        raise Unreadable("no answer", f"the last message is the {messages[-1].role}'s; expected the answer")
    return messages[:-1], messages[-1:]


def _prepared_preference(row: Row, keys: KeyLedger) -> Sides:
    # Any of the three may be empty: an unpaired row has one answer only.
    prompt, chosen, rejected = (
        read_prepared_messages(row[key], key) if row.get(key) else () for key in ("prompt", "chosen", "rejected")
    )
    if not chosen and not rejected:
        raise Unreadable("no answer", "neither 'chosen' nor 'rejected' holds an answer")
    return prompt, chosen and require_answer(chosen, "chosen"), rejected and require_answer(rejected, "rejected")


PREFERENCE_READERS: dict[Format, Callable[[Row, KeyLedger], Sides]] = {
    "preference": _preference,
    "sharegpt_preference": _sharegpt_preference,
    "rejected_response": _rejected_response,
    "ranked": _ranked,
    "openai_preference": _openai_preference,
    "unpaired": _unpaired,
    "prepared_preference": _prepared_preference,
}
