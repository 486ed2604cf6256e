"""A conversation under its chat template, as text; what the template writes out of it, and what it leaves out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from corpus.records import Message
from training.template_inputs import TEXT, Structures, TemplateInput, to_template_input
from training.template_limits import TemplateLimitError, limited_template, require_fitting_length

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Words that no template writes by itself: whether one comes out tells whether the template reads what it was put into.
_NAME, _KEY, _VALUE, _TEXT, _OTHER = (f"sentinel{i}x" for i in range(5))
_CALLS = json.dumps([{"name": _NAME, "arguments": {_KEY: _VALUE}}])
_FIELDS = {"type": "object", "properties": {_KEY: {"type": "string", "description": _TEXT}}, "required": [_KEY]}
_TOOLS = json.dumps([{"name": _NAME, "description": _TEXT, "parameters": _FIELDS}])


def fit_structures(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], tools: str) -> Structures:
    """The structures to give this row's template: those it writes, or none where it refuses them in this row.

    Some templates take one call a turn, or no reasoning beside a call. Such a row is then given as text, and where they
    take what a tool answered only after a call of their own form, the user says it.
    """
    if not tools and not any(m.reasoning or m.tool_calls or m.role == "tool" for m in messages):
        return TEXT
    found = find_structures(tokenizer)
    for structures in (found, found.none(), replace(found.none(), tool=False)):
        try:
            render(tokenizer, to_template_input(messages, tools, structures))
        except TemplateLimitError:
            raise
        except Exception:  # nosec B112 # a template may raise anything on what it does not expect
            continue
        return structures
    return found


def find_structures(tokenizer: PreTrainedTokenizerBase) -> Structures:
    """What the tokenizer's chat template writes out, found by giving it each thing and looking for it in the text.

    The source alone would not do: a template may name the tools in a comment, or read them and not the calls.
    """
    special = json.dumps(tokenizer.special_tokens_map, default=str)
    return _find_structures(str(tokenizer.get_chat_template()), special)


@lru_cache(maxsize=16)
def _find_structures(template: str, special_tokens: str) -> Structures:
    special = json.loads(special_tokens)
    asked, answered = Message("user", "q"), Message("assistant", _TEXT)
    calling = [(asked, Message("assistant", content, tool_calls=_CALLS)) for content in ("", _TEXT)]

    def writes(wanted: Sequence[str], messages: Sequence[Message], structures: Structures, tools: str = "") -> bool:
        try:
            given = to_template_input(messages, tools, structures)
            text = _render_template(template, special, given, add_generation_prompt=False, spans=False).text
        except TemplateLimitError:
            raise
        except Exception:  # a template may raise anything on what it does not expect
            return False
        return all(word in text for word in wanted)

    def writes_calls(structures: Structures) -> bool:
        return all(writes((_NAME, _KEY, _VALUE, turns[1].content), turns, structures) for turns in calling)

    system = writes((_OTHER,), (Message("system", _OTHER), asked, answered), TEXT)
    objects, texts = (Structures(tool_calls=True, arguments_as_text=flag) for flag in (False, True))
    by_object = writes_calls(objects)
    by_text = not by_object and writes_calls(texts)
    calls = Structures(tool_calls=by_object or by_text, arguments_as_text=by_text)
    return Structures(
        tools=writes((_NAME, _KEY), (asked, answered), Structures(tools=True), _TOOLS),
        tool_calls=calls.tool_calls,
        reasoning=writes((_VALUE, _TEXT), (asked, replace(answered, reasoning=_VALUE)), Structures(reasoning=True)),
        arguments_as_text=by_text,
        system=system,
        tool=writes((_OTHER,), (asked, calling[0][1], Message("tool", _OTHER), answered), calls),
    )


def writes_generation_prompt(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the chat template, asked for an answer, writes the header of one. Many older templates do not."""
    special = json.dumps(tokenizer.special_tokens_map, default=str)
    return _writes_generation_prompt(str(tokenizer.get_chat_template()), special)


@lru_cache(maxsize=16)
def _writes_generation_prompt(template: str, special_tokens: str) -> bool:
    special, given = json.loads(special_tokens), to_template_input([Message("user", _TEXT)], "", TEXT)

    def write(asking: bool) -> str | None:
        try:
            return _render_template(template, special, given, asking, spans=False).text
        except TemplateLimitError:
            raise
        except Exception:  # some refuse a question that no answer follows, unless they are asked for one
            return None

    asked = write(True)
    return asked is not None and asked != write(False)


class Rendered(NamedTuple):
    """A conversation under its chat template. ``spans``: from where to where each part lies that the model produces."""

    text: str
    spans: list[tuple[int, int]]


def render(
    tokenizer: PreTrainedTokenizerBase,
    given: TemplateInput,
    add_generation_prompt: bool = False,
    spans: bool = False,
) -> Rendered:
    """The conversation as text, as ``apply_chat_template`` writes it, with its ``spans`` where they are asked for.

    A template that refuses the conversation raises jinja2's errors, or any other; one without end a TemplateLimitError.
    """
    return _render_template(
        tokenizer.get_chat_template(), tokenizer.special_tokens_map, given, add_generation_prompt, spans
    )


def _render_template(
    template: str, special_tokens: dict[str, Any], given: TemplateInput, add_generation_prompt: bool, spans: bool
) -> Rendered:
    # What apply_chat_template itself calls. It gives the marks of tokens, and not the text nor where turns begin.
    from transformers.utils.chat_template_utils import render_jinja_template

    render_template: Any = render_jinja_template  # its annotations say that it returns text alone
    with limited_template():
        texts, found = render_template(
            conversations=[given.chat],
            tools=given.tools,
            chat_template=template,
            return_assistant_tokens_mask=spans,
            add_generation_prompt=add_generation_prompt,
            **special_tokens,
        )
    require_fitting_length(len(texts[0]), sum(map(len, _list_texts(given))))
    return Rendered(texts[0], found[0] if spans else [])


def lacks_text(text: str, given: TemplateInput) -> bool:
    """Whether a rendered conversation lacks something that the template was given: a content, a reasoning, a call.

    Blanks do not count, which templates strip and lay out anew, nor does the form in which a call is written.

    >>> lacks_text("user: Hi", TemplateInput([{"role": "user", "content": " Hi "}], None))
    False
    >>> lacks_text("", TemplateInput([{"role": "user", "content": "Hi"}], None))
    True
    """
    missing = [part for part in _list_texts(given) if part.strip() not in text]
    if not missing:
        return False
    squeezed = "".join(text.split())
    return any(
        "".join(part.split()) not in squeezed
        and "".join(json.dumps(part, ensure_ascii=False)[1:-1].split()) not in squeezed
        for part in missing
    )


def _list_texts(given: TemplateInput) -> Iterator[str]:
    for turn in given.chat:
        yield turn["content"]
        if len(turn) > 2:
            yield turn.get("reasoning_content", "")
            for call in turn.get("tool_calls", ()):
                yield call["function"]["name"]
                yield from _list_strings(call["function"]["arguments"])
    for tool in given.tools or ():
        function = tool.get("function", tool)
        if isinstance(function, dict):
            yield from (str(function.get(key) or "") for key in ("name", "description"))


def _list_strings(value: Any) -> Iterator[str]:
    """All text in the arguments of a call: their names and the texts among their values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _list_strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _list_strings(item)
