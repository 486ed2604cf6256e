"""Chat templates: the published formats to the letter, files, TRL's markers, and where answers end."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError

from corpus.errors import EntropylawError, ParamsError
from corpus.records import Message
from training.base_model_params import BaseModelParams
from training.chat import CHAT_TEMPLATE, encode_answer, encode_conversation
from training.chat_templates import (
    find_answer_ends,
    mark_known_template,
    prepare_chat_template,
    read_chat_template,
    stop_at_answer_ends,
)
from training.model_loading import load_pretrained
from training.small_model import new_model, train_model, train_tokenizer
from training.template_inputs import to_chat

LLAMA_TOKENS = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
QWEN_TOKENS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
SYSTEM, TOOL = Message("system", "Be brief."), Message("tool", "42")
USER, ASSISTANT = Message("user", "Hello there"), Message("assistant", "I am fine.")
AGAIN, ANSWER = Message("user", "And now?"), Message("assistant", "Still fine.")

contents = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<|>"), min_size=1, max_size=30)


def alternate(texts: list[tuple[str, str]]) -> list[Message]:
    return [Message(*pair) for asked, told in texts for pair in (("user", asked), ("assistant", told))]


conversations = st.tuples(
    st.lists(st.builds(Message, st.just("system"), contents), max_size=1),
    st.lists(st.tuples(contents, contents), min_size=1, max_size=3).map(alternate),
).map(lambda parts: parts[0] + parts[1])


def tokenizer_of(tokens: Sequence[str], **special: str) -> Any:
    tokenizer = train_tokenizer(["Hello there, how are you today? I am fine. USER: ASSISTANT: user assistant"] * 3, 400)
    tokenizer.add_special_tokens({"additional_special_tokens": list(tokens)})
    for name, token in special.items():
        setattr(tokenizer, name, token)
    return tokenizer


def llama_tokenizer() -> Any:
    return tokenizer_of(LLAMA_TOKENS, bos_token=LLAMA_TOKENS[0], eos_token=LLAMA_TOKENS[1], pad_token=LLAMA_TOKENS[1])


def text_of(tokenizer: Any, messages: Sequence[Message], **options: Any) -> str:
    return tokenizer.apply_chat_template(to_chat(messages), tokenize=False, **options)


def marked_texts(tokenizer: Any, messages: Sequence[Message]) -> list[str]:
    """The text of each unbroken run of response tokens."""
    row = encode_conversation(tokenizer, messages, 100_000)
    assert row is not None
    runs = groupby(zip(row.ids, row.response, strict=True), key=lambda item: item[1])
    return [tokenizer.decode([token for token, _ in run]) for is_response, run in runs if is_response]


@pytest.fixture(scope="module")
def vicuna() -> Any:
    tokenizer = tokenizer_of(["<s>"], bos_token="<s>")
    prepare_chat_template(tokenizer, read_chat_template("vicuna"))
    return tokenizer


@pytest.fixture(scope="module")
def llama() -> Any:
    tokenizer = llama_tokenizer()
    prepare_chat_template(tokenizer, read_chat_template("llama-3"))
    return tokenizer


# --- Vicuna


def write_vicuna(messages: list[Message]) -> str:
    """FastChat's way: the role names and a colon before each text, a blank and the end token after them in turn."""
    system = messages.pop(0).content if messages[0].role == "system" else VICUNA_SYSTEM
    text = "<s>" + system + " "
    for i, message in enumerate(messages):
        text += ("USER", "ASSISTANT")[i % 2] + ": " + message.content + (" ", "<|end|>")[i % 2]
    return text


@given(conversations)
@settings(max_examples=40)
def test_vicuna_writes_what_fastchat_writes(vicuna: Any, messages: list[Message]) -> None:
    assert text_of(vicuna, messages) == write_vicuna(list(messages))
    asked = text_of(vicuna, messages[:-1], add_generation_prompt=True)
    assert asked == write_vicuna(messages[:-1]) + "ASSISTANT:"


