"""Taggers, reward models, raters and judges on small local models: against plain torch on one text at a time."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judge_server import Received, Reply, Start, say, start_judges
from small_models import make_classifier, make_tagger

from corpus.errors import EntropylawError, NotAssessedError
from corpus.records import Conversation, HashedRecord, Message, Preference, Record, canonical_text, content_hash
from training.alpagasus_grades import grade_rows, read_first_line
from training.brief_training import train_briefly
from training.classifiers import load_classifier
from training.model_loading import load_causal_model
from training.own_answers import answer_rows
from training.quality_ratings import CRITERIA, WINDOW_TOKENS, rate_quality
from training.reward_scores import score_rewards
from training.row_scores import RowScoreParams, score_losses
from training.scoring_cost import ScoringCost
from training.sft import SftParams
from training.tagging import PROMPT_END, PROMPT_START, find_tags, read_tags, tag_rows
from training.turns import Turn

PARAMS = RowScoreParams(max_length=96, batch_rows=3, max_new_tokens=8)


def user(text: str) -> Message:
    return Message("user", text)


def assistant(text: str) -> Message:
    return Message("assistant", text)


RECORDS: list[Record] = [
    Conversation((user("hi, how are you?"), assistant("I am fine, thank you."))),
    Conversation((user("do you like rain?"), assistant("No."), user("why?"), assistant("It makes me sad and wet."))),
    Preference((user("tell me a joke"),), (assistant("Why did the chicken cross the road?"),), (assistant("No."),)),
    Conversation((user("nobody answers"),)),
]


@pytest.fixture(scope="module")
def reward_folder(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_classifier(base_folder, tmp_path_factory.mktemp("models") / "reward", 1)


@pytest.fixture(scope="module")
def rater_folder(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_classifier(base_folder, tmp_path_factory.mktemp("models") / "rater", len(CRITERIA))


def number_of(folder: Path, *ids: int) -> list[float]:
    """The numbers of one text, without a batch and without padding."""
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        numbers: list[float] = model(input_ids=torch.tensor([ids])).logits[0].double().tolist()
    return numbers


# --- reward models


def test_a_row_has_the_mean_reward_of_its_turns(reward_folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(reward_folder)

    def reward(question: str, answer: str) -> float:
        return number_of(reward_folder, *tokenizer(question, answer)["input_ids"])[0]

    expected = [
        reward("hi, how are you?", "I am fine, thank you."),
        (reward("do you like rain?", "No.") + reward("why?", "It makes me sad and wet.")) / 2,
        reward("tell me a joke", "Why did the chicken cross the road?"),
        math.nan,
    ]
    for batch_rows in (1, 3, 50):
        params = replace(PARAMS, reward_model=str(reward_folder), batch_rows=batch_rows)
        assert score_rewards(RECORDS, params) == pytest.approx(expected, rel=1e-4, nan_ok=True)
    assert len({round(number, 3) for number in expected[:3]}) == 3
    assert score_rewards([], replace(PARAMS, reward_model=str(reward_folder))).shape == (0,)


@pytest.mark.slow
def test_an_encoder_reads_question_and_answer_as_a_pair_and_loses_the_longer_ones_end(tmp_path: Path) -> None:
    """As DeBERTa, the default: marks of its own around both texts, token types, and few places."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "do", "you", "like", "rain", "?", "no", "yes", "."]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    tokenizer = BertTokenizerFast(str(tmp_path / "vocab.txt"))
    tokenizer.save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        num_labels=1,
        initializer_range=0.5,
    )
    model = BertForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)

    def reward(question: str, answer: str) -> float:
        ids = [2, *tokenizer.convert_tokens_to_ids(question.split()), 3]
        after = [*tokenizer.convert_tokens_to_ids(answer.split()), 3]
        types = torch.tensor([[0] * len(ids) + [1] * len(after)])
        with torch.no_grad():
            return float(model(input_ids=torch.tensor([ids + after]), token_type_ids=types).logits)

    asked, long = "do you like rain ?", "no no yes . no yes . no no no yes . yes yes"
    records: list[Record] = [
        Conversation((user(asked), assistant("no ."))),
        Conversation((user("rain ?"), assistant("yes yes yes ."))),
        Conversation((user(asked), assistant(long))),
    ]
    found = score_rewards(records, replace(PARAMS, reward_model=str(tmp_path)))
    # Of 16 places three are marks and five the question's.
    cut = " ".join(long.split()[:8])
    expected = [reward(asked, "no ."), reward("rain ?", "yes yes yes ."), reward(asked, cut)]
    assert found == pytest.approx(expected, rel=1e-4)
    assert len({round(number, 3) for number in expected}) == 3


