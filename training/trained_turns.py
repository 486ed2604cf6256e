"""Which part of a conversation a model learns: the answers that are to be trained on, turn by turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from corpus.records import Message
from training.prefix_rendering import count_shared
from training.rendering import Rendered, lacks_text, render
from training.template_inputs import TemplateInput

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Span = tuple[int, int]
Turns = tuple[Message, ...]


def cut_untrained(prompt: Sequence[Message], answer: Sequence[Message]) -> tuple[Turns, Turns] | None:
    """The prompt and the answer, where some turns of the answer are not to be trained on: those become prompt.

    An answer is learned in one piece. So it begins after its last untrained turn, and what follows its last trained
    turn is left out. None where no turn of it is to be trained on.

    >>> wrong, right = Message("assistant", "5", trained=False), Message("assistant", "4")
    >>> cut_untrained([Message("user", "2+2")], [wrong, right])[1] == (right,)
    True
    """
    if all(message.trained for message in answer):
        return tuple(prompt), tuple(answer)
    turns = [i for i, message in enumerate(answer) if message.role == "assistant"]
    trained = [i for i in turns if answer[i].trained]
    if not trained:
        return None
    end = trained[-1] + 1
    start = max((i + 1 for i in turns if i < end and not answer[i].trained), default=0)
    return (*prompt, *answer[:start]), tuple(answer[start:end])


def find_trained_spans(
    tokenizer: PreTrainedTokenizerBase, given: TemplateInput, messages: Sequence[Message], rendered: Rendered
) -> list[Span]:
    """The spans of a rendered conversation that a model learns, where some of its answers are not to be trained on.

    ``rendered``: the whole conversation with the spans of all answers. Most templates mark each answer once, and then
    the spans are the turns. Where they are not, each turn lies between the conversation up to it and up to the next.
    Empty where the template writes a turn in another way when others follow: then nothing tells the turns apart, and
    the row must not teach what it is not to teach.
    """
    answers = [message for message in messages if message.role == "assistant"]
    turns = [turn for turn in given.chat if turn["role"] == "assistant"]
    if len(rendered.spans) == len(answers) and all(
        _holds(rendered.text[start:end], turn) for (start, end), turn in zip(rendered.spans, turns, strict=True)
    ):
        return [span for span, answer in zip(rendered.spans, answers, strict=True) if answer.trained]
    untrained = _find_untrained_turns(tokenizer, given, messages, rendered.text)
    if untrained is None:
        return []
    kept = rendered.spans
    for turn in untrained:
        kept = [part for span in kept for part in _subtract(span, turn)]
    return kept


def _find_untrained_turns(
    tokenizer: PreTrainedTokenizerBase, given: TemplateInput, messages: Sequence[Message], text: str
) -> list[Span] | None:
    """From where to where the untrained turns lie in the text; None where that cannot be told."""
    added = len(given.chat) - len(messages)  # a system message with the tools
    found = []
    for i, message in enumerate(messages, start=added):
        if message.trained:
            continue
        try:
            begun = [TemplateInput(given.chat[:end], given.tools) for end in (i, i + 1)]
            parts = [render(tokenizer, part).text if part.chat else "" for part in begun]
        except Exception:  # a template may refuse half a conversation with any error
            return None
        # Some templates close whatever conversation they are given, so only the beginning is alike.
        start, end = (count_shared(part, text) for part in parts)
        if start >= end or not _holds(text[start:end], given.chat[i]):
            return None
        found.append((start, end))
    return found


def _holds(part: str, turn: dict[str, Any]) -> bool:
    """Whether this part of a text is that turn: it has its content. Reasoning may be left out of earlier turns."""
    return not lacks_text(part, TemplateInput([{"role": turn["role"], "content": turn["content"]}], None))


def _subtract(span: Span, turn: Span) -> list[Span]:
    """What is left of a span without a turn.

    >>> _subtract((2, 9), (4, 6)), _subtract((2, 4), (0, 9))
    ([(2, 4), (6, 9)], [])
    """
    (start, end), (low, high) = span, turn
    parts = [(start, min(end, low)), (max(start, high), end)]
    return [part for part in parts if part[0] < part[1]]