def test_vicuna_by_hand(vicuna: Any) -> None:
    assert text_of(vicuna, [USER, ASSISTANT, AGAIN, ANSWER]) == (
        f"<s>{VICUNA_SYSTEM} USER: Hello there ASSISTANT: I am fine.<|end|>USER: And now? ASSISTANT: Still fine.<|end|>"
    )
    assert text_of(vicuna, [SYSTEM, USER]) == "<s>Be brief. USER: Hello there "


def test_vicuna_needs_no_begin_token_but_an_end_token() -> None:
    tokenizer = tokenizer_of([])
    prepare_chat_template(tokenizer, read_chat_template("vicuna"))
    assert text_of(tokenizer, [USER]).startswith(VICUNA_SYSTEM)
    tokenizer.eos_token = None
    with pytest.raises(EntropylawError, match="the tokenizer has no end token"):
        prepare_chat_template(tokenizer, read_chat_template("vicuna"))


@given(conversations)
@settings(max_examples=40)
def test_vicuna_marks_the_answers_with_their_blank_and_end_and_nothing_else(
    vicuna: Any, messages: list[Message]
) -> None:
    answers = [f" {message.content}<|end|>" for message in messages if message.role == "assistant"]
    assert marked_texts(vicuna, messages) == answers
    encoded = encode_answer(vicuna, messages[:-1], messages[-1:], 100_000)
    assert encoded is not None and vicuna.decode(encoded.answer_ids) == answers[-1]


def test_vicuna_refuses_what_its_format_cannot_say(vicuna: Any) -> None:
    with pytest.raises(EntropylawError, match="the Vicuna format has a system message at the beginning only"):
        encode_conversation(vicuna, [USER, SYSTEM, ASSISTANT], 100)
    with pytest.raises(TemplateError, match="the Vicuna format has no role tool"):
        text_of(vicuna, [USER, ASSISTANT, TOOL, ANSWER])


@pytest.mark.parametrize("format", ["vicuna", "llama"])
def test_where_the_format_has_no_role_for_tools_the_user_says_what_they_answer(
    format: str, request: pytest.FixtureRequest
) -> None:
    tokenizer = request.getfixturevalue(format)
    said = Message("user", TOOL.content)
    assert encode_conversation(tokenizer, [USER, ASSISTANT, TOOL, ANSWER], 1000) == encode_conversation(
        tokenizer, [USER, ASSISTANT, said, ANSWER], 1000
    )


