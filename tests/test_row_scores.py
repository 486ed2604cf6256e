"""Row scores against plain torch on one sequence at a time, and what they cannot depend on."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from corpus.errors import EntropylawError
from corpus.records import Conversation, HashedRecord, Message, Preference, Record
from training.chat import END_OF_TURN, training_messages
from training.deita_scores import score_turns
from training.model_loading import load_causal_model
from training.row_scores import AnswerLosses, RowScoreParams, score_answers, score_losses
from training.turns import split_turns

Rows = list[HashedRecord]
PARAMS = RowScoreParams(max_length=96, batch_rows=4)


def user(text: str) -> Message:
    return Message("user", text)


def assistant(text: str) -> Message:
    return Message("assistant", text)


RECORDS: list[Record] = [
    Conversation((user("hi, how are you?"), assistant("I am fine, thank you."))),
    Conversation((user("do you like rain?"), assistant("No."), user("why?"), assistant("It makes me sad and wet."))),
    Conversation((assistant("Welcome!"), user("thanks"), assistant("You are welcome, what can I do for you?"))),
    Preference((user("tell me a joke"),), (assistant("Why did the chicken cross the road?"),), (assistant("No."),)),
    Preference((user("what is the time?"),), (), (assistant("It is late."),)),
]


@pytest.fixture(scope="module")
def begin_folder(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base model with a tokenizer that has a begin token."""
    folder = copy_model(base_folder, tmp_path_factory.mktemp("models") / "begin")
    change_json(folder / "tokenizer_config.json", bos_token=END_OF_TURN)
    return folder