def test_a_model_that_cannot_rate_is_refused_in_one_line(base_folder: Path, rater_folder: Path, tmp_path: Path) -> None:
    for name, said in (
        (tmp_path / "none", "no such folder; set row_scores.reward_model to a folder or a Hub id"),
        (base_folder, "it cannot rate: score.weight is missing from its weights"),
        (rater_folder, "it gives a text 4 numbers, not 1; set row_scores.reward_model to another"),
    ):
        with pytest.raises(EntropylawError) as caught:
            load_classifier(str(name), 1, "row_scores.reward_model")
        assert said in str(caught.value) and "\n" not in str(caught.value)


# --- raters


def test_a_long_row_is_rated_in_windows_that_count_by_their_tokens(rater_folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(rater_folder)
    with open(rater_folder / "config.json") as handle:
        window = min(WINDOW_TOKENS, json.load(handle)["max_position_embeddings"])
    text = "it rains, and the river rises, and the ducks are glad of it. " * 20
    long = Conversation((user(text), assistant(text[::-1])))
    records = [RECORDS[0], long, RECORDS[2]]
    expected = []
    for record in records:
        shown = record if isinstance(record, Conversation) else Conversation(record.prompt + record.chosen)
        ids = tokenizer.encode(canonical_text(shown), add_special_tokens=False)
        windows = [ids[start : start + window] for start in range(0, len(ids), window)]
        numbers = [number_of(rater_folder, *part) for part in windows]
        expected.append(np.average(numbers, axis=0, weights=[len(part) for part in windows]))
    assert len(windows) == 1
    for batch_rows in (1, 4):
        ratings = rate_quality(records, replace(PARAMS, rater=str(rater_folder), batch_rows=batch_rows))
        assert ratings.shape == (3, 4)
        assert ratings == pytest.approx(np.array(expected), rel=1e-3, abs=1e-5)


# --- taggers


def test_tags_are_read_from_what_the_tagger_writes(base_folder: Path, tmp_path: Path) -> None:
    folder = make_tagger(base_folder, tmp_path / "tagger", '{"tag": "Rain"}')
    told: list[ScoringCost] = []
    params = replace(PARAMS, tagger=str(folder), max_new_tokens=2)
    assert tag_rows(RECORDS, params, announce=told.append) == [frozenset({"rain"})] * 3 + [frozenset()]
    (cost,) = told
    # Four questions with an answer, in three of the four rows.
    assert (cost.rows, cost.written_tokens) == (4, 4 * 2)


def test_a_model_that_writes_no_tags_is_refused(base_folder: Path, tmp_path: Path) -> None:
    params = replace(PARAMS, tagger=str(base_folder))
    with pytest.raises(EntropylawError, match=r"it wrote no tag such as .* for any of 4 rows; set row_scores\.tagger"):
        tag_rows(RECORDS, params)
    folder = tmp_path / "short"
    shutil.copytree(base_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 64}))
    with pytest.raises(EntropylawError, match=r"of its 64 tokens InsTag's prompt takes \d+ and .*=8 the rest"):
        tag_rows(RECORDS, replace(params, tagger=str(folder)))


def test_tags_are_normalised_and_found_in_broken_json() -> None:
    for written, expected in (
        ('[{"tag": "Code Review", "explanation": "x"}, {"tag": "SQL_query", "expl', {"code review", "sql query"}),
        ("{'tag': 'it', 'explanation': ''}", {"it"}),
        ('{"tag": "caf\\u00e9 \\"au lait\\""}', {"café au lait"}),
        ('{"tag": "数学"}, {"tag": "!!"}', {"数学"}),
        ("I cannot help with that, sorry.", set()),
        ('["maths", "proof"]', set()),
    ):
        assert find_tags(written) == expected, written


def test_tags_in_rows_are_read_in_the_forms_that_people_write() -> None:
    for value, expected in (
        (["A", {"tag": "b"}, {"name": "c"}, 4], {"a", "b"}),
        ('["maths", "proof"]', {"maths", "proof"}),
        ('[{"tag": "Maths", "explanation": ""}, {"tag"', {"maths"}),
        ("maths; long proof|latin", {"maths", "long proof", "latin"}),
        ({"tag": "x"}, {"x"}),
        ([], set()),
        (7, set()),
        ("", set()),
    ):
        assert read_tags(value) == expected, value


def test_the_tagger_reads_the_prompt_it_was_trained_with() -> None:
    # The whole of it, written down from the model card a second time.
    expected = (
        "system: A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the human's questions. user: Please identify tags of user intentions in the "
        'following user query and provide an explanation for each tag. Please respond in the JSON format {"tag": str, '
        '"explanation": str}.\nUser query: Hi Assistant:'
    )
    assert f"{PROMPT_START}Hi{PROMPT_END}" == expected