def mistral_tokenizer() -> Any:
    """Blanks as SentencePiece writes them in Mistral's vocabulary: one goes before the text, and joins words alone."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(
        special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=[*"0123456789\n"], show_progress=False
    )
    tokenizer.train_from_iterator([f"{VICUNA_SYSTEM} USER: Hello there ASSISTANT: I am fine. apples"] * 2, trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([])
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("I am fine.", ["▁I", "▁am", "▁fine.", "</s>"]),
        ("5 apples", ["▁", "5", "▁apples", "</s>"]),  # the model must write this blank itself
        ("\nI", ["▁", "\n", "I", "</s>"]),
    ],
)
def test_vicuna_marks_the_blank_before_an_answer_whether_or_not_it_joins_the_first_word(
    text: str, tokens: list[str]
) -> None:
    tokenizer = mistral_tokenizer()
    prepare_chat_template(tokenizer, read_chat_template("vicuna"))
    answer = Message("assistant", text)
    row = encode_conversation(tokenizer, [USER, answer, USER, answer], 1000)
    assert row is not None
    marked = [token for token, flag in zip(row.ids, row.response, strict=True) if flag]
    assert tokenizer.convert_ids_to_tokens(marked) == tokens * 2
    encoded = encode_answer(tokenizer, [USER], [answer], 1000)
    assert encoded is not None and tokenizer.convert_ids_to_tokens(list(encoded.answer_ids)) == tokens


# --- Llama 3


def test_llama_3_by_hand(llama: Any) -> None:
    assert text_of(llama, [SYSTEM, USER, replace(ASSISTANT, content=" I am fine.\n")], add_generation_prompt=True) == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHello there<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nI am fine.<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def known_template(name: str) -> str:
    """A model's own template, as TRL knows it."""
    # Found without being imported, which takes seconds.
    spec = find_spec("trl")
    assert spec is not None and spec.origin is not None
    return (Path(spec.origin).parent / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


@given(conversations)
@settings(max_examples=40)
def test_llama_3_writes_what_metas_own_template_writes(llama: Any, messages: list[Message]) -> None:
    for prompt in (False, True):
        own = text_of(llama, messages, chat_template=known_template("llama3"), add_generation_prompt=prompt)
        assert text_of(llama, messages, add_generation_prompt=prompt) == own


@given(conversations)
@settings(max_examples=40)
def test_llama_3_marks_the_answers_and_their_end_and_nothing_else(llama: Any, messages: list[Message]) -> None:
    answers = [f"{message.content.strip()}<|eot_id|>" for message in messages if message.role == "assistant"]
    assert marked_texts(llama, messages) == answers
    encoded = encode_answer(llama, messages[:-1], messages[-1:], 100_000)
    assert encoded is not None and llama.decode(encoded.answer_ids) == answers[-1]


def test_llama_3_has_no_tool_role(llama: Any) -> None:
    with pytest.raises(TemplateError, match="the Llama 3 format has no role tool"):
        text_of(llama, [USER, ASSISTANT, TOOL, ANSWER])


def test_llama_3_is_refused_where_its_tokens_would_be_split() -> None:
    tokenizer = tokenizer_of([token for token in LLAMA_TOKENS if token != "<|eot_id|>"])
    with pytest.raises(EntropylawError, match=r"has no token <\|eot_id\|> and would split it into pieces"):
        prepare_chat_template(tokenizer, read_chat_template("llama-3"))
    assert len(tokenizer.encode("<|eot_id|>", add_special_tokens=False)) > 1


# --- Files


def test_a_name_that_is_no_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError, match="'vicunna' is neither vicuna nor llama-3, and no such file is here"):
        read_chat_template("vicunna")


def test_a_file_is_read_whatever_its_line_ends_and_needs_no_markers(tmp_path: Path) -> None:
    file = tmp_path / "own.jinja"
    file.write_bytes(b"{% generation %}\r\n{% endgeneration %}")
    assert read_chat_template(str(file)) == "{% generation %}\n{% endgeneration %}"
    file.write_text("{% if add_generation_prompt %}x{% endif %}")
    assert read_chat_template(str(file)) == "{% if add_generation_prompt %}x{% endif %}"
    file.write_bytes(b"\xff")
    with pytest.raises(ParamsError, match=r"own\.jinja cannot be read: not UTF-8"):
        read_chat_template(str(file))
    with pytest.raises(ParamsError, match="cannot be read: Is a directory"):
        read_chat_template(str(tmp_path))


def test_a_template_that_is_not_jinja_is_an_error_that_names_the_line() -> None:
    with pytest.raises(EntropylawError, match="the chat template, line 2: "):
        prepare_chat_template(tokenizer_of([]), "{% generation %}{% endgeneration %}\n{% for %}")


@pytest.mark.parametrize("end", ["", "\n###"])
def test_a_template_that_leaves_the_end_of_answers_unmarked_is_refused(end: str) -> None:
    text = (
        "{% for m in messages %}{{ m.role }}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
        + end
        + "{% endgeneration %}{% else %}{{ m.content }}{% endif %}<|end|>{% endfor %}"
    )
    with pytest.raises(EntropylawError, match="marks no end token in the answers"):
        prepare_chat_template(tokenizer_of([]), text)


# --- A model's own template


