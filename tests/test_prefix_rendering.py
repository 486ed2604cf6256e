"""Answers under chat templates without markers: found where the same template with markers has them."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given, settings

from corpus.errors import EntropylawError
from corpus.records import Conversation, Message
from tests.test_chat_templates import conversations, known_template, tokenizer_of
from training.chat import CHAT_TEMPLATE, encode_answer, encode_conversation, encode_record
from training.chat_templates import find_answer_ends, mark_known_template, prepare_chat_template, read_chat_template
from training.template_inputs import to_chat

MARKERS = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")
TOKENS = [
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|end|>",
    "[INST]",
    "[/INST]",
]
USER, ASSISTANT = Message("user", "Hello there"), Message("assistant", "I am fine.")
AGAIN, ANSWER = Message("user", "And now?"), Message("assistant", "Still fine.")

# Each as published, with markers where a person would put them: around the answer and the token that ends it.
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message.content + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# SmolLM2's adds a system message to a conversation without one.
SMOLLM2 = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n' }}"
    "{% endif %}" + CHATML
)
# Never asks for an answer.
SILENT_CHATML = CHATML[: CHATML.index("{% if add_generation_prompt")]
LLAMA_2 = (
    "{% if messages[0].role == 'system' %}{% set system = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}"
    "{% set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
    "{% for message in turns %}{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{% if message.role == 'user' %}"
    "{{ '<s>[INST] ' + (system if loop.first else '') + message.content.strip() + ' [/INST] ' }}"
    "{% else %}{% generation %}{{ message.content.strip() + ' </s>' }}{% endgeneration %}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ '<s>' }}{% for message in messages %}"
    "{% if message.role == 'system' %}{{ '<start_of_turn>user\n' + message.content | trim + '<end_of_turn>\n' }}"
    "{% elif message.role == 'assistant' %}{{ '<start_of_turn>model\n' }}"
    "{% generation %}{{ message.content | trim + '<end_of_turn>' }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ '<start_of_turn>user\n' + message.content | trim + '<end_of_turn>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
# Refuses a question that nothing follows.
ZEPHYR = (
    "{% for message in messages %}{% if loop.last and message.role == 'user' and not add_generation_prompt %}"
    "{{ raise_exception('no answer') }}{% endif %}{{ '<|' + message.role + '|>\n' }}"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content + '</s>' }}{% endgeneration %}"
    "{% else %}{{ message.content + '</s>' }}{% endif %}"
    "{{ '\n' }}{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}"
)
# Writes empty thoughts before its last answer only, and asks with the beginning of a thought, as thinking models do.
THINKING = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}{% if message.role == 'assistant' %}"
    "{% if loop.last %}{{ '<think>\n' }}{% endif %}"
    "{% generation %}{% if loop.last %}{{ '\n</think>\n\n' }}{% endif %}{{ message.content + '<|im_end|>' }}"
    "{% endgeneration %}{% else %}{{ message.content + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)
# Ends every conversation, whatever follows later, as Phi 3's; here the closing token is outside the markers.
CLOSING = (
    "{% for message in messages %}{{ '<|' + message.role + '|>\n' }}{% if message.role == 'assistant' %}"
    "{% generation %}{{ message.content + '<|end|>' }}{% if loop.last %}{{ '\n</s>' }}{% endif %}{% endgeneration %}"
    "{% if not loop.last %}{{ '\n' }}{% endif %}{% else %}{{ message.content + '<|end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% elif messages[-1].role != 'assistant' %}{{ '</s>' }}"
    "{% endif %}"
)
KINDS = {
    "our own": CHAT_TEMPLATE, "vicuna": read_chat_template("vicuna"), "llama-3": read_chat_template("llama-3"),
    "chatml": CHATML, "smollm2": SMOLLM2, "silent chatml": SILENT_CHATML, "llama-2": LLAMA_2, "gemma": GEMMA,
    "zephyr": ZEPHYR, "thinking": THINKING, "closing": CLOSING,
}  # fmt: skip
TOKENIZER = tokenizer_of([*TOKENS, "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], bos_token="<s>")


def under(template: str) -> Any:
    TOKENIZER.chat_template = template
    return TOKENIZER


def unmarked(template: str) -> str:
    text = MARKERS.sub("", template.replace("{%- generation -%}", "").replace("{%- endgeneration -%}", ""))
    assert text != template
    return text


def marked_texts(tokenizer: Any, messages: Sequence[Message]) -> list[str]:
    row = encode_conversation(tokenizer, messages, 100_000)
    assert row is not None
    runs = groupby(zip(row.ids, row.response, strict=True), key=lambda item: item[1])
    return [tokenizer.decode([token for token, _ in run]) for is_response, run in runs if is_response]


@pytest.mark.parametrize("kind", KINDS)
@given(conversations)
@settings(max_examples=25, deadline=None)
def test_without_markers_the_same_tokens_are_responses_as_with_them(kind: str, messages: list[Message]) -> None:
    """Texts of all kinds; the oracle is what transformers marks under the template with its markers."""
    # No blanks at the ends, where templates without an end token of their own leave open what belongs to an answer.
    messages = [replace(message, content=message.content.strip() or "x") for message in messages]
    marked, plain = KINDS[kind], unmarked(KINDS[kind])
    options = {"return_dict": True, "return_assistant_tokens_mask": True}
    expected = under(marked).apply_chat_template(to_chat(messages), **options)
    row = encode_record(under(plain), Conversation(tuple(messages)))
    assert list(row.ids) == expected["input_ids"]
    assert list(row.response) == [bool(mark) for mark in expected["assistant_masks"]]


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"our own", "llama-3", "vicuna"}))
def test_masked_answers_and_answers_of_preferences_agree_with_the_markers(kind: str) -> None:
    messages = [USER, replace(ASSISTANT, trained=False), AGAIN, ANSWER]
    found = []
    for template in (KINDS[kind], unmarked(KINDS[kind])):
        row = encode_conversation(under(template), messages, 1000)
        answer = encode_answer(under(template), messages[:3], messages[3:], 1000)
        found.append((row, answer, find_answer_ends(under(template))))
    assert found[0] == found[1]
    assert found[0][2] != ()


def test_a_row_that_begins_with_an_answer_has_its_answers_found() -> None:
    for kind in ("chatml", "smollm2", "gemma", "zephyr", "closing"):
        messages = [ASSISTANT, AGAIN, ANSWER]
        texts = [marked_texts(under(template), messages) for template in (KINDS[kind], unmarked(KINDS[kind]))]
        assert texts[0] == texts[1]


@pytest.mark.parametrize("name", ["llama3", "qwen2_5", "qwen3_instruct_2507", "gemma", "cohere", "lfm2", "qwen3_vl"])
def test_published_templates_have_their_answers_where_trl_marks_them(name: str) -> None:
    """TRL's marks also take in line breaks before and after an answer."""
    own = known_template(name)
    messages = [USER, ASSISTANT, AGAIN, ANSWER]
    trl = mark_known_template(under(own))
    assert trl is not None
    found = [text.strip() for text in marked_texts(under(own), messages)]
    assert found == [text.strip() for text in marked_texts(under(trl), messages)]


