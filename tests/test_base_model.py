"""The base model: trained on half of the baseline, the same every time, or a pointer to a pretrained one."""

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from corpus.artifacts import fingerprint, hash_folder, write_json
from corpus.errors import DamagedResultError, EntropylawError, ParamsError
from corpus.records import HashedRecord, canonical_text, content_hash
from training.base_model import (
    CARD,
    BaseModelCard,
    build_base_model,
    draw_rows,
    is_trained_row,
    load_base_model,
    read_card,
)
from training.base_model_params import BaseModelParams
from training.chat import CHAT_TEMPLATE, encode_conversation, training_messages
from training.chat_templates import read_chat_template
from training.loss import mean_token_loss
from training.model_loading import load_pretrained
from training.small_model import train_tokenizer

Rows = list[HashedRecord]
SMALL = BaseModelParams(vocabulary=400, hidden_size=32, layers=1, heads=2, max_length=64, steps=4)


def test_the_card_says_what_the_model_was_trained_on(base_folder: Path, baseline: Rows) -> None:
    card = read_card(base_folder)
    mine = [record for record, _ in baseline if is_trained_row(record)]
    assert 0.8 * len(mine) < card.rows <= len(mine)
    assert 0.4 < card.rows / len(baseline) < 0.6
    assert card.trained_from == 0.5
    assert card.first_loss_nats is not None and card.last_loss_nats is not None
    assert card.last_loss_nats < card.first_loss_nats - 0.5
    assert (card.pretrained, card.revision) == (None, None)


def test_the_model_has_learnt_text_it_has_not_seen(base_folder: Path, baseline: Rows) -> None:
    model, tokenizer, _ = load_base_model(base_folder)
    unseen = [record for record, _ in baseline if not is_trained_row(record)][:60]
    rows = [encode_conversation(tokenizer, training_messages(record), 96) for record in unseen]
    # A model that knows nothing needs ln 400 = 5.99 nats a token.
    assert mean_token_loss(model, [row for row in rows if row], tokenizer.pad_token_id, 16) < 5.0


@pytest.mark.slow
def test_the_same_baseline_and_parameters_give_the_same_files(baseline: Rows, tmp_path: Path) -> None:
    cards = [build_base_model(baseline[:80], "00", SMALL, tmp_path / name) for name in ("a", "b")]
    assert cards[0] == cards[1]
    assert hash_folder(tmp_path / "a") == hash_folder(tmp_path / "b")
    assert build_base_model(baseline[:80], "00", replace(SMALL, seed=1), tmp_path / "c").identity != cards[0].identity
    assert build_base_model(baseline[:80], "11", SMALL, tmp_path / "d").identity != cards[0].identity


@pytest.mark.slow
def test_rows_that_are_probed_later_do_not_change_the_model(baseline: Rows, tmp_path: Path) -> None:
    probed = [item for item in baseline[:120] if not is_trained_row(item[0])]
    trained = [item for item in baseline[:120] if is_trained_row(item[0])]
    assert len(probed) > 40
    for name, rows in (("whole", baseline[:120]), ("without", trained)):
        build_base_model(rows, "00", SMALL, tmp_path / name)
    assert hash_folder(tmp_path / "whole") == hash_folder(tmp_path / "without")


def test_of_more_rows_than_its_steps_can_use_a_part_is_drawn_whatever_their_order(baseline: Rows) -> None:
    params = replace(SMALL, steps=5, batch_rows=4)
    assert draw_rows(baseline[:40], params) == baseline[:40]
    drawn = draw_rows(baseline, params)
    assert len(drawn) == 40 and drawn == draw_rows(baseline[::-1], params)
    # As with the probe, most of what was drawn is drawn again when other rows change.
    assert len(set(drawn) & set(draw_rows(baseline[30:], params))) >= 32


