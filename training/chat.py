"""Conversations as token ids with a mask over the response tokens, through the tokenizer's own chat template."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from corpus.errors import EntropylawError
from corpus.records import ROLES, Message, Preference, Record
from training.prefix_rendering import GENERATION_MARKER, render_with_answers
from training.rendering import Rendered, fit_structures, lacks_text, render
from training.template_inputs import TemplateInput, to_template_input
from training.trained_turns import cut_untrained, find_trained_spans

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


# What every chat template can write, and find_answer_ends looks at: an answer with a turn after it, and a last one.
PLAIN_CONVERSATION = (Message("user", "q"), Message("assistant", "a")) * 2


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """One conversation as tokens.

    ``response``: for each of ``ids``, whether the model must produce it. ``text_lost``: the chat template left out a
    text of the conversation.
    """

    ids: tuple[int, ...]
    response: tuple[bool, ...]
    text_lost: bool = field(default=False, repr=False)

    def cut(self, max_length: int) -> EncodedRow | None:
        """The row's first ``max_length`` tokens; None when there is no response token among them.

        >>> EncodedRow((1, 2, 3), (False, True, True)).cut(2)
        EncodedRow(ids=(1, 2), response=(False, True))
        """
        ids, response = self.ids[:max_length], self.response[:max_length]
        # The first token is never predicted, so a response there alone carries no loss.
        return EncodedRow(ids, response, self.text_lost) if any(response[1:]) else None


@dataclass(frozen=True, slots=True)
class EncodedAnswer:
    """A prompt, which the model is given, and an answer, which it must produce up to the end of the turn, as tokens.

    ``text_lost``: the chat template left out a text of one of them.
    """

    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    text_lost: bool = field(default=False, repr=False)

    def after(self, prompt_ids: tuple[int, ...], max_length: int) -> EncodedRow:
        """The answer after a prompt, its own or another one, cut at ``max_length`` tokens in all.

        >>> EncodedAnswer((1, 2), (3, 4, 5)).after((8,), 3)
        EncodedRow(ids=(8, 3, 4), response=(False, True, True))
        """
        ids = (prompt_ids + self.answer_ids)[:max_length]
        return EncodedRow(ids, tuple(i >= len(prompt_ids) for i in range(len(ids))), self.text_lost)


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
    if not getattr(tokenizer, "is_fast", False):
        raise EntropylawError(
            f"{name}: the tokenizer cannot say which token a character belongs to, so the response tokens are unknown; "
            "name a model that has a tokenizer.json"
        )
    if not GENERATION_MARKER.search(str(tokenizer.chat_template)):
        _try_prefixes(tokenizer)


def _try_prefixes(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise EntropylawError when the answers of a plain conversation are not found under a template without markers."""
    try:
        row = encode_conversation(tokenizer, PLAIN_CONVERSATION, sys.maxsize)
    except EntropylawError as error:
        advice = "base_model.chat_template"
        if advice in str(error):
            raise
        raise EntropylawError(f"{error}; set {advice} to vicuna, llama-3 or a Jinja file") from None
    if row is None:
        raise EntropylawError(
            f"{tokenizer.name_or_path or 'the tokenizer'}: the chat template writes no answers, so there is nothing to "
            "train on; set base_model.chat_template to vicuna, llama-3 or a Jinja file"
        )


def encode_record(tokenizer: PreTrainedTokenizerBase, record: Record) -> EncodedRow:
    """The conversation that a model is trained on, whole, as ``encode_conversation`` encodes it.

    Raises EntropylawError when the template refuses the messages.
    """
    return _encode(tokenizer, training_messages(record), record.tools)


def encode_conversation(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], max_length: int, tools: str = ""
) -> EncodedRow | None:
    """A conversation as tokens under the chat template, cut at ``max_length``; None when no response token is left.

    Tools, tool calls and reasoning are given to the template as structures where it writes them, else as text. The
    turns that are not to be trained on are there, and none of their tokens is a response. Raises EntropylawError when
    the template refuses the messages, as many do with a system or tool role.
    """
    return _encode(tokenizer, messages, tools).cut(max_length)