@pytest.mark.parametrize(
    "name",
    ["llama3", "qwen2_5", "qwen3", "qwen3_instruct_2507", "gemma", "phi3", "lfm2", "deepseekv3", "cohere", "gptoss"],
)
def test_a_known_template_gets_markers_and_writes_the_same_text(name: str) -> None:
    tokenizer = tokenizer_of(["<s>"], bos_token="<s>")
    own = known_template(name)
    tokenizer.chat_template = own
    prepare_chat_template(tokenizer)
    chats = [[USER, ASSISTANT], [USER], [SYSTEM, USER, ASSISTANT], [USER, ASSISTANT, AGAIN, ANSWER]]
    if name == "gemma":
        chats.remove([SYSTEM, USER, ASSISTANT])
    if name == "qwen3":  # its own drops the thinking block from earlier answers
        chats.remove([USER, ASSISTANT, AGAIN, ANSWER])
    for chat in chats:
        for prompt in (False, True):
            marked = text_of(tokenizer, chat, add_generation_prompt=prompt)
            assert marked == text_of(tokenizer, chat, add_generation_prompt=prompt, chat_template=own)
    (answer,) = marked_texts(tokenizer, [USER, ASSISTANT])
    assert "I am fine." in answer and "Hello" not in answer


def test_the_base_models_of_qwen_2_5_get_markers_and_keep_their_system_message() -> None:
    tokenizer = tokenizer_of(QWEN_TOKENS)
    own = known_template("qwen2_5").replace("You are Qwen, created by Alibaba Cloud. ", "")
    tokenizer.chat_template = own
    prepare_chat_template(tokenizer)
    for chat in ([USER, ASSISTANT, AGAIN, ANSWER], [SYSTEM, USER, ASSISTANT]):
        assert text_of(tokenizer, chat) == text_of(tokenizer, chat, chat_template=own)
    assert text_of(tokenizer, [USER]).startswith("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n")
    # TRL marks the line break before an answer too.
    assert marked_texts(tokenizer, [USER, ASSISTANT]) == ["\nI am fine.<|im_end|>\n"]


def test_of_qwen_3_all_answers_look_alike() -> None:
    tokenizer = tokenizer_of(QWEN_TOKENS)
    tokenizer.chat_template = known_template("qwen3")
    prepare_chat_template(tokenizer)
    thinking = "<think>\n\n</think>\n\n"
    assert marked_texts(tokenizer, [USER, ASSISTANT, AGAIN, ANSWER]) == [
        f"{thinking}I am fine.<|im_end|>\n",
        f"{thinking}Still fine.<|im_end|>\n",
    ]


@pytest.mark.parametrize("template", ["Hello", "{{ messages | length }}", "{{ messages[0].x.y }}"])
def test_an_unknown_template_that_tells_no_answers_is_refused_with_what_to_set(template: str) -> None:
    tokenizer = tokenizer_of([])
    tokenizer.chat_template = template
    assert mark_known_template(tokenizer) is None
    with pytest.raises(EntropylawError, match=r"set base_model\.chat_template to vicuna, llama-3 or a Jinja file"):
        prepare_chat_template(tokenizer)
    prepare_chat_template(tokenizer, read_chat_template("vicuna"))


def test_markers_that_change_the_text_are_not_taken() -> None:
    tokenizer = tokenizer_of([])
    tokenizer.chat_template = known_template("glm4moe")  # TRL's ends answers with the next speaker's tag
    assert mark_known_template(tokenizer) is None


def test_of_several_templates_the_default_one_is_taken() -> None:
    tokenizer = tokenizer_of([])
    tokenizer.chat_template = {"default": CHAT_TEMPLATE, "tool_use": "x"}
    prepare_chat_template(tokenizer)
    assert tokenizer.chat_template == CHAT_TEMPLATE
    tokenizer.chat_template = {"tool_use": "x"}
    with pytest.raises(EntropylawError, match="has no chat template"):
        prepare_chat_template(tokenizer)


# --- Where answers end


