"""Tools, calls and reasoning before a chat template: as structures where it writes them, as text where it does not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trl

from corpus.records import Message
from training.chat import CHAT_TEMPLATE, encode_conversation, encode_prompt
from training.chat_templates import read_chat_template
from training.rendering import find_structures, fit_structures, lacks_text
from training.small_model import train_tokenizer
from training.template_inputs import Structures, TemplateInput, to_chat, to_template_input

CALLS = '[{"arguments":{"city":"Paris","days":3},"name":"weather"}]'
TOOLS = '[{"description":"Tells the weather.","name":"weather","parameters":{"type":"object"}}]'
ASKED = Message("user", "Will it rain?")
CALL = Message("assistant", "Let me look.", reasoning="The forecast knows.", tool_calls=CALLS)
RESULT, ANSWER = Message("tool", "It pours."), Message("assistant", "Yes.", reasoning="It pours, so yes.")
ROW = (ASKED, CALL, RESULT, ANSWER)

# A format of its own, which writes each structure in its own way. The reasoning of earlier turns can be left out.
STRUCTURED = (
    "{% for tool in tools or [] %}[tool {{ tool.function.name }}: {{ tool.function | tojson }}]{% endfor %}"
    "{% for message in messages %}[{{ message.role }}] {% if message.role == 'assistant' %}{% generation %}"
    "{% if message.reasoning_content and (EARLIER or loop.last) %}({{ message.reasoning_content }}) {% endif %}"
    "{{ message.content }}{% for call in message.tool_calls or [] %}"
    "[call {{ call.function.name }} {{ ARGUMENTS }}]{% endfor %}<|end|>"
    "{% endgeneration %}{% else %}{{ message.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
BY_OBJECT, BY_TEXT = "{{ call.function.arguments | tojson }}", "{{ '' + call.function.arguments }}"


def structured(earlier: bool = True, arguments: str = BY_OBJECT) -> str:
    return STRUCTURED.replace("EARLIER", str(earlier)).replace("{{ ARGUMENTS }}", arguments)


def tokenizer_with(template: str) -> Any:
    tokenizer = train_tokenizer(["Will it rain? Let me look. The forecast knows. It pours, so yes."] * 3, 400)
    tokenizer.bos_token = "<|end|>"
    tokenizer.chat_template = template
    return tokenizer


def text_of(tokenizer: Any, messages: tuple[Message, ...], tools: str = "") -> str:
    row = encode_conversation(tokenizer, messages, 100_000, tools)
    assert row is not None
    return str(tokenizer.decode(row.ids))


def learned(tokenizer: Any, messages: tuple[Message, ...], tools: str = "") -> str:
    row = encode_conversation(tokenizer, messages, 100_000, tools)
    assert row is not None
    return str(tokenizer.decode([token for token, flag in zip(row.ids, row.response, strict=True) if flag]))


def test_a_template_that_writes_structures_gets_structures() -> None:
    tokenizer = tokenizer_with(structured())
    assert find_structures(tokenizer) == Structures(tools=True, tool_calls=True, reasoning=True)
    assert text_of(tokenizer, ROW, TOOLS) == (
        '[tool weather: {"description": "Tells the weather.", "name": "weather", "parameters": {"type": "object"}}]'
        "[user] Will it rain?<|end|>"
        '[assistant] (The forecast knows.) Let me look.[call weather {"city": "Paris", "days": 3}]<|end|>'
        "[tool] It pours.<|end|>[assistant] (It pours, so yes.) Yes.<|end|>"
    )
    assert learned(tokenizer, ROW, TOOLS) == (
        '(The forecast knows.) Let me look.[call weather {"city": "Paris", "days": 3}]<|end|>'
        "(It pours, so yes.) Yes.<|end|>"
    )
    assert tokenizer.decode(encode_prompt(tokenizer, ROW[:1], TOOLS)).endswith("Will it rain?<|end|>[assistant] ")


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, read_chat_template("vicuna")])
def test_a_template_that_reads_role_and_content_only_gets_all_as_text(template: str) -> None:
    tokenizer = tokenizer_with(template)
    found = find_structures(tokenizer)
    assert not (found.tools or found.tool_calls or found.reasoning)
    plain = (
        Message("system", TOOLS),
        ASKED,
        Message("assistant", f"The forecast knows.\nLet me look.\n{CALLS}"),
        RESULT,
        Message("assistant", "It pours, so yes.\nYes."),
    )
    assert text_of(tokenizer, ROW, TOOLS) == text_of(tokenizer, plain)
    assert learned(tokenizer, ROW, TOOLS) == learned(tokenizer, plain)


def test_tools_as_text_stand_after_the_rows_own_system_message() -> None:
    own = Message("system", "Be brief.")
    given = to_template_input((own, ASKED), TOOLS, Structures())
    assert given == ([{"role": "system", "content": f"Be brief.\n\n{TOOLS}"}, *to_chat([ASKED])], None)


def test_tools_as_text_begin_the_first_turn_where_the_template_refuses_a_system_message() -> None:
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    tokenizer = tokenizer_with(refusing + CHAT_TEMPLATE)
    assert f"{TOOLS}\n\nWill it rain?" in text_of(tokenizer, ROW, TOOLS)


def test_a_template_that_only_mentions_the_words_does_not_write_them() -> None:
    """As TRL's own form of Llama 3's template does in its comments."""
    tokenizer = tokenizer_with("{# tools, tool_calls, reasoning_content #}" + CHAT_TEMPLATE)
    assert find_structures(tokenizer) == find_structures(tokenizer_with(CHAT_TEMPLATE))
    assert "The forecast knows." in text_of(tokenizer, ROW, TOOLS)


def test_a_template_that_joins_arguments_to_text_gets_them_as_json_text() -> None:
    tokenizer = tokenizer_with(structured(arguments=BY_TEXT))
    assert find_structures(tokenizer).arguments_as_text
    assert '[call weather {"city": "Paris", "days": 3}]' in text_of(tokenizer, ROW, TOOLS)


def test_a_row_that_the_template_refuses_in_its_own_form_is_given_as_text() -> None:
    one_call = "{% if (message.tool_calls or []) | length > 1 %}{{ raise_exception('one call only') }}{% endif %}"
    tokenizer = tokenizer_with(structured().replace("[{{ message.role }}] ", one_call + "[{{ message.role }}] "))
    two = replace(CALL, tool_calls='[{"arguments":{},"name":"weather"},{"arguments":{},"name":"tides"}]')
    assert fit_structures(tokenizer, (ASKED, CALL), "") == find_structures(tokenizer)
    assert fit_structures(tokenizer, (ASKED, two), "") == find_structures(tokenizer).none()
    assert two.text in text_of(tokenizer, (ASKED, two))


@pytest.mark.parametrize("calls", ["not JSON", '{"name":"weather"}', '["weather"]', '[{"arguments":{}}]'])
def test_calls_in_another_shape_are_text(calls: str) -> None:
    tokenizer = tokenizer_with(structured())
    assert calls in text_of(tokenizer, (ASKED, replace(CALL, tool_calls=calls)))


def test_tools_in_another_shape_are_text_and_wrapped_ones_stay_as_they_are() -> None:
    found = Structures(tools=True)
    assert to_template_input((ASKED,), '["weather"]', found).tools is None
    assert to_template_input((ASKED,), '["weather"]', found).chat[0] == {"role": "system", "content": '["weather"]'}
    wrapped = '[{"type":"function","function":{"name":"weather"}}]'
    assert to_template_input((ASKED,), wrapped, found).tools == [{"type": "function", "function": {"name": "weather"}}]


def test_reasoning_of_another_role_is_text_because_no_template_looks_for_it_there() -> None:
    odd = Message("user", "Hello", reasoning="thinking aloud")
    assert to_chat([odd], Structures(reasoning=True)) == [{"role": "user", "content": "thinking aloud\nHello"}]


# --- What a template leaves out


def test_a_template_that_leaves_out_earlier_reasoning_loses_text_and_says_so() -> None:
    whole, last_only = (tokenizer_with(structured(earlier)) for earlier in (True, False))
    for tokenizer, lost in ((whole, False), (last_only, True)):
        row = encode_conversation(tokenizer, ROW, 1000)
        assert row is not None and row.text_lost is lost
    only_one = encode_conversation(last_only, (ASKED, ANSWER), 1000)
    assert only_one is not None and not only_one.text_lost


def test_a_masked_turn_is_context_though_the_template_leaves_out_its_reasoning() -> None:
    last_only = tokenizer_with(structured(earlier=False))
    assert (
        learned(last_only, (ASKED, replace(CALL, trained=False), RESULT, ANSWER)) == "(It pours, so yes.) Yes.<|end|>"
    )


def test_a_plain_row_loses_text_too_where_a_template_strips_thoughts_from_contents() -> None:
    strip = "message['content'].split('</think>')[-1]"
    tokenizer = tokenizer_with(CHAT_TEMPLATE.replace("message['content']", strip))
    thinking = encode_conversation(tokenizer, (ASKED, Message("assistant", "<think>rain</think>Yes.")), 1000)
    plain = encode_conversation(tokenizer, (ASKED, Message("assistant", "Yes.")), 1000)
    assert thinking is not None and thinking.text_lost
    assert plain is not None and not plain.text_lost


@pytest.mark.parametrize(
    ("text", "turn", "lost"),
    [
        ("<think>\nIt rains\n</think>\n\nYes.", {"content": "<think>It rains</think>Yes."}, False),
        ('"say \\"yes\\""', {"content": 'say "yes"'}, False),
        ("Yes.", {"content": "Yes.", "reasoning_content": "It rains"}, True),
        ("weather city Paris days", {"content": "", "tool_calls": ("weather", {"city": "Paris", "days": 3})}, False),
        ("weather city", {"content": "", "tool_calls": ("weather", {"city": "Paris"})}, True),
        ("city Paris", {"content": "", "tool_calls": ("weather", {"city": "Paris"})}, True),
        ("weather places Paris", {"content": "", "tool_calls": ("weather", {"places": ["Paris", "Rome"]})}, True),
    ],
)
def test_what_a_rendered_conversation_lacks(text: str, turn: dict[str, Any], lost: bool) -> None:
    if "tool_calls" in turn:
        name, arguments = turn["tool_calls"]
        turn = {**turn, "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}]}
    assert lacks_text(text, TemplateInput([{"role": "assistant", **turn}], None)) is lost


def test_a_tool_that_a_template_leaves_out_is_missed() -> None:
    tools = to_template_input((ASKED,), TOOLS, Structures(tools=True))
    assert lacks_text("Will it rain?", tools)
    assert not lacks_text("weather Tells the weather. Will it rain?", tools)


# --- Templates that teams really use, in the form in which TRL trains them

TRAINING_TEMPLATES = sorted((Path(trl.__file__).parent / "chat_templates").glob("*_training.jinja"))
# These take messages of pictures and text blocks, and no text alone.
OF_PICTURES = ("idefics3", "llava_next", "smolvlm")


@pytest.mark.parametrize(
    "path", [path for path in TRAINING_TEMPLATES if not path.name.startswith(OF_PICTURES)], ids=lambda path: path.stem
)
def test_every_template_that_trl_trains_shows_a_whole_row_or_says_that_it_does_not(path: Path) -> None:
    tokenizer = tokenizer_with(path.read_text(encoding="utf-8"))
    row = encode_conversation(tokenizer, ROW, 100_000, TOOLS)
    assert row is not None
    text = tokenizer.decode(row.ids)
    parts = [ASKED.content, CALL.content, CALL.reasoning, "weather", "Paris", RESULT.content, ANSWER.content]
    parts += [ANSWER.reasoning, "Tells the weather."]
    assert row.text_lost or all(part in text for part in parts)


@pytest.mark.parametrize(
    "path", [path for path in TRAINING_TEMPLATES if not path.name.startswith(OF_PICTURES)], ids=lambda path: path.stem
)
def test_under_every_template_that_trl_trains_a_masked_turn_is_context_only(path: Path) -> None:
    tokenizer = tokenizer_with(path.read_text(encoding="utf-8"))
    wrong = Message("assistant", "It snows.", trained=False)
    row = (ASKED, wrong, Message("user", "Sure?"), Message("assistant", "It pours."))
    assert "It snows." in text_of(tokenizer, row)
    assert "It snows." not in learned(tokenizer, row) and "It pours." in learned(tokenizer, row)