def _encode(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], tools: str) -> EncodedRow:
    given = to_template_input(messages, tools, fit_structures(tokenizer, messages, tools))
    text, spans = _render(tokenizer, given, messages, spans=True)
    if not all(message.trained for message in messages):
        spans = find_trained_spans(tokenizer, given, messages, Rendered(text, spans))
    encoded = tokenizer(text, add_special_tokens=False)
    ids = tuple(encoded["input_ids"])
    response = [False] * len(ids)
    for start, end in spans:
        # Some tokenizers count no blank in front of a word as part of its token.
        found = (encoded.char_to_token(i) for i in range(start, end))
        first, last = next((token for token in found if token is not None), None), encoded.char_to_token(end - 1)
        if first is None:
            continue
        stop = last + 1 if last else len(ids)
        response[first:stop] = [True] * (stop - first)
    return EncodedRow(ids, tuple(response), lacks_text(text, given))


def encode_answer(
    tokenizer: PreTrainedTokenizerBase,
    prompt: Sequence[Message],
    answer: Sequence[Message],
    max_length: int,
    tools: str = "",
) -> EncodedAnswer | None:
    """A prompt and its answer as tokens; None when the prompt leaves no room for the answer within ``max_length``.

    They are told apart as TRL does it: the tokens of the prompt alone and of both together begin alike, and what
    follows is the answer. Assistant turns of the prompt belong to the prompt, and so do turns of the answer that are
    not to be trained on; None too when there is no other. Raises EntropylawError when the template refuses the
    messages.
    """
    inputs = answer_inputs(tokenizer, prompt, answer, tools)
    if inputs is None:
        return None
    before, whole = inputs
    prompt_ids = _tokenize(tokenizer, _render(tokenizer, before, prompt, add_generation_prompt=True).text)
    text = _render(tokenizer, whole, (*prompt, *answer)).text
    ids = _tokenize(tokenizer, text)
    common = 0
    while common < min(len(prompt_ids), len(ids)) and prompt_ids[common] == ids[common]:
        common += 1
    # The first token is never predicted, so it must not be the answer's.
    if not 0 < common < min(len(ids), max_length):
        return None
    return EncodedAnswer(ids[:common], ids[common:], lacks_text(text, whole))


def answer_inputs(
    tokenizer: PreTrainedTokenizerBase, prompt: Sequence[Message], answer: Sequence[Message], tools: str
) -> tuple[TemplateInput, TemplateInput] | None:
    """What the chat template is given of a prompt alone, and of the prompt with its answer.

    None where no turn of the answer is to be trained on.
    """
    trained = cut_untrained(prompt, answer)
    if trained is None:
        return None
    prompt, answer = trained
    structures = fit_structures(tokenizer, (*prompt, *answer), tools)
    before, whole = (to_template_input(turns, tools, structures) for turns in (prompt, (*prompt, *answer)))
    return before, whole


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], tools: str = "") -> tuple[int, ...]:
    """The messages as tokens, up to where the model begins its answer.

    Raises EntropylawError when the template refuses the messages.
    """
    given = to_template_input(messages, tools, fit_structures(tokenizer, messages, tools))
    return _tokenize(tokenizer, _render(tokenizer, given, messages, add_generation_prompt=True).text)


def _tokenize(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def _render(
    tokenizer: PreTrainedTokenizerBase,
    given: TemplateInput,
    messages: Sequence[Message],
    add_generation_prompt: bool = False,
    spans: bool = False,
) -> Rendered:
    from jinja2 import TemplateError, TemplateSyntaxError

    name = tokenizer.name_or_path or "the tokenizer"
    try:
        return render_with_answers(tokenizer, given) if spans else render(tokenizer, given, add_generation_prompt)
    except TemplateSyntaxError as error:
        raise EntropylawError(f"{name}: the chat template, line {error.lineno}: {error.message}") from None
    except TemplateError as error:
        roles = ", ".join(message.role for message in messages)
        raise EntropylawError(f"{name}: the chat template refuses the roles {roles}: {error}") from None
    except EntropylawError as error:
        raise EntropylawError(f"{name}: {error}") from None
    except Exception as error:  # it is a program, and may divide by zero
        raise EntropylawError(f"{name}: the chat template fails: {type(error).__name__}: {error}") from None