def test_the_end_token_becomes_the_one_that_ends_answers_and_padding_stays(llama: Any) -> None:
    assert (llama.eos_token, llama.pad_token) == ("<|eot_id|>", "<|end_of_text|>")
    assert find_answer_ends(llama) == (llama.convert_tokens_to_ids("<|eot_id|>"),)


def test_a_template_that_writes_the_end_token_leaves_it_as_it_is(vicuna: Any) -> None:
    assert vicuna.eos_token == "<|end|>"
    assert find_answer_ends(vicuna) == (vicuna.eos_token_id,)


def test_a_line_break_after_the_end_is_not_the_end_and_an_end_in_plain_text_is_none() -> None:
    tokenizer = tokenizer_of(QWEN_TOKENS)
    tokenizer.chat_template = known_template("qwen2_5")
    prepare_chat_template(tokenizer)
    assert find_answer_ends(tokenizer) == (tokenizer.convert_tokens_to_ids("<|im_end|>"),)
    assert tokenizer.eos_token == "<|end|>"
    tokenizer.chat_template = "{% generation %}{{ messages[1]['content'] + '###' }}{% endgeneration %}"
    assert find_answer_ends(tokenizer) == ()


def test_a_last_answer_may_end_in_another_token() -> None:
    tokenizer = tokenizer_of(["<|stop|>"])
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
        "{{ '<|stop|>' if loop.last else '<|end|>' }}{% endgeneration %}"
        "{% else %}{{ m.content }}{% endif %}{% endfor %}"
    )
    assert find_answer_ends(tokenizer) == (tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|stop|>"))


@pytest.fixture(scope="module")
def parrot_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that has learnt one answer in the format of Llama 3, saved as base models are: without a template,
    with settings that stop at the end of a text only.
    """
    params = BaseModelParams(hidden_size=32, layers=1, heads=2, steps=40, batch_rows=2, learning_rate=1e-2)
    tokenizer = llama_tokenizer()
    model = new_model(params, tokenizer)
    folder = tmp_path_factory.mktemp("models") / "parrot"
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    prepare_chat_template(tokenizer, read_chat_template("llama-3"))
    row = encode_conversation(tokenizer, [USER, ASSISTANT, AGAIN, ANSWER], 1000)
    assert row is not None
    train_model(model, [row], tokenizer.pad_token_id, params, lambda done, total: None)
    model.save_pretrained(folder)
    return folder


def generate(model: Any, tokenizer: Any) -> list[int]:
    asked = tokenizer.apply_chat_template(to_chat([USER]), add_generation_prompt=True, return_tensors="pt")
    ids = model.generate(**asked.to(model.device), max_new_tokens=60, do_sample=False)
    return ids[0, asked["input_ids"].shape[1] :].tolist()


@pytest.mark.slow
def test_a_model_stops_at_the_end_of_its_answer_and_so_does_the_one_saved_from_it(
    parrot_folder: Path, tmp_path: Path
) -> None:
    model, tokenizer = load_pretrained(str(parrot_folder), device="cpu", chat_template=read_chat_template("llama-3"))
    end, end_of_text = tokenizer.convert_tokens_to_ids(["<|eot_id|>", "<|end_of_text|>"])
    assert tokenizer.decode(generate(model, tokenizer)) == "I am fine.<|eot_id|>"
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    saved, saved_tokenizer = load_pretrained(str(tmp_path), device="cpu")
    assert saved.generation_config.eos_token_id == [end, end_of_text]
    assert saved_tokenizer.decode(generate(saved, saved_tokenizer)) == "I am fine.<|eot_id|>"
    # Without it the model talks on.
    saved.generation_config.eos_token_id = end_of_text
    assert generate(saved, saved_tokenizer).count(end) > 1


def test_settings_that_stop_there_already_stay_as_they_are(base_folder: Path) -> None:
    model, tokenizer = load_pretrained(str(base_folder), device="cpu")
    before = model.generation_config.to_dict()
    stop_at_answer_ends(model, tokenizer)
    assert model.generation_config.to_dict() == before
    assert before["eos_token_id"] == tokenizer.eos_token_id