def test_of_qwen_3_the_answers_are_found_though_only_the_last_one_has_thoughts() -> None:
    tokenizer = under(known_template("qwen3"))
    thinking = "<think>\n\n</think>\n\n"
    assert marked_texts(tokenizer, [USER, ASSISTANT, AGAIN, ANSWER]) == [
        "I am fine.<|im_end|>", f"{thinking}Still fine.<|im_end|>",
    ]  # fmt: skip
    thoughtful = replace(ANSWER, content="", reasoning="Hm.")
    (*_, last) = marked_texts(tokenizer, [USER, ASSISTANT, AGAIN, replace(thoughtful, content="Well.")])
    assert last == "<think>\nHm.\n</think>\n\nWell.<|im_end|>"


# Says the number of turns at the beginning.
COUNTING = "{{ messages | length }}" + unmarked(CHATML)


def test_a_template_that_counts_its_turns_has_its_answers_found() -> None:
    """What stands before an answer is found by a word in the answer's place, so the prefixes need not agree."""
    assert marked_texts(under(COUNTING), [USER, ASSISTANT, AGAIN, ANSWER]) == [
        "I am fine.<|im_end|>", "Still fine.<|im_end|>",
    ]  # fmt: skip


def test_the_turn_that_nothing_can_be_told_of_is_named_with_what_to_do() -> None:
    tokenizer = under("{% for m in messages %}{{ m.role ~ (messages | length) }}{% endfor %}")
    with pytest.raises(EntropylawError, match=r"turn 2 of 4 \(assistant\).*set base_model\.chat_template to vicuna"):
        prepare_chat_template(tokenizer)
    # Only longer conversations break this one.
    breaking = CHATML.replace(
        "{% for",
        "{% if messages | length > 5 %}{{ messages[-1].content[:3] ~ messages[3].content }}{% endif %}{% for",
        1,
    )
    tokenizer = under(unmarked(breaking))
    prepare_chat_template(tokenizer)
    with pytest.raises(
        EntropylawError, match=r"no {% generation %} markers, and .* turn 4 of 6 \(assistant\)"
    ) as error:
        encode_conversation(tokenizer, [USER, ASSISTANT, AGAIN, ANSWER, USER, ASSISTANT], 1000)
    assert "\n" not in str(error.value)
