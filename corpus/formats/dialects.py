"""The dialects of each format: under which keys published data has its columns, with one row of each as an example.

The table is what rows are recognised by, and what README.md and docs/formats.md are made from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from corpus.files import Row
from corpus.formats.dialogue import split_dialogue
from corpus.formats.keys import LABEL_KEYS
from corpus.formats.kinds import Format
from corpus.formats.preferences import truth_of


@dataclass(frozen=True)
class Dialect:
    """One way to write a format.

    ``columns``: our name of each column, and theirs; a row is in the dialect when it has all of them. ``optional``:
    columns that it may have besides. ``fits``: what a column must hold, where its name alone does not tell.
    ``used_by``: who writes rows so. ``example``: such a row.
    """

    format: Format
    columns: Mapping[str, str]
    used_by: str
    example: Row
    optional: Mapping[str, str] = field(default_factory=dict)
    fits: Mapping[str, Callable[[Any], bool]] = field(default_factory=dict)

    @property
    def renamed(self) -> dict[str, str]:
        """The columns that have another name here than in ours."""
        return {ours: theirs for ours, theirs in {**self.columns, **self.optional}.items() if ours != theirs}


# A null says nothing against a column.


def _is_list(value: Any) -> bool:
    return value is None or isinstance(value, list)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _is_answer(value: Any) -> bool:
    return not _is_texts(value)


def _is_said(value: Any) -> bool:
    return value is None or isinstance(value, (str, bytes, list, dict))


def _is_dialogue(value: Any) -> bool:
    return isinstance(value, str) and split_dialogue(value) is not None


def _holds_messages(value: Any) -> bool:
    return isinstance(value, dict) and "messages" in value


def is_label(value: Any) -> bool:
    return truth_of(value) is not None


# The rows of the examples.
_ASK, _YES, _NO = "Is tea hot?", "Yes, mostly.", "No."
_USER, _GOOD = {"role": "user", "content": _ASK}, {"role": "assistant", "content": _YES}
_BAD = {"role": "assistant", "content": _NO}
_HUMAN, _GPT = {"from": "human", "value": _ASK}, {"from": "gpt", "value": _YES}
_CHAT = [_USER, _GOOD]


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_PREFERENCES: tuple[Dialect, ...] = (
    Dialect(
        "openai_preference",
        _same("input", "preferred_output", "non_preferred_output"),
        "OpenAI's preference fine-tuning",
        {"input": {"messages": [_USER]}, "preferred_output": [_GOOD], "non_preferred_output": [_BAD]},
        fits={"input": _holds_messages},
    ),
    Dialect(
        "sharegpt_preference",
        _same("conversations", "chosen", "rejected"),
        "LLaMA-Factory",
        {"conversations": [_HUMAN], "chosen": _GPT, "rejected": {"from": "gpt", "value": _NO}},
    ),
    Dialect(
        "preference",
        _same("prompt", "chosen", "rejected"),
        "TRL, UltraFeedback; texts or messages",
        {"prompt": _ASK, "chosen": _YES, "rejected": _NO},
    ),
    Dialect(
        "preference",
        _same("instruction", "chosen", "rejected"),
        "LLaMA-Factory",
        {"instruction": "Answer.", "input": _ASK, "chosen": _YES, "rejected": _NO},
        optional=_same("input"),
    ),
    Dialect(
        "preference",
        {"prompt": "question", **_same("chosen", "rejected")},
        "Orca DPO pairs",
        {"system": "Be brief.", "question": _ASK, "chosen": _YES, "rejected": _NO},
    ),
    Dialect(
        "preference",
        _same("messages", "chosen", "rejected"),
        "axolotl",
        {"messages": [_USER], "chosen": _GOOD, "rejected": _BAD},
    ),
    Dialect(
        "preference",
        {"prompt": "input", **_same("chosen", "rejected")},
        "tables of pairs",
        {"input": _ASK, "chosen": _YES, "rejected": _NO},
    ),
    Dialect(
        "preference",
        _same("chosen", "rejected"),
        "TRL without a prompt, hh-rlhf; messages, or texts of marked turns",
        {"chosen": f"\n\nHuman: {_ASK}\n\nAssistant: {_YES}", "rejected": f"\n\nHuman: {_ASK}\n\nAssistant: {_NO}"},
    ),
    Dialect(
        "preference",
        {"chosen": "chosen_messages", "rejected": "rejected_messages"},
        "LLaMA-Factory's newer form",
        {"chosen_messages": _CHAT, "rejected_messages": [_USER, _BAD]},
    ),
    Dialect(
        "preference",
        {"chosen": "messages", "rejected": "rejected_messages"},
        "ms-swift",
        {"messages": _CHAT, "rejected_messages": [_USER, _BAD]},
    ),
    *(
        Dialect(
            "preference",
            {"prompt": prompt, "chosen": "chosen_response", "rejected": "rejected_response"},
            "tables of pairs",
            {prompt: _ASK, "chosen_response": _YES, "rejected_response": _NO},
        )
        for prompt in ("prompt", "question")
    ),
    Dialect(
        "rejected_response",
        _same("messages", "rejected_response"),
        "ms-swift; the last answer is the chosen one",
        {"messages": _CHAT, "rejected_response": _NO},
    ),
    Dialect(
        "rejected_response",
        {"prompt": "query", "completion": "response", "rejected_response": "rejected_response"},
        "ms-swift's older form",
        {"query": _ASK, "response": _YES, "rejected_response": _NO},
    ),
    Dialect(
        "ranked",
        _same("instruction", "output"),
        "LLaMA-Factory's older form; two answers, the better one first",
        {"instruction": "Answer.", "input": _ASK, "output": [_YES, _NO]},
        optional=_same("input"),
        fits={"output": _is_texts},
    ),
)

_CONVERSATIONS: tuple[Dialect, ...] = (
    Dialect(
        "prompt_completion",
        _same("prompt", "completion"),
        "TRL; texts or messages",
        {"prompt": _ASK, "completion": _YES},
    ),
    Dialect("messages", _same("messages"), "OpenAI, TRL, axolotl, ms-swift", {"messages": _CHAT}),
    Dialect("sharegpt", _same("conversations"), "ShareGPT, LLaMA-Factory", {"conversations": [_HUMAN, _GPT]}),
    Dialect(
        "alpaca",
        _same("instruction", "output"),
        "Alpaca, LLaMA-Factory",
        {"instruction": "Answer.", "input": _ASK, "output": _YES},
        optional=_same("input"),
        fits={"output": _is_answer},
    ),
    Dialect(
        "alpaca",
        {"instruction": "instruction", "input": "context", "output": "response"},
        "Dolly",
        {"instruction": _ASK, "context": "Tea is made with boiling water.", "response": _YES},
    ),
    Dialect(
        "alpaca",
        {"instruction": "instruction", "output": "response"},
        "GPTeacher and others",
        {"instruction": "Answer.", "input": _ASK, "response": _YES},
        optional={"input": "input"},
    ),
    Dialect(
        "messages",
        {"messages": "conversation"},
        "lmsys-chat-1m, WildChat",
        {"conversation": _CHAT},
        fits={"messages": _is_said},
    ),
    Dialect(
        "messages",
        {"messages": "data"},
        "UltraChat; texts in turn",
        {"data": [_ASK, _YES]},
        fits={"messages": _is_list},
    ),
    Dialect(
        "messages",
        {"messages": "dialogue"},
        "MOSS and others",
        {"dialogue": [{"speaker": "user", "text": _ASK}, {"speaker": "bot", "text": _YES}]},
        fits={"messages": _is_said},
    ),
    Dialect(
        "messages", {"messages": "turns"}, "exports of chat programs", {"turns": _CHAT}, fits={"messages": _is_list}
    ),
    Dialect(
        "messages",
        {"messages": "contents"},
        "Gemini",
        {"contents": [{"role": "user", "parts": [{"text": _ASK}]}, {"role": "model", "parts": [{"text": _YES}]}]},
        fits={"messages": _is_list},
    ),
    Dialect(
        "sharegpt",
        {"conversations": "items"},
        "older ShareGPT dumps",
        {"items": [_HUMAN, _GPT]},
        fits={"conversations": _is_list},
    ),
    *(
        Dialect(
            "prompt_completion",
            {"prompt": prompt, "completion": completion},
            used_by,
            {prompt: _ASK, completion: _YES},
            fits={"prompt": _is_said, "completion": _is_said},
        )
        for prompt, completion, used_by in (
            ("prompt", "response", "HelpSteer and others"),
            ("query", "response", "ms-swift's older form, MetaMath"),
            ("question", "answer", "GSM8K and others"),
            ("question", "response", "OpenOrca"),
            ("problem", "solution", "collections of mathematics"),
            ("input", "output", "OpenRLHF"),
        )
    ),
    Dialect(
        "text",
        _same("text"),
        "guanaco, hh-rlhf, ChatML; the turns marked in the text",
        {"text": f"### Human: {_ASK}\n### Assistant: {_YES}"},
        fits={"text": _is_dialogue},
    ),
)


def _with_label(dialect: Dialect, label: str) -> Dialect:
    return Dialect(
        "unpaired",
        {**dialect.columns, "label": label},
        "LLaMA-Factory" if label == "kto_tag" else "TRL, ms-swift, LLaMA-Factory",
        {**dialect.example, label: True},
        dialect.optional,
        {**dialect.fits, "label": is_label},
    )


# The first that a row fits is the one it is read in, so that those with more columns come first.
DIALECTS: tuple[Dialect, ...] = (
    *_PREFERENCES,
    *(_with_label(dialect, label) for dialect in _CONVERSATIONS for label in LABEL_KEYS),
    *_CONVERSATIONS,
)

# All names of ours that a column may be mapped to.
COLUMN_NAMES: tuple[str, ...] = tuple(
    sorted({name for dialect in DIALECTS for name in (*dialect.columns, *dialect.optional)})
)


def format_example(dialect: Dialect) -> str:
    """The example as one line of JSON."""
    return json.dumps(dialect.example, ensure_ascii=False)
