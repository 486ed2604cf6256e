"""Roles: whose turn it is. Chat templates and trainers expect user and assistant in turn, after one system message."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from corpus.records import Conversation, Message
from monitor.lint.check import Hit, row_check
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow

REPEATED_TURN = Issue(
    "W201",
    "repeated-turn",
    "The same speaker twice in a row",
    "Two user messages, or two assistant messages without a tool call, follow each other. Chat templates such as "
    "Llama 2's, Mistral's and Gemma's refuse that; others train on it as it stands.",
    "Join the two messages, or restore the one that is missing between them.",
)
UNANSWERED = Issue(
    "W202",
    "no-last-answer",
    "Conversations that do not end with an answer",
    "The last message is not the assistant's, so nothing is learned from it.",
    "Remove what follows the last answer, or add the answer.",
)
LATE_SYSTEM = Issue(
    "W203",
    "system-not-first",
    "System messages that are not first",
    "A system message follows another message. Most chat templates refuse that, or drop it without a word.",
    "Move it to the beginning, and join it with the one that is there.",
)
ASSISTANT_FIRST = Issue(
    "W204",
    "assistant-first",
    "Conversations that the assistant begins",
    "The assistant speaks before the user does. Chat templates such as Mistral's and Gemma's refuse that.",
    "Put the user's message before it, or begin with the user's first message.",
)
BLANK_TURN = Issue(
    "W205",
    "blank-turn",
    "Blank messages",
    "A message before the last answer says nothing at all, neither in words nor by a tool call.",
    "Restore its text, or remove the message with its answer.",
)
NO_PROMPT = Issue(
    "W206",
    "no-prompt",
    "Answers to nothing",
    "Nothing is asked: no user message has a text.",
    "Restore the prompts. Rows that are meant to be plain text are not for instruction tuning.",
)


def look(row: LintRow) -> Iterator[Hit]:
    """The order of the messages of a conversation, or of a prompt with its chosen answer."""
    spoken = [message for message in row.dialogue if message.role != "system"]
    first_spoken = next((i for i, message in enumerate(row.dialogue) if message.role != "system"), 0)
    if any(before.role == after.role and _must_alternate(before, after) for before, after in _neighbours(spoken)):
        yield Hit(REPEATED_TURN, row.index)
    if isinstance(row.record, Conversation) and row.dialogue[-1].role != "assistant":
        yield Hit(UNANSWERED, row.index, f"ends with {row.dialogue[-1].role}")
    if any(message.role == "system" for message in row.dialogue[first_spoken:]):
        yield Hit(LATE_SYSTEM, row.index)
    if not row.sides.prompt.strip():
        yield Hit(NO_PROMPT, row.index)
    elif spoken and spoken[0].role == "assistant":
        yield Hit(ASSISTANT_FIRST, row.index)
    # A blank system message says that there is none.
    blank = [message for message in spoken if not message.text.strip() and message is not row.final_answer]
    if blank and row.sides.prompt.strip():
        yield Hit(BLANK_TURN, row.index, f"blank {blank[0].role} message")


def _neighbours(messages: list[Message]) -> Iterator[tuple[Message, Message]]:
    return pairwise(messages)


def _must_alternate(before: Message, after: Message) -> bool:
    if before.role == "user":
        return True
    return before.role == "assistant" and not before.tool_calls and not after.tool_calls


CHECK = row_check((REPEATED_TURN, UNANSWERED, LATE_SYSTEM, ASSISTANT_FIRST, BLANK_TURN, NO_PROMPT), look)
