"""Chat templates: a model's own, a published format or a file; and the tokens that end an answer under each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from sys import maxsize
from typing import TYPE_CHECKING

from corpus.errors import EntropylawError, ParamsError
from corpus.records import Message
from training.chat import PLAIN_CONVERSATION, check_chat_template, encode_conversation
from training.prefix_rendering import GENERATION_MARKER
from training.template_inputs import to_chat
from training.template_limits import TemplateLimitError, limited_template

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# The formats of the paper's two models (Appendix B): Vicuna's for Mistral-7B, Llama 3's for Llama-3-8B.
PUBLISHED = ("vicuna", "llama-3")
TEMPLATES = Path(__file__).parent / "templates"
# A control token as the published formats write it.
CONTROL_TOKEN = re.compile(r"<\|\w+\|>")
# The system message that Qwen 2.5's templates add to a conversation without one. TRL knows the chat models' templates,
# whose message begins with the model's name; the base models' templates differ from them in this alone.
QWEN_SYSTEM, QWEN_NAME = "You are a helpful assistant.", "You are Qwen, created by Alibaba Cloud. "

SYSTEM, QUESTION, ANSWER = Message("system", "s"), Message("user", "q"), Message("assistant", "a")


def read_chat_template(choice: str) -> str:
    """The Jinja text that ``base_model.chat_template`` names: that of a published format or of a file.

    Raises ParamsError when it is neither.

    >>> "ASSISTANT:" in read_chat_template("vicuna")
    True
    """
    if choice in PUBLISHED:
        return (TEMPLATES / f"{choice}.jinja").read_text(encoding="utf-8")
    try:
        text = Path(choice).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(
            f"base_model.chat_template: {choice!r} is neither {' nor '.join(PUBLISHED)}, and no such file is here"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or "not UTF-8"
        raise ParamsError(f"base_model.chat_template: {choice} cannot be read: {cause}") from None
    return text


def prepare_chat_template(tokenizer: PreTrainedTokenizerBase, template: str | None = None) -> None:
    """Make the tokenizer use a chat template that tells the assistant's tokens.

    It is ``template``, or the tokenizer's own where that is None. If its own lacks the markers around them and TRL
    knows the template, TRL's form with markers is taken; else they are found as ``prefix_rendering`` finds them. If
    ``template`` does not use the tokenizer's end token, the token that ends answers under it becomes the end token.
    Raises EntropylawError when nothing tells the tokens, or when the template does not suit the tokenizer.
    """
    if template is not None:
        _check_tokens(tokenizer, template)
        tokenizer.chat_template = template
    elif isinstance(tokenizer.chat_template, dict):  # one for each use, such as tools and retrieval
        tokenizer.chat_template = tokenizer.chat_template.get("default")
    own = tokenizer.chat_template
    if template is None and own and not GENERATION_MARKER.search(own):
        tokenizer.chat_template = mark_known_template(tokenizer) or own
    check_chat_template(tokenizer)
    if template is not None:
        ends = find_answer_ends(tokenizer)
        if not ends:
            raise EntropylawError(
                f"{tokenizer.name_or_path or 'the tokenizer'}: base_model.chat_template marks no end token in the "
                "answers, so a model would not learn to stop; end each answer with such a token, inside the "
                "{% generation %} markers where there are any"
            )
        if "eos_token" not in template:
            tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ends[-1])


def _check_tokens(tokenizer: PreTrainedTokenizerBase, template: str) -> None:
    """Raise EntropylawError when the template needs tokens that the tokenizer does not have."""
    name = tokenizer.name_or_path or "the tokenizer"
    if "eos_token" in template and tokenizer.eos_token is None:
        raise EntropylawError(
            f"{name}: the tokenizer has no end token, with which base_model.chat_template ends answers; add one to it"
        )
    if template in map(read_chat_template, PUBLISHED):
        known = tokenizer.get_added_vocab()
        missing = [token for token in dict.fromkeys(CONTROL_TOKEN.findall(template)) if token not in known]
        if missing:
            raise EntropylawError(
                f"{name}: the tokenizer has no token {missing[0]} and would split it into pieces; "
                "set base_model.chat_template to vicuna or to a Jinja file that suits this model"
            )


def mark_known_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The tokenizer's own template with generation markers, where TRL knows it (Qwen, Llama 3, Gemma, Phi…), else None.

    Both forms must write the same text when the answer comes last. In a longer conversation, the marked form of Qwen 3
    writes the empty thinking block into earlier answers too, where the model's own leaves it out: all answers are
    trained on, so all of them should look alike.
    """
    own = str(tokenizer.chat_template)
    marked = _ask_trl(tokenizer, own)
    if marked is None and QWEN_SYSTEM in own:
        named = _ask_trl(tokenizer, own.replace(QWEN_SYSTEM, QWEN_NAME + QWEN_SYSTEM))
        marked = None if named is None else named.replace(QWEN_NAME, "")
    chats = ([QUESTION, ANSWER], [SYSTEM, QUESTION, ANSWER])
    if marked is None or any(_render(tokenizer, chat, marked) != _render(tokenizer, chat, own) for chat in chats):
        return None
    return marked


def _ask_trl(tokenizer: PreTrainedTokenizerBase, template: str) -> str | None:
    """TRL's form of ``template`` with generation markers, or None where it does not know it."""
    from trl.chat_template_utils import get_training_chat_template

    own = tokenizer.chat_template
    tokenizer.chat_template = template
    try:
        with limited_template():
            return get_training_chat_template(tokenizer)
    except TemplateLimitError:
        raise
    except Exception:  # TRL tries it with tool calls, and a template that it does not know may raise anything
        return None
    finally:
        tokenizer.chat_template = own


def _render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], template: str) -> str | None:
    """The conversation as text, or None where the template refuses it."""
    from jinja2 import TemplateError

    try:
        with limited_template():
            return str(tokenizer.apply_chat_template(to_chat(messages), tokenize=False, chat_template=template))
    except TemplateError:
        return None


def find_answer_ends(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Ids of the tokens that end an answer, in the middle of a conversation and at its end, each once.

    A line break that follows them in the template does not count. Empty when answers end in plain text. Raises
    EntropylawError when the template refuses a conversation of user and assistant.
    """
    row = encode_conversation(tokenizer, PLAIN_CONVERSATION, maxsize)
    if row is None:
        return ()
    special = {*tokenizer.get_added_vocab().values(), tokenizer.eos_token_id}
    ends: dict[int, None] = {}
    for is_answer, group in groupby(zip(row.ids, row.response, strict=True), key=lambda item: item[1]):
        if is_answer:
            visible = [token for token, _ in group if str(tokenizer.decode([token])).strip()]
            if visible and visible[-1] in special:
                ends[visible[-1]] = None
    return tuple(ends)


def stop_at_answer_ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Let ``model.generate`` also stop at the tokens that end an answer under the chat template.

    A base model's generation settings know only the end of a text: Llama 3 would go on after its turn. The settings are
    saved with the model.
    """
    settings = model.generation_config
    known = settings.eos_token_id
    ends = [] if known is None else known if isinstance(known, list) else [known]
    new = [token for token in find_answer_ends(tokenizer) if token not in ends]
    if new:
        settings.eos_token_id = [*new, *ends]
    if settings.pad_token_id is None:
        settings.pad_token_id = tokenizer.pad_token_id