# --- brief training and own answers


@pytest.mark.usefixtures("in_tmp_path")
def test_a_model_has_learned_after_a_brief_training_and_leaves_nothing(
    base_folder: Path, chats: list[HashedRecord]
) -> None:
    records = [record for record, _ in chats[300:340]]
    params, training = replace(PARAMS, learning_rate=5e-3), SftParams(batch_rows=4, micro_batch_rows=4)
    before = np.nanmean(score_losses(str(base_folder), records, params))
    told: list[ScoringCost] = []
    with train_briefly(str(base_folder), records, 2.0, params, training, 0, announce=told.append) as folder:
        after = np.nanmean(score_losses(str(folder), records, params))
        answers = answer_rows(folder, RECORDS, params)
    assert after < before - 0.05
    assert not folder.exists() and list(Path(".entropylaw").glob("brief-*")) == []
    assert told[0].learned_tokens > 0 and told[0].read_tokens == 0 and "learns from about" in str(told[0])
    assert [[turn.instruction for turn in row] for row in answers] == [
        ["hi, how are you?"],
        ["do you like rain?", "why?"],
        ["tell me a joke"],
        [],
    ]
    alone = answer_rows(str(base_folder), RECORDS[:1], params)
    assert all(isinstance(turn, Turn) and turn.output != "I am fine, thank you." for turn in alone[0])


def test_own_answers_do_not_depend_on_the_batch(base_folder: Path, chats: list[HashedRecord]) -> None:
    records = [record for record, _ in chats[300:306]] + RECORDS
    expected = answer_rows(str(base_folder), records, PARAMS)
    for batch_rows in (1, 100):
        assert answer_rows(str(base_folder), records, replace(PARAMS, batch_rows=batch_rows)) == expected


# --- the judge


start = pytest.fixture(start_judges)


def hashed(record: Record) -> HashedRecord:
    return HashedRecord(record, content_hash(record))


def test_a_row_has_the_mean_grade_of_its_turns_and_is_paid_for_once(
    start: Start,
) -> None:
    def respond(request: Received) -> Reply:
        shown = request.body["messages"][0]["content"]
        answer = shown.rpartition("Response: ")[2]
        grades = {"I am fine, thank you.": "4.5", "No.": "2", "It makes me sad and wet.": "Score: 5/5"}
        return say(f"{grades.get(answer, 'It is good.')}\nBecause it is so.")

    judge, server = start(respond)
    rows = [hashed(record) for record in RECORDS]
    grades = grade_rows(rows, judge)
    assert grades == pytest.approx([4.5, 3.5, math.nan, math.nan], nan_ok=True)
    asked = len(server.received)
    assert asked == 4
    assert grade_rows(rows, judge) == pytest.approx(grades, nan_ok=True) and len(server.received) == asked
    inputs = sorted(
        request.body["messages"][0]["content"].partition("Input: ")[2].partition("\nResponse: ")[0]
        for request in server.received
    )
    assert inputs == ["", "", "", "do you like rain?\nNo."]


def test_judgments_without_a_grade_are_no_grades(start: Start) -> None:
    judge, _ = start(lambda request: say("A fine answer, 5 of 5."))
    with pytest.raises(NotAssessedError, match="none of 1 judgments begins with a grade from 0 to 5"):
        grade_rows([hashed(RECORDS[0])], judge)


def test_a_grade_stands_alone_in_the_first_line() -> None:
    for answer, grade in (
        ("4.5\nGood.", 4.5),
        ("\n Score: 5/5. \nGood.", 5.0),
        ("**4**\n", 4.0),
        ("-4\n", None),
        ("6\n", None),
        ("4 5\n", None),
        ("Good.\n5", None),
        ("", None),
        (None, None),
    ):
        assert read_first_line(answer) == grade, answer


# --- costs


def test_a_cost_is_rows_times_tokens_times_weights(base_folder: Path) -> None:
    model, tokenizer = load_causal_model(str(base_folder))
    told: list[ScoringCost] = []
    records = RECORDS[:1] * 7
    score_losses(str(base_folder), records, PARAMS, announce=told.append)
    (cost,) = told
    tokens = len(tokenizer.encode(canonical_text(records[0]), add_special_tokens=False))
    assert cost.weights == sum(weight.numel() for weight in model.parameters())
    assert (cost.rows, cost.read_tokens) == (7, 7 * tokens)
    assert cost.operations == 2 * cost.weights * 7 * tokens
    assert str(cost).startswith(f"losses: {base_folder} (") and str(cost).endswith("about 1 second here")
