"""Conversations as token ids with a mask over the response tokens, through the tokenizer's own chat template."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from corpus.errors import EntropylawError
from corpus.records import ROLES, Message, Preference, Record

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

END_OF_TURN = "<|end|>"
PADDING = "<|pad|>"
ROLE_TOKENS = tuple(f"<|{role}|>" for role in ROLES)

# The template of models made from scratch. The generation markers let the tokenizer report which tokens are the
# assistant's, for the probe here and for TRL's assistant_only_loss alike.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

# The word alone would not do: nearly every template mentions add_generation_prompt.
GENERATION_MARKER = re.compile(r"\{%[-+]?\s*generation\b")


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """One conversation as tokens. ``response``: for each of ``ids``, whether the model must produce it."""

    ids: tuple[int, ...]
    response: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class EncodedAnswer:
    """A prompt, which the model is given, and an answer, which it must produce up to the end of the turn, as tokens."""

    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]

    def after(self, prompt_ids: tuple[int, ...], max_length: int) -> EncodedRow:
        """The answer after a prompt, its own or another one, cut at ``max_length`` tokens in all.

        >>> EncodedAnswer((1, 2), (3, 4, 5)).after((8,), 3)
        EncodedRow(ids=(8, 3, 4), response=(False, True, True))
        """
        ids = (prompt_ids + self.answer_ids)[:max_length]
        return EncodedRow(ids, tuple(i >= len(prompt_ids) for i in range(len(ids))))


def to_chat(messages: Iterable[Message]) -> list[dict[str, str]]:
    """The messages as chat templates and chat endpoints take them."""
    return [{"role": message.role, "content": message.content} for message in messages]


def training_messages(record: Record) -> tuple[Message, ...]:
    """The messages a model is trained on: a conversation, or a prompt with its chosen answer, else the rejected one."""
    if isinstance(record, Preference):
        return record.prompt + (record.chosen or record.rejected)
    return record.messages


def check_chat_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise EntropylawError when the tokenizer cannot say which tokens are the assistant's."""
    name = tokenizer.name_or_path or "the tokenizer"
    if not tokenizer.chat_template:
        raise EntropylawError(
            f"{name}: the tokenizer has no chat template; "
            "set base_model.chat_template to vicuna, llama-3 or a Jinja file, or save one with the model"
        )
    if not GENERATION_MARKER.search(str(tokenizer.chat_template)):
        raise EntropylawError(
            f"{name}: the chat template has no {{% generation %}} markers, so the response tokens are unknown; "
            "put {% generation %}…{% endgeneration %} around the assistant's text in it, "
            "or set base_model.chat_template to vicuna, llama-3 or a Jinja file"
        )
    if not getattr(tokenizer, "is_fast", False):
        raise EntropylawError(
            f"{name}: the tokenizer cannot say which token a character belongs to, so the response tokens are unknown; "
            "name a model that has a tokenizer.json"
        )


def encode_conversation(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], max_length: int
) -> EncodedRow | None:
    """A conversation as tokens under the chat template, cut at ``max_length``; None when no response token is left.

    Raises EntropylawError when the template refuses the messages, as many do with a system or tool role.
    """
    encoded = _apply_template(tokenizer, messages, return_assistant_tokens_mask=True)
    ids = tuple(encoded["input_ids"][:max_length])
    response = tuple(bool(flag) for flag in encoded["assistant_masks"][:max_length])
    # The first token is never predicted, so a response there alone carries no loss.
    return EncodedRow(ids, response) if any(response[1:]) else None


def encode_answer(
    tokenizer: PreTrainedTokenizerBase, prompt: Sequence[Message], answer: Sequence[Message], max_length: int
) -> EncodedAnswer | None:
    """A prompt and its answer as tokens; None when the prompt leaves no room for the answer within ``max_length``.

    They are told apart as TRL does it: the tokens of the prompt alone and of both together begin alike, and what
    follows is the answer. Assistant turns of the prompt belong to the prompt. Raises EntropylawError when the template
    refuses the messages.
    """
    prompt_ids = _apply_template(tokenizer, prompt, add_generation_prompt=True)["input_ids"]
    ids = _apply_template(tokenizer, (*prompt, *answer))["input_ids"]
    common = 0
    while common < min(len(prompt_ids), len(ids)) and prompt_ids[common] == ids[common]:
        common += 1
    # The first token is never predicted, so it must not be the answer's.
    return EncodedAnswer(tuple(ids[:common]), tuple(ids[common:])) if 0 < common < min(len(ids), max_length) else None


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[int, ...]:
    """The messages as tokens, up to where the model begins its answer.

    Raises EntropylawError when the template refuses the messages.
    """
    return tuple(_apply_template(tokenizer, messages, add_generation_prompt=True)["input_ids"])


def _apply_template(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], **options: Any) -> Any:
    from jinja2 import TemplateError, TemplateSyntaxError

    name = tokenizer.name_or_path or "the tokenizer"
    try:
        return tokenizer.apply_chat_template(to_chat(messages), tokenize=True, return_dict=True, **options)
    except TemplateSyntaxError as error:
        raise EntropylawError(f"{name}: the chat template, line {error.lineno}: {error.message}") from None
    except TemplateError as error:
        roles = ", ".join(message.role for message in messages)
        raise EntropylawError(f"{name}: the chat template refuses the roles {roles}: {error}") from None
