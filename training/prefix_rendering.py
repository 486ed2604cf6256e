"""Where the answers lie under a chat template that does not mark them: found by rendering prefix after prefix.

A template writes a conversation from front to back. So what it writes of the conversation before an answer, with the
words that ask for one, and of the conversation up to and with the answer, both begin the whole text alike, and the
answer lies between. Decision 37 has the reasons.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from corpus.errors import EntropylawError
from training.rendering import Rendered, render, writes_generation_prompt
from training.template_inputs import Chat, TemplateInput
from training.template_limits import TemplateLimitError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Span = tuple[int, int]

# The word alone would not do: nearly every template mentions add_generation_prompt.
GENERATION_MARKER = re.compile(r"\{%[-+]?\s*generation\b")
# Stands for the text of an answer, to see what a template writes around it. No template writes it by itself, strips it,
# or takes it for a mark of its own.
STAND_IN = "standin0x"


def render_with_answers(tokenizer: PreTrainedTokenizerBase, given: TemplateInput) -> Rendered:
    """The conversation as text, with the spans that the model produces: each answer and the token that ends it.

    They are those that the template marks with ``{% generation %}``, or where it has no such markers those found by
    ``find_answer_spans``. Raises as ``render`` and ``find_answer_spans`` do.
    """
    if GENERATION_MARKER.search(str(tokenizer.get_chat_template())):
        return render(tokenizer, given, spans=True)
    text = render(tokenizer, given).text
    return Rendered(text, find_answer_spans(tokenizer, given, text))


def find_answer_spans(tokenizer: PreTrainedTokenizerBase, given: TemplateInput, text: str) -> list[Span]:
    """From where to where each answer of a rendered conversation lies, with its end token, in characters.

    ``text``: the conversation as the template writes it. The header of an answer is not part of it, nor is a line break
    after its end token. Raises EntropylawError that names the turn where the template writes so differently with other
    turns after it, or with another answer, that nothing tells which words are the answer's.
    """
    spans: list[Span] = []
    for i, turn in enumerate(given.chat):
        if turn["role"] != "assistant":
            continue
        start = _find_start(tokenizer, given, i, text)
        end = _find_end(tokenizer, given, i, text)
        if spans and start < spans[-1][1]:
            _refuse(given, i)
        if start < end:
            spans.append((start, end))
    return spans


def _find_start(tokenizer: PreTrainedTokenizerBase, given: TemplateInput, i: int, text: str) -> int:
    if writes_generation_prompt(tokenizer):
        asked = _try_rendering(tokenizer, given, given.chat[:i], add_generation_prompt=True)
        if asked and text.startswith(asked):  # some write nothing before a first turn
            return len(asked)
    # The template asks for answers in other words than it writes above them later, as for some thinking models; or it
    # never asks; or it writes no such beginning of a conversation.
    before, _ = _surround(tokenizer, given, given.chat[:i], given.chat[i], given.chat[i + 1 :]) or _refuse(given, i)
    if text.startswith(before):
        return len(before)
    # It reads thoughts out of the text of this answer, where the word in its place has none.
    earlier = _try_rendering(tokenizer, given, given.chat[:i])
    if not earlier or not text.startswith(earlier):
        _refuse(given, i)
    return max(len(earlier), count_shared(before, text))


def _find_end(tokenizer: PreTrainedTokenizerBase, given: TemplateInput, i: int, text: str) -> int:
    told = _try_rendering(tokenizer, given, given.chat[: i + 1])
    if told is not None and text.startswith(told):
        return len(told.rstrip())
    # The template writes its last answer in another way than earlier ones, as Qwen 3 with its thinking, or ends every
    # conversation, as Phi 3. But what closes an answer is the same.
    turn, later = given.chat[i], given.chat[i + 1 :]
    _, after = _surround(tokenizer, given, given.chat[:i], turn, later) or _refuse(given, i)
    _, closing = (
        _surround(tokenizer, given, given.chat[:i], turn, [])
        or _surround(tokenizer, given, [{"role": "user", "content": STAND_IN[::-1]}], turn, [])
        or _refuse(given, i)
    )
    if not text.endswith(after):
        _refuse(given, i)
    # Token by token: </s> and <s> begin alike.
    ours, others = (tokenizer(part, add_special_tokens=False) for part in (after, closing))
    shared = count_shared(ours["input_ids"], others["input_ids"])
    closed = ours.token_to_chars(shared - 1).end if shared else 0
    return len(text) - len(after) + len(after[:closed].rstrip())


def _surround(
    tokenizer: PreTrainedTokenizerBase, given: TemplateInput, earlier: Chat, turn: dict[str, Any], later: Chat
) -> tuple[str, str] | None:
    """What the template writes before and after the text of an answer between the turns ``earlier`` and ``later``.

    Found by putting a word in its place, that of its reasoning too. None where the template refuses that.
    """
    words = {key: STAND_IN for key in ("content", "reasoning_content") if turn.get(key) or key == "content"}
    text = _try_rendering(tokenizer, given, [*earlier, {**turn, **words}, *later])
    if text is None or not 0 < text.count(STAND_IN) <= len(words):  # or it writes an answer in two places
        return None
    return text[: text.index(STAND_IN)], text[text.rindex(STAND_IN) + len(STAND_IN) :]


def _try_rendering(
    tokenizer: PreTrainedTokenizerBase,
    given: TemplateInput,
    chat: Chat,
    add_generation_prompt: bool = False,
) -> str | None:
    """A part of the conversation as text; None where the template refuses it, which it may with any error."""
    try:
        return render(tokenizer, TemplateInput(chat, given.tools), add_generation_prompt).text
    except TemplateLimitError:
        raise
    except Exception:
        return None


def count_shared(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many items, such as characters, two sequences have in common from their beginning.

    >>> count_shared("abc", "abd")
    2
    """
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (left, right) in pairs if left != right), min(len(one), len(other)))


def _refuse(given: TemplateInput, i: int) -> NoReturn:
    raise EntropylawError(
        "the chat template has no {% generation %} markers, and what it writes of other turns changes with turn "
        f"{i + 1} of {len(given.chat)} ({given.chat[i]['role']}), so the response tokens are unknown; "
        "put {% generation %}…{% endgeneration %} around the assistant's text and its end token in it, "
        "or set base_model.chat_template to vicuna, llama-3 or a Jinja file that has them"
    )
