"""The shapes that training data comes in, each read into one record type.

| format                | keys                                    | record       |
|-----------------------|-----------------------------------------|--------------|
| `messages`            | `messages` (role, content)              | conversation |
| `sharegpt`            | `conversations` (from, value)           | conversation |
| `alpaca`              | `instruction`, `input`, `output`        | conversation |
| `prompt_completion`   | `prompt`, `completion`                  | conversation |
| `preference`          | `prompt`, `chosen`, `rejected`          | preference   |
| `sharegpt_preference` | `conversations`, `chosen`, `rejected`   | preference   |
| `unpaired`            | `prompt`, `completion`, `label`         | preference   |

`prepared` and `prepared_preference` are the canonical rows that `corpus.prepare` writes. A null counts as absent,
because parquet fills missing fields with nulls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from corpus.errors import DataError
from corpus.files import MAX_ROW_BYTES, Row, json_type, read_rows, row_error
from corpus.records import ROLES, Conversation, Message, Preference, Record, Role

Format = Literal[
    "messages",
    "sharegpt",
    "alpaca",
    "prompt_completion",
    "preference",
    "sharegpt_preference",
    "unpaired",
    "prepared",
    "prepared_preference",
]
FormatChoice = Literal["auto", Format]
Kind = Literal["conversations", "preferences"]

Messages = tuple[Message, ...]
# Prompt, chosen answer, rejected answer.
Sides = tuple[Messages, Messages, Messages]

ACCEPTED_KEYS = (
    "messages",
    "conversations",
    "instruction + output",
    "prompt + completion",
    "prompt + chosen + rejected",
    "conversations + chosen + rejected",
    "prompt + completion + label",
)

# Every spelling met in published ShareGPT, OpenAI, LLaMA-Factory, OpenAssistant and Gemma data.
ROLE_NAMES: dict[str, Role] = {
    **{role: role for role in ROLES},
    "developer": "system",
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "claude": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "function": "tool",
    "function_response": "tool",
    "observation": "tool",
    "ipython": "tool",
}
SOURCE_KEYS = ("source", "dataset", "source_name")
# The second is UltraFeedback's.
SCORE_KEYS = ("chosen_score", "score_chosen")


class _Unreadable(Exception):
    """Why a row is not a record; parse_row adds where it stands."""


def detect_format(row: Row) -> Format | None:
    """The format of a row by its keys, None when no format has them.

    >>> detect_format({"prompt": "2+2?", "completion": "4", "label": True})
    'unpaired'
    """
    keys = {key for key, value in row.items() if value is not None}
    if {"row", "hash", "source"} <= keys and {"messages", "prompt"} & keys:
        return "prepared" if "messages" in keys else "prepared_preference"
    # Preferences first: UltraFeedback's rows, for one, carry the chosen conversation as "messages" too.
    if {"chosen", "rejected"} <= keys:
        return "sharegpt_preference" if "conversations" in keys else "preference"
    if {"prompt", "completion"} <= keys:
        return "unpaired" if isinstance(row.get("label"), bool) else "prompt_completion"
    if "messages" in keys:
        return "messages"
    if "conversations" in keys:
        return "sharegpt"
    if {"instruction", "output"} <= keys:
        return "alpaca"
    return None


def parse_row(row: Row, format: Format, row_number: int, path: str | Path) -> Record:
    """Read one row of a known format.

    Raises DataError naming the row and the cause: a missing key, a value of the wrong type, an unknown role, a
    conversation or an answer without an assistant turn, or texts that are all empty.
    """
    try:
        record = _parse(row, format, row_number)
        if not any(message.text.strip() for _, message in record.turns()):
            raise _Unreadable("all texts are empty")
    except _Unreadable as error:
        raise row_error(path, str(error), row_number) from None
    return record


def parse_rows(
    rows: Iterable[tuple[int, Row]], path: str | Path, format: FormatChoice = "auto", kind: Kind | None = None
) -> Iterator[tuple[Format, Record]]:
    """Read numbered rows, all of one format; "auto" stands for the format of the first row.

    Raises DataError as ``parse_row`` does; for a first row of no known format or of the other ``kind``; and for a
    later row of another format.
    """
    expected: Format | None = None
    for number, row in rows:
        found = detect_format(row)
        # The format set in params.yaml is that of the raw data; the stages after `prepare` read prepared rows.
        if format != "auto" and found not in ("prepared", "prepared_preference"):
            found = format
        if expected is None:
            if found is None:
                keys = _quoted(", ".join(map(str, row)))
                cause = f"no known format has the keys {keys}; accepted are {'; '.join(ACCEPTED_KEYS)}"
                raise row_error(path, cause, number)
            expected = found
        if kind is not None and kind != kind_of(expected):
            raise DataError(path, f"holds {kind_of(expected)} (format {expected}); {kind} are expected here")
        if found is not None and found != expected:
            cause = f"mixed formats: this row is {found}, those before are {expected}; split the file or set the format"
            raise row_error(path, cause, number)
        yield expected, parse_row(row, expected, number, path)


def read_records(
    path: str | Path, format: FormatChoice = "auto", kind: Kind | None = None, max_row_bytes: int = MAX_ROW_BYTES
) -> Iterator[Record]:
    """Stream the records of a data file.

    ``Record.row`` is the row's number in this file; a prepared row keeps the number it had in the file it came from.

    Raises DataError as ``read_rows`` and ``parse_rows`` do.
    """
    return (record for _, record in parse_rows(read_rows(path, max_row_bytes), path, format, kind))


def kind_of(format: Format) -> Kind:
    """Whether rows of a format are conversations or preferences.

    >>> kind_of("alpaca"), kind_of("unpaired")
    ('conversations', 'preferences')
    """
    return "conversations" if format in _CONVERSATIONS else "preferences"


def _parse(row: Row, format: Format, row_number: int) -> Record:
    source = next((row[key] for key in SOURCE_KEYS if isinstance(row.get(key), str)), "")
    if format in ("prepared", "prepared_preference"):
        row_number = _required(row, "row")
        if type(row_number) is not int:
            raise _Unreadable(f"'row' is {json_type(row_number)}; expected a number")
    if format in _CONVERSATIONS:
        return Conversation(_with_answer(_CONVERSATIONS[format](row)), source, row_number)
    prompt, chosen, rejected = _PREFERENCES[format](row)
    return Preference(prompt, chosen, rejected, source, row_number, _chosen_score(row) if chosen else None)


def _alpaca(row: Row) -> Messages:
    instruction = _text(_required(row, "instruction"), "'instruction'")
    context = _optional_text(row, "input")
    prompt = Message("user", f"{instruction}\n\n{context}" if context else instruction)
    return _with_system(row, (prompt, Message("assistant", _text(_required(row, "output"), "'output'"))))


def _unpaired(row: Row) -> Sides:
    label = _required(row, "label")
    if not isinstance(label, bool):
        raise _Unreadable(f"'label' is {json_type(label)}; expected true or false")
    prompt, answer = _turns(row, "prompt", "user"), _answer(row, "completion")
    return (prompt, answer, ()) if label else (prompt, (), answer)


def _sharegpt_preference(row: Row) -> Sides:
    return _with_system(row, _messages(row, "conversations")), _answer(row, "chosen"), _answer(row, "rejected")


def _preference(row: Row) -> Sides:
    chosen, rejected = _answer(row, "chosen"), _answer(row, "rejected")
    given = _turns(row, "prompt", "user") if row.get("prompt") is not None else ()
    if given and chosen[: len(given)] == rejected[: len(given)] == given:
        shared = given
    elif given and {chosen[0].role, rejected[0].role} <= {"assistant", "tool"}:
        return _with_system(row, given), chosen, rejected
    else:
        # Whole conversations, as in TRL's implicit-prompt form: the prompt is what both begin with.
        longest = min(max(i for i, turn in enumerate(side) if turn.role == "assistant") for side in (chosen, rejected))
        pairs = zip(chosen[:longest], rejected[:longest], strict=True)
        shared = tuple(turn for turn, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if not shared:
            raise _Unreadable("no prompt: no key 'prompt', and 'chosen' and 'rejected' begin with different messages")
        if given and given[-1].content.strip() not in {turn.content.strip() for turn in shared}:
            raise _Unreadable("'prompt' is not in the conversation that 'chosen' and 'rejected' begin with")
    chosen, rejected = chosen[len(shared) :], rejected[len(shared) :]
    return _with_system(row, shared), _with_answer(chosen, "chosen"), _with_answer(rejected, "rejected")


def _prepared_preference(row: Row) -> Sides:
    # Any of the three may be empty: an unpaired row has one answer only.
    prompt, chosen, rejected = (_messages(row, key) if row.get(key) else () for key in ("prompt", "chosen", "rejected"))
    if not chosen and not rejected:
        raise _Unreadable("neither 'chosen' nor 'rejected' holds an answer")
    return prompt, chosen and _with_answer(chosen, "chosen"), rejected and _with_answer(rejected, "rejected")


def _turns(row: Row, key: str, role: Role) -> Messages:
    """A text that ``role`` says, one message, or a list of messages."""
    value = _required(row, key)
    if isinstance(value, str):
        return (Message(role, value),)
    if isinstance(value, dict):
        return (_message(value, key),)
    return _messages(row, key)


def _answer(row: Row, key: str) -> Messages:
    return _with_answer(_turns(row, key, "assistant"), key)


def _messages(row: Row, key: str) -> Messages:
    value = _required(row, key)
    if not isinstance(value, list):
        raise _Unreadable(f"{key!r} is {json_type(value)}; expected a list of messages")
    if not value:
        raise _Unreadable(f"{key!r} is an empty list")
    return tuple([_message(item, key, number) for number, item in enumerate(value, start=1)])


def _message(item: object, key: str, number: int | None = None) -> Message:
    if not isinstance(item, dict):
        where = _locate(key, number)
        raise _Unreadable(f"{where} is {json_type(item)}; expected an object with a role and a content")
    role_key, content_key = ("from", "value") if item.get("from") is not None else ("role", "content")
    name, content = item.get(role_key), item.get(content_key)
    role = ROLE_NAMES.get(name.lower()) if isinstance(name, str) else None
    if role is not None and isinstance(content, str) and not item.get("tool_calls"):
        return Message(role, content)
    # The words of an error are made only now: made for every message, they would take a fifth of the reading time.
    where = _locate(key, number)
    if role is None:
        problem = f"no {role_key!r}" if name is None else f"unknown role {_quoted(name)}"
        raise _Unreadable(f"{where} has {problem}; known are {', '.join(ROLE_NAMES)}")
    if item.get("tool_calls"):
        # If they were dropped in silence, the text measured and trained on would not be the author's.
        raise _Unreadable(f"{where} has 'tool_calls', which are not read; write the call into {content_key!r}")
    return Message(role, _text(_required(item, content_key, where), f"{content_key!r} of {where}"))


def _locate(key: str, number: int | None) -> str:
    return f"{key!r}" if number is None else f"message {number} of {key!r}"


def _text(value: object, where: str) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise _Unreadable(f"{where} is {json_type(value)}; expected text")
    texts = []
    for part in value:  # OpenAI's content parts
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            found = _quoted(part.get("type")) if isinstance(part, dict) else json_type(part)
            raise _Unreadable(f"{where} has a part that is {found}; only text parts are read")
        texts.append(part["text"])
    return "".join(texts)


def _optional_text(row: Row, key: str) -> str:
    value = row.get(key)
    return "" if value is None else _text(value, f"{key!r}")


def _required(row: Row, key: str, where: str = "") -> Any:
    value = row.get(key)
    if value is None:
        problem = f"{key!r} is null" if key in row else f"missing key {key!r}"
        raise _Unreadable(f"{where}: {problem}" if where else problem)
    return value


def _with_answer(messages: Messages, key: str | None = None) -> Messages:
    if all(message.role != "assistant" for message in messages):
        raise _Unreadable(f"no assistant turn in {key!r}" if key else "no assistant turn")
    return messages


def _with_system(row: Row, messages: Messages) -> Messages:
    text = _optional_text(row, "system")
    return (Message("system", text), *messages) if text and messages[0].role != "system" else messages


def _chosen_score(row: Row) -> float | None:
    for key in SCORE_KEYS:
        value: Any = row.get(key)
        # The bounds also leave out NaN, which parquet columns hold where a score is missing.
        if type(value) in (int, float) and -1e300 < value < 1e300:
            return float(value)
    return None


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


_CONVERSATIONS: dict[Format, Callable[[Row], Messages]] = {
    "messages": lambda row: _messages(row, "messages"),
    "sharegpt": lambda row: _with_system(row, _messages(row, "conversations")),
    "alpaca": _alpaca,
    "prompt_completion": lambda row: _turns(row, "prompt", "user") + _answer(row, "completion"),
    "prepared": lambda row: _messages(row, "messages"),
}
_PREFERENCES: dict[Format, Callable[[Row], Sides]] = {
    "preference": _preference,
    "sharegpt_preference": _sharegpt_preference,
    "unpaired": _unpaired,
    "prepared_preference": _prepared_preference,
}
