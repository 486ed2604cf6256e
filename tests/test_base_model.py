"""The base model: trained on half of the baseline, the same every time, or a pointer to a pretrained one."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from corpus.artifacts import hash_folder
from corpus.errors import EntropylawError
from corpus.records import Record, hash_fraction
from training.base_model import (
    CARD,
    BaseModelParams,
    build_base_model,
    is_trained_row,
    load_base_model,
    load_pretrained,
    read_card,
    train_tokenizer,
)
from training.chat import encode_conversation, training_messages
from training.loss import mean_token_loss

Rows = list[tuple[Record, str]]
SMALL = BaseModelParams(vocabulary=400, hidden_size=32, layers=1, heads=2, max_length=64, steps=4)


def test_the_card_says_what_the_model_was_trained_on(base_folder: Path, baseline: Rows) -> None:
    card = read_card(base_folder)
    mine = [row_hash for _, row_hash in baseline if is_trained_row(row_hash)]
    assert 0.8 * len(mine) < card.rows <= len(mine)
    assert 0.4 < card.rows / len(baseline) < 0.6
    assert card.trained_from == 0.5
    assert card.first_loss_nats is not None and card.last_loss_nats is not None
    assert card.last_loss_nats < card.first_loss_nats - 0.5
    assert (card.pretrained, card.revision) == (None, None)


def test_the_model_has_learnt_text_it_has_not_seen(base_folder: Path, baseline: Rows) -> None:
    model, tokenizer, card = load_base_model(base_folder)
    unseen = [record for record, row_hash in baseline if hash_fraction(row_hash) < card.trained_from][:60]
    rows = [encode_conversation(tokenizer, training_messages(record), 96) for record in unseen]
    # A model that knows nothing needs ln 400 = 5.99 nats a token.
    assert mean_token_loss(model, [row for row in rows if row], tokenizer.pad_token_id, 16) < 5.0


def test_the_same_baseline_and_parameters_give_the_same_files(baseline: Rows, tmp_path: Path) -> None:
    cards = [build_base_model(baseline[:80], "00", SMALL, tmp_path / name) for name in ("a", "b")]
    assert cards[0] == cards[1]
    assert hash_folder(tmp_path / "a") == hash_folder(tmp_path / "b")
    assert build_base_model(baseline[:80], "00", replace(SMALL, seed=1), tmp_path / "c").identity != cards[0].identity
    assert build_base_model(baseline[:80], "11", SMALL, tmp_path / "d").identity != cards[0].identity


def test_rows_that_are_probed_later_do_not_change_the_model(baseline: Rows, tmp_path: Path) -> None:
    probed = [item for item in baseline[:120] if not is_trained_row(item[1])]
    trained = [item for item in baseline[:120] if is_trained_row(item[1])]
    assert len(probed) > 40
    for name, rows in (("whole", baseline[:120]), ("without", trained)):
        build_base_model(rows, "00", SMALL, tmp_path / name)
    assert hash_folder(tmp_path / "whole") == hash_folder(tmp_path / "without")


def test_a_saved_model_carries_no_pickle_and_no_path(base_folder: Path, tmp_path: Path) -> None:
    for file in base_folder.iterdir():
        assert file.suffix in (".json", ".safetensors", ".jinja")
        assert str(base_folder.parent).encode() not in file.read_bytes()


def test_with_fewer_rows_than_a_batch_every_batch_is_full(baseline: Rows, tmp_path: Path) -> None:
    few = [item for item in baseline if is_trained_row(item[1])][:3]
    one_step = build_base_model(few, "00", replace(SMALL, steps=1, batch_rows=6), tmp_path / "a")
    two_steps = build_base_model(few, "00", replace(SMALL, steps=2, batch_rows=3), tmp_path / "b")
    assert one_step.tokens == two_steps.tokens > 0


def test_a_pretrained_folder_is_pointed_to_and_known_by_its_files(base_folder: Path, tmp_path: Path) -> None:
    model, moved = tmp_path / "here", tmp_path / "there"
    for folder in (model, moved):
        shutil.copytree(base_folder, folder)
        (folder / CARD).unlink()
    params = BaseModelParams(pretrained=str(model))
    card = build_base_model([], "00", params, tmp_path / "base")
    assert [path.name for path in (tmp_path / "base").iterdir()] == [CARD]
    assert (card.trained_from, card.rows) == (1.0, 0)
    assert card.identity == load_base_model(moved)[2].identity == load_base_model(tmp_path / "base")[2].identity
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-5}))
    assert build_base_model([], "00", params, tmp_path / "base").identity != card.identity


def remove_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def break_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize("damage", [remove_tokenizer, cut_weights, break_config])
def test_a_damaged_model_is_an_error_of_one_line_that_names_it(
    base_folder: Path, tmp_path: Path, damage: object
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(base_folder, folder)
    damage(folder)
    with pytest.raises(EntropylawError, match=r"model .*: cannot be loaded: .+") as caught:
        load_pretrained(str(folder))
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_card_is_no_base_model(tmp_path: Path) -> None:
    with pytest.raises(EntropylawError, match="not a base model; run `dvc repro base_model` first"):
        read_card(tmp_path)
    (tmp_path / CARD).write_text('{"identity": "x"}')
    with pytest.raises(EntropylawError, match="not a base model"):
        read_card(tmp_path)


def test_a_tokenizer_without_padding_pads_with_its_end_token(base_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(base_folder, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "pad_token": None}))
    _, tokenizer = load_pretrained(str(folder))
    assert tokenizer.pad_token == tokenizer.eos_token == "<|end|>"
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "pad_token": None, "eos_token": None}))
    with pytest.raises(EntropylawError, match="neither a padding nor an end token"):
        load_pretrained(str(folder))


def test_a_baseline_with_nothing_to_train_on_is_an_error(baseline: Rows, tmp_path: Path) -> None:
    probed = [item for item in baseline if not is_trained_row(item[1])]
    with pytest.raises(EntropylawError, match="too few rows to train a base model on"):
        build_base_model(probed, "00", SMALL, tmp_path)
    with pytest.raises(EntropylawError, match=r"no baseline row has a response within base_model\.max_length=2 tokens"):
        build_base_model(baseline[:20], "00", replace(SMALL, max_length=2), tmp_path)
    assert not (tmp_path / CARD).exists()


def test_the_tokenizer_has_the_vocabulary_asked_for(baseline: Rows) -> None:
    texts = [str(record) for record, _ in baseline[:50]]
    assert len(train_tokenizer(texts, 350)) == 350


@pytest.mark.parametrize(
    "change", [{"heads": 0}, {"heads": 3}, {"heads": 128}, {"vocabulary": 300}, {"layers": 0}, {"steps": 0}]
)
def test_sizes_that_make_no_model_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        replace(BaseModelParams(hidden_size=128), **change)


@pytest.mark.parametrize("name", ["models/base", "./base", "/nowhere/base", "a/b/c"])
def test_a_missing_model_folder_is_said_at_once_and_not_looked_up_on_a_hub(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EntropylawError, match="no such folder"):
        load_pretrained(name)