def test_of_long_rows_fewer_are_drawn_but_never_a_handful(baseline: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum(len(canonical_text(record).encode()) for record, _ in baseline)
    monkeypatch.setattr("training.base_model.MAX_TEXT_BYTES", size // 3)
    monkeypatch.setattr("training.base_model.MIN_DRAWN_ROWS", 10)
    assert 60 < len(draw_rows(baseline, BaseModelParams())) < 140
    monkeypatch.setattr("training.base_model.MIN_DRAWN_ROWS", 200)
    assert len(draw_rows(baseline, BaseModelParams())) == 200


@pytest.mark.slow
def test_a_model_of_drawn_rows_is_another_one_and_says_how_many(baseline: Rows, tmp_path: Path) -> None:
    cards = [build_base_model(baseline[:150], "00", replace(SMALL, steps=k), tmp_path / str(k)) for k in (2, 80)]
    assert 20 < cards[0].rows <= 32 and cards[1].rows > 60
    # Nothing is marked where all rows are used, so that models of small baselines keep their identity.
    described = {field: value for field, value in asdict(replace(SMALL, steps=80)).items()
                 if field not in ("chat_template", "weights", "lora_rank")}  # fmt: skip
    assert cards[1].identity == fingerprint({"params": described, "baseline": "00", "split": "question"})
    described["steps"] = 2
    assert cards[0].identity != fingerprint({"params": described, "baseline": "00", "split": "question"})


@pytest.mark.slow
def test_editing_the_answer_of_a_probed_row_does_not_change_the_model(baseline: Rows, tmp_path: Path) -> None:
    """Its content hash changes, and with it would half of the edited rows change sides."""
    edited = []
    for record, row_hash in baseline[:120]:
        answers = [replace(m, content=m.content + "!") if m.role == "assistant" else m for m in record.messages]
        new = replace(record, messages=tuple(answers))
        edited.append(
            HashedRecord(record, row_hash) if is_trained_row(record) else HashedRecord(new, content_hash(new))
        )
    assert sum(old != new for old, new in zip(baseline, edited, strict=False)) > 40
    for name, rows in (("before", baseline[:120]), ("after", edited)):
        build_base_model(rows, "00", SMALL, tmp_path / name)
    assert hash_folder(tmp_path / "before") == hash_folder(tmp_path / "after")


def test_a_small_model_of_older_versions_is_refused_and_a_pretrained_one_is_not(
    base_folder: Path, tmp_path: Path
) -> None:
    document = json.loads((base_folder / CARD).read_text())
    del document["split"]
    write_json(tmp_path / CARD, document)
    with pytest.raises(EntropylawError, match=r"older version of the tool; run `dvc repro --force base_model`"):
        read_card(tmp_path)
    write_json(tmp_path / CARD, {**document, "pretrained": "gpt2", "trained_from": 1.0})
    assert read_card(tmp_path).split is None


def test_a_saved_model_carries_no_pickle_and_no_path(base_folder: Path, tmp_path: Path) -> None:
    for file in base_folder.iterdir():
        assert file.suffix in (".json", ".safetensors", ".jinja")
        assert str(base_folder.parent).encode() not in file.read_bytes()


@pytest.mark.slow
def test_with_fewer_rows_than_a_batch_every_batch_is_full(baseline: Rows, tmp_path: Path) -> None:
    few = [item for item in baseline if is_trained_row(item[0])][:3]
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


# What a model from before `chat_template` was made from, field by field.
FIELDS_BEFORE = (
    "pretrained", "revision", "vocabulary", "hidden_size", "layers", "heads", "max_length", "steps", "batch_rows",
    "learning_rate", "seed",
)  # fmt: skip


def test_models_from_before_templates_and_adapters_could_be_chosen_keep_their_identity_and_card(
    baseline: Rows, base_folder: Path, tmp_path: Path
) -> None:
    card = build_base_model(baseline[:80], "00", SMALL, tmp_path / "base")
    before = {field: getattr(SMALL, field) for field in FIELDS_BEFORE}
    assert card.identity == fingerprint({"params": before, "baseline": "00", "split": "question"})
    card = read_card(tmp_path / "base")
    written = json.loads((tmp_path / "base" / CARD).read_text())
    later = {name: written.pop(name) for name in ("chat_template", "weights", "lora_rank", "adapter_seed")}
    assert later == {"chat_template": None, "weights": "float32", "lora_rank": None, "adapter_seed": 0}
    (tmp_path / "base" / CARD).write_text(json.dumps(written))
    assert read_card(tmp_path / "base") == card
    assert card_of(tmp_path, base_folder, None).identity == hash_folder(base_folder)


def card_of(tmp_path: Path, model: Path, template: str | None) -> BaseModelCard:
    params = BaseModelParams(pretrained=str(model), chat_template=template)
    return build_base_model([], "00", params, tmp_path / "pointer")


def test_a_chat_template_is_part_of_the_identity_by_its_text(base_folder: Path, tmp_path: Path) -> None:
    copy, other = tmp_path / "copy.jinja", tmp_path / "other.jinja"
    copy.write_text(read_chat_template("vicuna"))
    other.write_text(read_chat_template("vicuna").replace("USER", "HUMAN"))
    names = (None, "vicuna", str(copy), str(other))
    own, vicuna, same, changed = (card_of(tmp_path, base_folder, name).identity for name in names)
    assert vicuna == same
    assert len({own, vicuna, changed}) == 3


def test_a_pretrained_model_is_read_with_the_template_it_was_given_whatever_became_of_the_file(
    base_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "own.jinja"
    file.write_text(CHAT_TEMPLATE.replace("'<|end|>'", "'!' + eos_token"))
    made = card_of(tmp_path, base_folder, str(file))
    file.unlink()
    _, tokenizer, card = load_base_model(tmp_path / "pointer")
    text = tokenizer.apply_chat_template([{"role": "assistant", "content": "Hi"}], tokenize=False)
    assert (text, card) == ("<|assistant|>Hi!<|end|>", made)


@pytest.mark.slow
def test_a_small_model_can_be_trained_in_a_published_format(baseline: Rows, tmp_path: Path) -> None:
    params = replace(SMALL, chat_template="vicuna", max_length=128)
    card = build_base_model(baseline[:80], "00", params, tmp_path / "vicuna")
    own = build_base_model(baseline[:80], "00", replace(params, chat_template=None), tmp_path / "own")
    assert card.identity != own.identity
    _, tokenizer, loaded = load_base_model(tmp_path / "vicuna")
    assert tokenizer.chat_template == read_chat_template("vicuna")
    assert (loaded.identity, loaded.chat_template) == (card.identity, None)


def test_a_template_that_does_not_suit_is_said_before_anything_is_trained(baseline: Rows, tmp_path: Path) -> None:
    with pytest.raises(EntropylawError, match=r"the tokenizer has no token <\|start_header_id\|>"):
        build_base_model(baseline[:80], "00", replace(SMALL, chat_template="llama-3"), tmp_path)
    with pytest.raises(ParamsError, match=r"base_model\.chat_template: 'chatml' is neither vicuna nor llama-3"):
        build_base_model(baseline[:80], "00", replace(SMALL, chat_template="chatml"), tmp_path)
    assert not (tmp_path / CARD).exists()


def remove_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


def cut_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text()[:500])


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def drop_a_layer(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    left = {name: tensor for name, tensor in tensors.items() if "q_proj" not in name}
    save_file(left, folder / "model.safetensors", metadata={"format": "pt"})


def widen_config(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 2 * config["hidden_size"]}))


def break_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def make_config_a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def make_a_size_a_word(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": "many"}))


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (remove_tokenizer, r"cannot be loaded: it has no tokenizer that can be read"),
        (cut_tokenizer, r"cannot be loaded: one of its JSON files is damaged \(.+\); fetch or copy"),
        (cut_weights, r"cannot be loaded: .+"),
        (drop_a_layer, r"1 of its weights are missing, such as model\.layers\.0\.self_attn\.q_proj\.weight"),
        (widen_config, r"cannot be loaded: its weights have other shapes than its config\.json says"),
        (break_config, r"cannot be loaded: .+config\.json' is not a valid JSON file"),
        (make_config_a_list, r"cannot be loaded: one of its JSON files is damaged"),
        (make_a_size_a_word, r"cannot be loaded: Validation error for field 'hidden_size': .+"),
    ],
)
def test_a_damaged_model_is_an_error_of_one_line_that_names_it(
    base_folder: Path, tmp_path: Path, damage: Callable[[Path], None], cause: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(base_folder, folder)
    damage(folder)
    with pytest.raises(EntropylawError, match=f"model {folder}: {cause}") as caught:
        load_pretrained(str(folder))
    assert "\n" not in str(caught.value)


def add_code(folder: Path, model_type: str, tokenizer_class: str) -> Path:
    """Give a model program code of its own, which leaves a file where it is run. Returns that file."""
    trace = folder / "code-was-run"
    code = f"open({str(trace)!r}, 'w').close()\nfrom transformers import LlamaConfig as C, LlamaForCausalLM as M\n"
    (folder / "own_code.py").write_text(code + "from transformers import PreTrainedTokenizerFast as T\n")
    for name, changes in {
        "config.json": {
            "model_type": model_type,
            "auto_map": {"AutoConfig": "own_code.C", "AutoModelForCausalLM": "own_code.M"},
        },
        "tokenizer_config.json": {
            "tokenizer_class": tokenizer_class,
            "auto_map": {"AutoTokenizer": [None, "own_code.T"]},
        },
    }.items():
        (folder / name).write_text(json.dumps({**json.loads((folder / name).read_text()), **changes}))
    return trace


def test_code_that_a_model_brings_along_is_never_run(base_folder: Path, tmp_path: Path) -> None:
    known = "PreTrainedTokenizerFast"
    for name, model_type, tokenizer_class in (
        ("needless", "llama", known),
        ("model", "homemade", known),
        ("tokenizer", "llama", "HomemadeTokenizer"),
    ):
        shutil.copytree(base_folder, tmp_path / name)
        trace = add_code(tmp_path / name, model_type, tokenizer_class)
        if name == "needless":
            load_pretrained(str(tmp_path / name))
        else:
            with pytest.raises(EntropylawError, match="needs program code of its own, which is never run"):
                load_pretrained(str(tmp_path / name))
        assert not trace.exists()


def test_pickled_weights_are_never_read(base_folder: Path, tmp_path: Path) -> None:
    folder, trace = tmp_path / "model", tmp_path / "pickle-was-run"
    shutil.copytree(base_folder, folder)
    (folder / "model.safetensors").unlink()

    class Trap:
        def __reduce__(self) -> object:
            return open, (str(trace), "w")

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(EntropylawError, match="no weights as safetensors, and pickled ones are not loaded"):
        load_pretrained(str(folder))
    assert not trace.exists()


def test_a_token_beyond_the_embeddings_is_said_at_once(base_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(base_folder, folder)
    _, tokenizer = load_pretrained(str(folder))
    rows = len(tokenizer)
    tokenizer.add_tokens(["<|late|>"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(
        EntropylawError, match=rf"up to '<\|late\|>' with the id {rows}, but it has embeddings for {rows}"
    ):
        load_pretrained(str(folder))


def test_a_model_without_a_template_says_what_to_set(base_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(base_folder, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(EntropylawError, match=r"no chat template; set base_model\.chat_template to vicuna, llama-3 or"):
        load_pretrained(str(folder))
    load_pretrained(str(folder), chat_template=read_chat_template("vicuna"))


def test_a_folder_without_a_card_is_no_base_model(tmp_path: Path) -> None:
    with pytest.raises(EntropylawError, match="not a base model; run `dvc repro base_model` first"):
        read_card(tmp_path)
    (tmp_path / CARD).write_text('{"identity": "x"}')
    with pytest.raises(DamagedResultError, match=r"pretrained: missing key; run `dvc repro --force base_model`$"):
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
    probed = [item for item in baseline if not is_trained_row(item[0])]
    with pytest.raises(EntropylawError, match="too few rows with different questions to train a base model on"):
        build_base_model(probed, "00", SMALL, tmp_path)
    with pytest.raises(
        EntropylawError, match=r"no baseline row has a response to train on within base_model\.max_length=1 tokens"
    ):
        build_base_model(baseline[:20], "00", replace(SMALL, max_length=1), tmp_path)
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