@pytest.fixture(scope="module")
def scorer_folder(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that grades: without a chat template, and so attentive to the texts that its grades differ."""
    import torch

    folder = copy_model(base_folder, tmp_path_factory.mktemp("models") / "scorer")
    (folder / "chat_template.jinja").unlink()
    model, _ = load_causal_model(str(folder), device="cpu")
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.mul_(30)
            layer.self_attn.q_proj.weight.mul_(3)
        model.model.norm.weight.mul_(20)
    model.save_pretrained(folder)
    return folder


def copy_model(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def loss_of(model, ids: list[int], first: int) -> list[float]:
    """Losses of the tokens from position ``first`` on, from one unbatched pass."""
    import torch

    with torch.no_grad():
        chances = model(torch.tensor([ids], device=model.device)).logits[0].double().log_softmax(-1).cpu()
    return [-float(chances[i - 1, ids[i]]) for i in range(first, len(ids))]


def losses_by_hand(folder: Path, record: Record, max_length: int) -> tuple[float, float]:
    """Both sides of the ratio, written out for the template of the small base model."""
    model, tokenizer = load_causal_model(str(folder))
    begin = [] if tokenizer.bos_token is None else [tokenizer.convert_tokens_to_ids(tokenizer.bos_token)]
    end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    conversation: list[int] = []
    given, alone = [], []
    for message in training_messages(record):
        conversation.append(tokenizer.convert_tokens_to_ids(f"<|{message.role}|>"))
        text = [*tokenizer.encode(message.content, add_special_tokens=False), end]
        if message.role == "assistant":
            answer = text[: max(0, max_length - len(conversation))]
            unpredicted = 0 if begin else 1
            given += loss_of(model, conversation + answer, len(conversation))[unpredicted:]
            alone += loss_of(model, begin + answer, 1) if answer else []
        conversation += text
    return float(np.mean(given)), float(np.mean(alone))


@pytest.mark.slow
@pytest.mark.parametrize("max_length", [96, 30])
@pytest.mark.parametrize("folder", ["base_folder", "begin_folder"])
def test_answers_are_scored_as_written_out_by_hand(
    folder: str, max_length: int, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(folder)
    result = score_answers(str(path), RECORDS, replace(PARAMS, max_length=max_length))
    given, alone = zip(*(losses_by_hand(path, record, max_length) for record in RECORDS), strict=True)
    assert result.given_prompt == pytest.approx(given, rel=1e-5)
    assert result.alone == pytest.approx(alone, rel=1e-5)
    ratios = [math.exp(a) / math.exp(b) for a, b in zip(given, alone, strict=True)]
    assert result.perplexity_ratio == pytest.approx(ratios, rel=1e-4)
    assert result.loss_ratio == pytest.approx(np.divide(given, alone), rel=1e-5)


def test_the_loss_of_a_row_is_the_one_that_transformers_computes(base_folder: Path, chats: Rows) -> None:
    import torch

    records = [record for record, _ in chats[900:912]]
    model, tokenizer = load_causal_model(str(base_folder), device="cpu")
    expected = []
    for record in records:
        chat = [{"role": message.role, "content": message.content} for message in training_messages(record)]
        encoded = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
        ids, mask = (torch.tensor([encoded[key][:96]]) for key in ("input_ids", "assistant_masks"))
        labels = torch.where(mask == 1, ids, -100)
        expected.append(model(input_ids=ids, labels=labels).loss.item())
    assert score_losses(str(base_folder), records, PARAMS) == pytest.approx(expected, rel=1e-5, nan_ok=True)
    assert np.isfinite(expected).sum() > 8


def test_with_a_begin_token_the_loss_given_the_prompt_is_the_training_loss(begin_folder: Path) -> None:
    result = score_answers(str(begin_folder), RECORDS, PARAMS)
    assert result.given_prompt == pytest.approx(score_losses(str(begin_folder), RECORDS, PARAMS), rel=1e-6)


@pytest.fixture(scope="module")
def bigram_folder(begin_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that predicts a token from the one before it alone."""
    import torch

    folder = copy_model(begin_folder, tmp_path_factory.mktemp("models") / "bigram")
    model, _ = load_causal_model(str(folder), device="cpu")
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
    model.save_pretrained(folder)
    return folder


def test_a_prompt_is_no_help_to_a_model_that_looks_one_token_back(bigram_folder: Path, tmp_path: Path) -> None:
    folder = copy_model(bigram_folder, tmp_path / "model")
    change_json(folder / "tokenizer_config.json", bos_token=None)
    result = score_answers(str(folder), RECORDS, PARAMS)
    assert result.perplexity_ratio == pytest.approx(np.ones(5), rel=1e-5)
    assert result.loss_ratio == pytest.approx(np.ones(5), rel=1e-5)


def test_an_answer_that_opens_the_text_is_scored_from_its_second_token(bigram_folder: Path, tmp_path: Path) -> None:
    folder = copy_model(bigram_folder, tmp_path / "model")
    template = "{% for message in messages %}{% generation %}{{ message['content'] }}{% endgeneration %}{% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    result = score_answers(str(folder), [Conversation((assistant("Welcome to the house!"),))], PARAMS)
    assert result.alone == pytest.approx(result.given_prompt, rel=1e-5)


def test_neither_the_size_of_a_batch_nor_the_order_of_rows_matters(base_folder: Path, chats: Rows) -> None:
    records = [record for record, _ in chats[900:940]] + RECORDS
    expected = score_answers(str(base_folder), records, PARAMS)
    assert np.isfinite(expected.alone).sum() > 30
    for batch_rows in (1, 7, 100):
        params = replace(PARAMS, batch_rows=batch_rows)
        result = score_answers(str(base_folder), records[::-1], params)
        assert result.given_prompt[::-1] == pytest.approx(expected.given_prompt, abs=1e-5, nan_ok=True)
        assert result.alone[::-1] == pytest.approx(expected.alone, abs=1e-5, nan_ok=True)
        losses = score_losses(str(base_folder), records[::-1], params)
        assert losses[::-1] == pytest.approx(score_losses(str(base_folder), records, PARAMS), abs=1e-5, nan_ok=True)


def test_a_row_without_an_answer_in_reach_has_no_score(base_folder: Path, begin_folder: Path) -> None:
    records: list[Record] = [
        Conversation((user("are you there? " * 40), assistant("Yes."))),
        Conversation((user("are you there?"),)),
        RECORDS[0],
    ]
    result = score_answers(str(base_folder), records, PARAMS)
    for scores in (
        score_losses(str(base_folder), records, PARAMS),
        result.given_prompt,
        result.alone,
        result.loss_ratio,
        result.perplexity_ratio,
    ):
        assert np.isnan(scores).tolist() == [True, True, False]

    # Room for the first token of the answer: it has a loss, but alone nothing comes before it.
    _, tokenizer = load_causal_model(str(base_folder))
    to_first = replace(PARAMS, max_length=len(tokenizer.encode("hi, how are you?")) + 4)
    assert np.isfinite(score_losses(str(base_folder), RECORDS[:1], to_first)).all()
    assert np.isnan(score_answers(str(base_folder), RECORDS[:1], to_first).given_prompt).all()
    assert np.isfinite(score_answers(str(begin_folder), RECORDS[:1], to_first).loss_ratio).all()


def test_an_answer_that_is_certain_alone_is_never_below_one() -> None:
    losses = AnswerLosses(np.array([0.1, 0.0, 800.0]), np.array([0.0, 0.0, 1.0]))
    assert losses.loss_ratio.tolist()[:1] == [math.inf] and math.isnan(losses.loss_ratio[1])
    assert losses.perplexity_ratio.tolist()[1:] == [1.0, math.inf]


def test_no_rows_have_no_scores(base_folder: Path, scorer_folder: Path) -> None:
    assert score_losses(str(base_folder), [], PARAMS).shape == (0,)
    assert score_answers(str(base_folder), [], PARAMS).alone.shape == (0,)
    assert score_turns([], scoring_with(scorer_folder)) == ([], [])


def scoring_with(folder: Path) -> RowScoreParams:
    return replace(PARAMS, complexity_scorer=str(folder), quality_scorer=str(folder))


def complexity_prompt(query: str) -> str:
    return (
        "You are a helpful assistant. Please identify the complexity score of the following user query. \n"
        "##Query: " + query + "  \n"
        "##Complexity: "
    )


def quality_prompt(query: str, answer: str) -> str:
    return (
        "You are a helpful assistant. Please identify the quality score of the Response corresponding to the Question. "
        "\n #Question#:\n" + query + "\n#Response#:\n" + answer + " \n##Quality: "
    )


def grade_by_hand(folder: Path, prompt: str) -> float:
    """The mean of the grades 1 to 6, each as likely as the scorer finds its digit after the prompt."""
    import torch

    model, tokenizer = load_causal_model(str(folder))
    with torch.no_grad():
        logits = model(torch.tensor([tokenizer.encode(prompt)], device=model.device)).logits[0, -1].double().tolist()
    weights = [math.exp(logits[tokenizer.convert_tokens_to_ids(digit)]) for digit in "123456"]
    return sum(grade * weight for grade, weight in enumerate(weights, 1)) / sum(weights)


def test_turns_are_graded_by_the_expected_digit_after_the_prompt(scorer_folder: Path) -> None:
    complexities, qualities = score_turns(RECORDS, scoring_with(scorer_folder))
    turns = [split_turns(training_messages(record)) for record in RECORDS]
    assert [len(grades) for grades in complexities] == [len(grades) for grades in qualities] == [1, 2, 2, 1, 1]
    by_hand = [[grade_by_hand(scorer_folder, complexity_prompt(q)) for q, _ in row] for row in turns]
    assert np.concatenate(complexities) == pytest.approx(np.concatenate(by_hand), rel=1e-5)
    by_hand = [[grade_by_hand(scorer_folder, quality_prompt(q, a)) for q, a in row] for row in turns]
    assert np.concatenate(qualities) == pytest.approx(np.concatenate(by_hand), rel=1e-5)
    for grades in (np.concatenate(complexities), np.concatenate(qualities)):
        assert grades.min() >= 1 and grades.max() <= 6 and np.ptp(grades) > 0.005


def test_grades_do_not_depend_on_batches_or_on_other_rows(scorer_folder: Path, chats: Rows) -> None:
    records = [*RECORDS, Conversation((user("no answer"),)), chats[900][0], chats[901][0]]
    params = scoring_with(scorer_folder)
    expected = score_turns(records, params)
    assert len(expected[0][5]) == 0
    for batch_rows in (1, 3, 50):
        result = score_turns(records[::-1], replace(params, batch_rows=batch_rows))
        for grades, wanted in zip(result, expected, strict=True):
            for row, of_row in zip(grades[::-1], wanted, strict=True):
                assert row == pytest.approx(of_row, abs=1e-5)


@pytest.mark.parametrize("positions", [128, 4096])
def test_a_prompt_that_is_too_long_keeps_its_end_and_as_much_as_fits(
    scorer_folder: Path, tmp_path: Path, positions: int
) -> None:
    folder = copy_model(scorer_folder, tmp_path / "scorer")
    change_json(folder / "config.json", max_position_embeddings=positions)
    limit = min(positions, 2048)
    _, tokenizer = load_causal_model(str(folder))
    query = " ".join(f"what is {i} and {i * i}?" for i in range(limit // 8))
    answer = "A short answer."
    record = Conversation((user(query), assistant(answer)))
    assert len(tokenizer.encode(query)) > limit
    (complexity,), (quality,) = score_turns([record], scoring_with(folder))

    def cut(fill) -> str:
        return next(
            prompt
            for characters in range(limit * 2, -1, -1)
            if len(tokenizer.encode(prompt := fill(query[:characters], answer[:characters]))) <= limit
        )

    prompts = cut(lambda q, _: complexity_prompt(q)), cut(quality_prompt)
    assert all(limit - 4 < len(tokenizer.encode(prompt)) for prompt in prompts)
    assert complexity[0] == pytest.approx(grade_by_hand(folder, prompts[0]), rel=1e-5)
    assert quality[0] == pytest.approx(grade_by_hand(folder, prompts[1]), rel=1e-5)


def test_a_turn_is_an_answer_with_what_was_said_since_the_one_before() -> None:
    tool = Message("tool", "{sunny}")
    said = [Message("system", "Be kind."), user("Weather?"), tool, assistant("Sunny."), assistant("Warm."), user("?")]
    assert split_turns(said) == [("Weather?\n{sunny}", "Sunny."), ("", "Warm.")]
    assert split_turns([user("Hello?")]) == []


def test_progress_counts_rows_up_to_the_last(base_folder: Path, scorer_folder: Path) -> None:
    def reports(score, *arguments) -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []
        score(*arguments, lambda done, total: seen.append((done, total)))
        return seen

    params = replace(scoring_with(scorer_folder), batch_rows=2)
    assert reports(score_losses, str(base_folder), RECORDS, params) == [(2, 5), (4, 5), (5, 5)]
    assert reports(score_answers, str(base_folder), RECORDS, params) == [(2, 5), (4, 5), (5, 5)]
    assert reports(score_turns, RECORDS, params) == [(2, 10), (4, 10), (5, 10), (7, 10), (9, 10), (10, 10)]


def test_a_tokenizer_without_digits_cannot_grade(scorer_folder: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = copy_model(scorer_folder, tmp_path / "scorer")
    words = {"<unk>": 0, "<pad>": 1, **{digit: i for i, digit in enumerate("12345", 2)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>").save_pretrained(folder)
    with pytest.raises(EntropylawError, match=r"scorer: its tokenizer has no token for the digit 6, so it cannot"):
        score_turns(RECORDS, scoring_with(folder))


def test_a_scorer_needs_no_chat_template_but_losses_do(scorer_folder: Path) -> None:
    with pytest.raises(EntropylawError, match="the tokenizer has no chat template"):
        score_losses(str(scorer_folder), RECORDS, PARAMS)


def pickle_weights(folder: Path) -> None:
    import torch

    model, _ = load_causal_model(str(folder), device="cpu")
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def replace_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"SentencePiece")
    change_json(folder / "tokenizer_config.json", tokenizer_class="LlamaTokenizer")


@pytest.mark.parametrize(
    ("damage", "advice"),
    [
        (pickle_weights, "no weights as safetensors, .* then save_pretrained. and name that folder"),
        (replace_tokenizer, r"its tokenizer\.model cannot be read; install the package sentencepiece"),
    ],
)
def test_a_scorer_that_cannot_be_loaded_is_an_error_that_says_what_to_do(
    scorer_folder: Path, tmp_path: Path, damage, advice: str
) -> None:
    folder = copy_model(scorer_folder, tmp_path / "scorer")
    damage(folder)
    with pytest.raises(EntropylawError, match=f"model .*scorer: cannot be loaded: .*{advice}"):
        score_turns(RECORDS, scoring_with(folder))


@pytest.mark.parametrize("change", [{"max_length": 1}, {"batch_rows": 0}])
def test_sizes_that_score_nothing_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        RowScoreParams(**change)
