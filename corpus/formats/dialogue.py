"""A whole dialogue in one text, as `chosen` and `rejected` of hh-rlhf, cut into its turns."""

from __future__ import annotations

import re

from corpus.records import Message, Role

# How published texts mark who speaks: Anthropic's hh-rlhf, OpenAssistant's guanaco, and ChatML. A marker counts at the
# beginning of the text and behind a line break (in hh-rlhf behind two), never inside a line.
_MARKERS: tuple[tuple[re.Pattern[str], dict[str, Role]], ...] = (
    (re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):[ \t]?"), {"Human": "user", "Assistant": "assistant"}),
    (
        re.compile(r"(?:\A\s*|\n)### (Human|Assistant|System):[ \t]?"),
        {"Human": "user", "Assistant": "assistant", "System": "system"},
    ),
    (
        re.compile(r"(?:\A\s*|\n)<\|im_start\|>(system|user|assistant|tool)\n"),
        {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool"},
    ),
)
_END_OF_TURN = re.compile(r"<\|im_end\|>\s*\Z")


def split_dialogue(text: str) -> tuple[Message, ...] | None:
    r"""The turns of a dialogue, or None where the text is none: it must begin with somebody who is not the assistant.

    >>> [(turn.role, turn.content) for turn in split_dialogue("\n\nHuman: 2+2?\n\nAssistant: 4")]
    [('user', '2+2?'), ('assistant', '4')]
    """
    for pattern, roles in _MARKERS:
        marks = list(pattern.finditer(text))
        # Text before the first mark would be lost.
        if not marks or text[: marks[0].start()].strip() or roles[marks[0][1]] == "assistant":
            continue
        ends = [*(mark.start() for mark in marks[1:]), len(text)]
        turns = [
            Message(roles[mark[1]], _END_OF_TURN.sub("", text[mark.end() : end]))
            for mark, end in zip(marks, ends, strict=True)
        ]
        if any(turn.role == "assistant" for turn in turns):
            return tuple(turns)
    return None
