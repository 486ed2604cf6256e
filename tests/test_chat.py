"""Chat templates to token ids: which tokens the model must produce, and what is refused."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import EntropylawError
from corpus.records import ROLES, Conversation, Message, Preference
from training.chat import (
    CHAT_TEMPLATE,
    EncodedRow,
    check_chat_template,
    encode_answer,
    encode_conversation,
    training_messages,
)
from training.small_model import train_tokenizer
from training.template_inputs import to_chat

TOKENIZER = train_tokenizer(["Hello there, how are you today? I am fine."] * 3, 400)
USER, ASSISTANT = Message("user", "Hello there"), Message("assistant", "I am fine.")

contents = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<|>"), min_size=1, max_size=30)
conversations = st.lists(st.builds(Message, st.sampled_from(ROLES), contents), min_size=1, max_size=5)


def tokens_of(text: str) -> list[int]:
    return TOKENIZER(text, add_special_tokens=False)["input_ids"]


@given(conversations)
@settings(max_examples=60, deadline=None)
def test_the_response_tokens_are_the_assistants_text_and_its_end_and_nothing_else(messages: list[Message]) -> None:
    row = encode_conversation(TOKENIZER, messages, 10_000)
    expected_ids, expected_response = [], []
    for message in messages:
        tag, text = tokens_of(f"<|{message.role}|>"), tokens_of(message.content + "<|end|>")
        expected_ids += tag + text
        expected_response += [False] * len(tag) + [message.role == "assistant"] * len(text)
    if any(message.role == "assistant" for message in messages):
        assert row is not None
        assert (list(row.ids), list(row.response)) == (expected_ids, expected_response)
    else:
        assert row is None


@given(contents)
def test_any_text_survives_the_round_trip_through_tokens(text: str) -> None:
    assert TOKENIZER.decode(tokens_of(text)) == text


def test_a_row_is_cut_at_max_length_and_dropped_when_no_response_is_left() -> None:
    whole = encode_conversation(TOKENIZER, [USER, ASSISTANT], 1000)
    assert whole is not None
    first = whole.response.index(True)
    cut = encode_conversation(TOKENIZER, [USER, ASSISTANT], first + 1)
    assert cut is not None
    assert (cut.ids, sum(cut.response)) == (whole.ids[: first + 1], 1)
    assert encode_conversation(TOKENIZER, [USER, ASSISTANT], first) is None


def test_a_preference_is_trained_on_as_its_prompt_with_the_chosen_else_the_rejected_answer() -> None:
    rejected = Message("assistant", "Go away.")
    pair = Preference((USER,), (ASSISTANT,), (rejected,))
    assert training_messages(pair) == (USER, ASSISTANT)
    assert training_messages(replace(pair, chosen=())) == (USER, rejected)
    assert training_messages(Conversation((USER, ASSISTANT))) == (USER, ASSISTANT)


@given(conversations, contents)
@settings(max_examples=60, deadline=None)
def test_an_answer_is_all_that_follows_the_prompt_up_to_the_end_of_its_turn(prompt: list[Message], text: str) -> None:
    encoded = encode_answer(TOKENIZER, prompt, [Message("assistant", text)], 10_000)
    given_ids = TOKENIZER.apply_chat_template(to_chat(prompt), add_generation_prompt=True)["input_ids"]
    assert encoded is not None
    assert encoded.prompt_ids == tuple(given_ids)
    assert list(encoded.answer_ids) == tokens_of(text + "<|end|>")


def test_an_answer_is_cut_at_max_length_after_any_prompt_and_dropped_when_its_own_leaves_no_room() -> None:
    encoded = encode_answer(TOKENIZER, [USER], [ASSISTANT], 1000)
    assert encoded is not None
    room = len(encoded.prompt_ids) + 2
    assert encoded.after(encoded.prompt_ids, room) == EncodedRow(
        encoded.prompt_ids + encoded.answer_ids[:2], (False,) * (room - 2) + (True,) * 2
    )
    assert encoded.after((7,), 1000).ids == (7, *encoded.answer_ids)
    assert encode_answer(TOKENIZER, [USER], [ASSISTANT], len(encoded.prompt_ids) + 1) == encoded
    assert encode_answer(TOKENIZER, [USER], [ASSISTANT], len(encoded.prompt_ids)) is None


@pytest.fixture
def tokenizer_with(request: pytest.FixtureRequest) -> object:
    tokenizer = train_tokenizer(["Hello"], 400)
    tokenizer.chat_template = request.param
    return tokenizer


# As in most published models: the word stands there, the markers do not.
UNMARKED = (
    "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
PICKY = "{{ raise_exception('System role not supported') }}{% generation %}{% endgeneration %}"


@pytest.mark.parametrize("tokenizer_with", [UNMARKED], indirect=True)
def test_a_template_without_generation_markers_is_used_as_it_is(tokenizer_with: object) -> None:
    check_chat_template(tokenizer_with)


@pytest.mark.parametrize("tokenizer_with", [None, ""], indirect=True)
def test_a_tokenizer_without_a_template_is_refused(tokenizer_with: object) -> None:
    with pytest.raises(EntropylawError, match="has no chat template"):
        check_chat_template(tokenizer_with)


@pytest.mark.parametrize(
    "tokenizer_with", ["{%- generation -%}x{% endgeneration %}", "{%generation%}x{%endgeneration%}"], indirect=True
)
def test_generation_markers_are_found_however_they_are_spaced(tokenizer_with: object) -> None:
    check_chat_template(tokenizer_with)


@pytest.mark.parametrize("tokenizer_with", [PICKY], indirect=True)
def test_a_template_that_refuses_a_conversation_is_an_error_with_its_reason(tokenizer_with: object) -> None:
    with pytest.raises(EntropylawError, match="refuses the roles user, assistant: System role not supported"):
        encode_conversation(tokenizer_with, [USER, ASSISTANT], 100)


def test_a_tokenizer_that_cannot_tell_which_token_a_character_belongs_to_is_refused() -> None:
    from transformers import ByT5Tokenizer

    tokenizer = ByT5Tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    with pytest.raises(EntropylawError, match=r"name a model that has a tokenizer\.json"):
        check_chat_template(tokenizer)
