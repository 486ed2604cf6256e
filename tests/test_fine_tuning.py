"""SFT and KTO with TRL on a tiny model: what is trained on, what is counted, and that a killed run goes on."""

import collections
import itertools
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import huggingface_hub.constants
import numpy as np
import pytest

from corpus.artifacts import hash_folder
from corpus.errors import EntropylawError, ParamsError
from corpus.records import Conversation, HashedRecord, Message, Preference, Record
from entropylaw.demo.chitchat import load_chat_logs, pair_by_rating
from training.chat import encode_conversation, training_messages
from training.evaluation_params import EvaluationParams
from training.fine_tuning import (
    CHECKPOINTS,
    TrainingReport,
    checkpoint_folder,
    last_checkpoint,
    name_savings,
    quiet_libraries,
    trainer_arguments,
)
from training.heldout import evaluate_heldout
from training.kto import KtoParams, balance_labels, train_kto, unpair_preferences
from training.loss import mean_token_loss
from training.model_loading import load_pretrained
from training.sft import SftParams, train_sft

Rows = list[HashedRecord]

SFT = SftParams(epochs=1.0, batch_rows=8, micro_batch_rows=4, learning_rate=5e-3, max_length=64, save_every_steps=2)
KTO = KtoParams(epochs=1.0, batch_rows=8, micro_batch_rows=4, learning_rate=1e-3, max_length=64, save_every_steps=2)


@pytest.fixture(scope="module")
def conversations(chats: Rows) -> list[Record]:
    return [record for record, _ in chats[300:348]]


@pytest.fixture(scope="module")
def preferences() -> list[Preference]:
    return [
        Preference(
            (Message("user", pair["prompt"][:60]),),
            (Message("assistant", pair["chosen"]),),
            (Message("assistant", pair["rejected"]),),
        )
        for pair in pair_by_rating(load_chat_logs()[:600], 20)
    ]


class Killed(Exception):
    pass


def kill_after(step: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == step:
            raise Killed

    return progress


def test_sft_lowers_the_loss_on_its_own_data_and_leaves_a_model_and_no_checkpoint(
    conversations: list[Record], base_folder: Path, in_tmp_path: Path
) -> None:
    before = hash_folder(base_folder)
    report = train_sft(conversations, base_folder, replace(SFT, epochs=3.0), "models/sft")
    assert report.method == "sft"
    assert report.rows + report.rows_dropped == len(conversations)
    steps_per_epoch = -(-report.rows // 8)
    assert report.steps == 3 * steps_per_epoch == len(report.curve)
    assert [step for step, _ in report.curve] == list(range(1, report.steps + 1))
    assert (report.first_loss, report.last_loss) == (report.curve[0][1], report.curve[-1][1])
    params = EvaluationParams(max_length=64)
    z = [evaluate_heldout(folder, conversations, params).z for folder in (base_folder, "models/sft")]
    assert z[1] > z[0] + 0.1
    assert hash_folder(base_folder) == before
    assert not list(CHECKPOINTS.iterdir())
    names = {path.name for path in Path("models/sft").iterdir()}
    assert {"model.safetensors", "tokenizer.json", "config.json"} <= names
    assert not any(name.endswith((".bin", ".pt", ".pth")) for name in names)


def test_the_first_sft_loss_is_the_probes_loss_of_the_same_rows(
    conversations: list[Record], base_folder: Path, in_tmp_path: Path
) -> None:
    # One batch of all rows, so that its order does not matter.
    params = replace(SFT, batch_rows=64, micro_batch_rows=64)
    report = train_sft(conversations, base_folder, params, "model")
    model, tokenizer = load_pretrained(str(base_folder))
    encoded = [encode_conversation(tokenizer, training_messages(record), 64) for record in conversations]
    rows = [row for row in encoded if row is not None]
    assert report.first_loss == pytest.approx(mean_token_loss(model, rows, tokenizer.pad_token_id, 16), rel=1e-3)
    assert (report.rows, report.tokens, report.steps) == (len(rows), sum(len(row.ids) for row in rows), 1)


def test_packed_rows_do_not_see_each_other_and_take_fewer_steps(
    chats: Rows, base_folder: Path, in_tmp_path: Path
) -> None:
    short = [Conversation(record.messages[:2]) for record, _ in chats[300:348] if isinstance(record, Conversation)]
    params = replace(SFT, max_length=256)
    plain, packed = (
        train_sft(short, base_folder, replace(params, packing=packing), f"model-{packing}") for packing in (False, True)
    )
    assert packed.steps < plain.steps
    assert (packed.rows, packed.tokens) == (plain.rows, plain.tokens)


def test_packing_changes_no_loss_of_any_step(chats: Rows, base_folder: Path, in_tmp_path: Path) -> None:
    # All rows in one batch: packed or not, each step is made from the same tokens.
    short = [Conversation(record.messages[:2]) for record, _ in chats[300:348] if isinstance(record, Conversation)]
    params = replace(SFT, max_length=256, batch_rows=64, micro_batch_rows=64, epochs=3.0)
    plain, packed = (
        train_sft(short, base_folder, replace(params, packing=packing), "model") for packing in (False, True)
    )
    assert len(plain.curve) == 3 and plain.first_loss - plain.last_loss > 0.01
    assert packed.curve == tuple((step, pytest.approx(loss, rel=1e-5)) for step, loss in plain.curve)


@pytest.mark.parametrize("change", [{"micro_batch_rows": 2}, {"micro_batch_rows": 8, "gradient_checkpointing": True}])
def test_what_saves_memory_changes_no_loss(
    conversations: list[Record], base_folder: Path, in_tmp_path: Path, change: dict[str, int]
) -> None:
    params = replace(SFT, micro_batch_rows=8)
    expected = train_sft(conversations[:24], base_folder, params, "model")
    saving = train_sft(conversations[:24], base_folder, replace(params, **change), "model")
    assert len(expected.curve) == 3
    assert saving.curve == tuple((step, pytest.approx(loss, rel=1e-5)) for step, loss in expected.curve)


def test_rows_without_a_response_in_reach_are_dropped_and_counted(
    conversations: list[Record], base_folder: Path, in_tmp_path: Path
) -> None:
    endless = Conversation((Message("user", "word " * 200), Message("assistant", "yes")))
    kept = train_sft(conversations[:8], base_folder, SFT, "a")
    report = train_sft([*conversations[:8], endless, endless], base_folder, SFT, "b")
    assert (report.rows, report.rows_dropped) == (kept.rows, kept.rows_dropped + 2)
    with pytest.raises(EntropylawError, match=r"none of the 1 selected rows has a response within sft\.max_length=64"):
        train_sft([endless], base_folder, SFT, "c")
    assert not Path("c").exists()


@pytest.mark.parametrize("packing", [False, True])
def test_a_killed_sft_run_goes_on_from_its_checkpoint_and_ends_with_the_same_model(
    conversations: list[Record], base_folder: Path, in_tmp_path: Path, packing: bool
) -> None:
    params = replace(SFT, packing=packing)
    whole = train_sft(conversations, base_folder, params, "whole")
    with pytest.raises(Killed):
        train_sft(conversations, base_folder, params, "resumed", kill_after(3))
    assert not Path("resumed").exists()
    assert [path.name for path in CHECKPOINTS.glob("sft-*/checkpoint-*")] == ["checkpoint-2"]
    steps: list[int] = []
    resumed = train_sft(conversations, base_folder, params, "resumed", lambda done, total: steps.append(done))
    assert steps == list(range(3, whole.steps + 1))
    assert resumed.curve == whole.curve
    assert hash_folder("resumed") == hash_folder("whole")


def test_a_run_of_other_data_or_parameters_does_not_go_on_from_a_killed_one(
    conversations: list[Record], base_folder: Path, in_tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        train_sft(conversations, base_folder, SFT, "model", kill_after(3))
    for records, params in ((conversations[:40], SFT), (conversations, replace(SFT, seed=1))):
        steps: list[int] = []
        train_sft(records, base_folder, params, "model", lambda done, total, steps=steps: steps.append(done))
        assert steps[0] == 1


def test_a_checkpoint_cut_short_by_the_kill_is_passed_over(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "none") is None
    for name in ("checkpoint-2", "checkpoint-10", "checkpoint-12"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").touch()
    assert last_checkpoint(tmp_path) is None
    for name in ("checkpoint-2", "checkpoint-10"):
        (tmp_path / name / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-12" / "trainer_state.json").write_text('{"global_step": 12, "log_hist')
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_checkpoints_are_kept_by_stage_configuration_and_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {checkpoint_folder(stage, {"params": params}) for stage in ("sft", "kto") for params in (SFT, KTO)}
    assert len(folders) == 4
    alone = checkpoint_folder("sft", {"params": SFT})
    assert alone == checkpoint_folder("sft", {"params": replace(SFT)})
    monkeypatch.setenv("WORLD_SIZE", "2")
    together = checkpoint_folder("sft", {"params": SFT})
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert len({alone, together, checkpoint_folder("sft", {"params": SFT})}) == 3


def test_the_batch_is_dealt_to_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    params = replace(SFT, batch_rows=24, micro_batch_rows=4)
    assert trainer_arguments(params, "sft")["gradient_accumulation_steps"] == 6
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert trainer_arguments(params, "sft")["gradient_accumulation_steps"] == 2
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ParamsError, match=r"sft\.batch_rows=24 is not a multiple of sft\.micro_batch_rows=4 times 4"):
        trainer_arguments(params, "sft")


def test_a_run_killed_after_saving_the_model_trains_nothing_again(
    conversations: list[Record], base_folder: Path, in_tmp_path: Path
) -> None:
    params = replace(SFT, packing=True)

    def die(report: TrainingReport) -> None:
        raise Killed

    with pytest.raises(Killed):
        train_sft(conversations, base_folder, params, "model", held_out=conversations[:8], finish=die)
    saved = hash_folder("model")
    shutil.rmtree("model")  # as DVC does before it starts the stage again
    steps: list[int] = []
    reports: list[TrainingReport] = []
    report = train_sft(
        conversations, base_folder, params, "model", lambda done, total: steps.append(done),
        held_out=conversations[:8], finish=reports.append,
    )  # fmt: skip
    assert steps == [] and report.tokens_per_second is None
    assert hash_folder("model") == saved
    assert reports == [report] and report.steps == len(report.curve) and report.heldout_loss is not None
    assert not list(CHECKPOINTS.iterdir())


def test_a_kill_while_checkpoints_are_dropped_leaves_none_to_resume_from(
    conversations: list[Record], base_folder: Path, in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def die(path: str | Path, **options: bool) -> None:
        if Path(path).parent != CHECKPOINTS:  # the trainer's own, of an older checkpoint
            remove(path, **options)
            return
        next(Path(path).glob("checkpoint-*/model.safetensors")).unlink()
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(shutil, "rmtree", die)
        train_sft(conversations[:16], base_folder, SFT, "model")
    assert list(CHECKPOINTS.glob("sft-*/checkpoint-*"))
    steps: list[int] = []
    train_sft(conversations[:16], base_folder, SFT, "model", lambda done, total: steps.append(done))
    assert steps[0] == 1 and not list(CHECKPOINTS.iterdir())


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_nothing_of_an_earlier_model_in_the_folder_is_left_or_written_through(
    conversations: list[Record], base_folder: Path, in_tmp_path: Path, tuning: Literal["full", "lora"]
) -> None:
    params = replace(SFT, tuning=tuning)
    train_sft(conversations[:16], base_folder, params, "new")
    cached = Path("cached.safetensors")
    cached.write_bytes(b"the earlier version")
    Path("old").mkdir()
    Path("old/model.safetensors").hardlink_to(cached)  # as DVC links an output to its cache
    for name in ("model-00001-of-00002.safetensors", "adapter_config.json", "added_tokens.json"):
        Path("old", name).write_text("{}")
    # It would have the next stage load the other model.
    Path("old/entropylaw.json").write_text('{"pretrained": "elsewhere"}')
    Path("old/notes.txt").write_text("mine")
    train_sft(conversations[:16], base_folder, params, "old")
    assert cached.read_bytes() == b"the earlier version"
    assert Path("old/notes.txt").read_text() == "mine"
    Path("old/notes.txt").unlink()
    assert hash_folder("old") == hash_folder("new")


def test_a_model_is_not_saved_over_the_one_it_is_made_from(
    conversations: list[Record], preferences: list[Preference], base_folder: Path, in_tmp_path: Path
) -> None:
    shutil.copytree(base_folder, "base")
    with pytest.raises(EntropylawError, match="this folder holds the model to start from; give --out another folder"):
        train_sft(conversations, "base", SFT, in_tmp_path / "base")
    with pytest.raises(EntropylawError, match="this folder holds the model to start from"):
        train_kto(preferences, "base", KTO, "./base")
    assert hash_folder("base") == hash_folder(base_folder)


def test_a_loss_that_is_not_a_number_stops_the_run_and_is_not_saved(
    conversations: list[Record], base_folder: Path, in_tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(base_folder, "poisoned")
    weights = load_file("poisoned/model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, "poisoned/model.safetensors", {"format": "pt"})
    params = replace(SFT, save_every_steps=1)
    with pytest.raises(EntropylawError, match=r"sft: the loss is not a number at step 1; lower sft\.learning_rate"):
        train_sft(conversations, "poisoned", params, "model")
    assert not Path("model").exists() and not list(CHECKPOINTS.glob("*/checkpoint-*"))


@pytest.mark.parametrize("cause", ["CUDA out of memory. Tried to allocate 2.00 GiB", "can't allocate memory"])
def test_out_of_memory_names_the_settings_that_can_be_lowered(
    conversations: list[Record], base_folder: Path, in_tmp_path: Path, cause: str
) -> None:
    import torch

    def run_out(done: int, total: int) -> None:
        raise (torch.OutOfMemoryError if "CUDA" in cause else RuntimeError)(cause)

    with pytest.raises(EntropylawError) as caught:
        train_sft(conversations, base_folder, SFT, "model", run_out)
    message = str(caught.value)
    assert ("GPU" in message) == ("CUDA" in cause)
    for setting in ("micro_batch_rows (now 4)", "gradient_checkpointing", "max_length (now 64)", "tuning", "weights"):
        assert f"sft.{setting}" in message


def test_kto_is_not_told_to_lower_what_it_cannot() -> None:
    assert "micro_batch_rows" not in name_savings(KTO, "kto")
    assert "micro_batch_rows" in name_savings(replace(KTO, micro_batch_rows=8), "kto")


@pytest.mark.parametrize("packing", [False, True])
def test_the_heldout_loss_is_the_saved_models_mean_over_response_tokens(
    chats: Rows, base_folder: Path, in_tmp_path: Path, packing: bool
) -> None:
    # Rows of very different length, over which a mean of batch means would differ.
    held_out = [Conversation(record.messages[:2]) for record, _ in chats[348:360] if isinstance(record, Conversation)]
    held_out += [record for record, _ in chats[360:370] if isinstance(record, Conversation)]
    trained = [record for record, _ in chats[300:316]]
    params = replace(SFT, packing=packing, heldout_rows=20)
    report = train_sft(trained, base_folder, params, "model", held_out=held_out)
    result = evaluate_heldout("model", held_out, EvaluationParams(rows=20, max_length=64))
    assert report.heldout_loss == pytest.approx(result.loss_nats, rel=1e-5)


def test_nobody_is_told_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    quiet_libraries()
    assert huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_unpairing_makes_a_row_of_every_answer_and_mixes_the_labels(preferences: list[Preference]) -> None:
    rows = unpair_preferences(preferences, np.random.default_rng(0))
    expected = collections.Counter(
        (record.prompt[0].content, answer[0].content, label)
        for record in preferences
        for answer, label in ((record.chosen, True), (record.rejected, False))
    )
    found = collections.Counter((row.prompt[0].content, row.answer[0].content, row.desirable) for row in rows)
    assert found == expected
    labels = [row.desirable for row in rows]
    # Neither all chosen first nor in turn: every batch of eight has both, and there are runs.
    assert all(0 < sum(labels[i : i + 8]) < 8 for i in range(0, len(labels), 8))
    assert any(a == b for a, b in itertools.pairwise(labels))
    again = unpair_preferences(preferences, np.random.default_rng(0))
    assert rows == again != unpair_preferences(preferences, np.random.default_rng(1))


def test_unpaired_preferences_make_one_row_each() -> None:
    prompt, answer = (Message("user", "Hi"),), (Message("assistant", "Hello!"),)
    rows = unpair_preferences(
        [Preference(prompt, chosen=answer), Preference(prompt, rejected=answer)], np.random.default_rng(0)
    )
    assert sorted(row.desirable for row in rows) == [False, True]


def answer_likelihoods(folder: Path | str, preferences: list[Preference], chosen: bool) -> float:
    """Mean loss in nats per token of the chosen, or the rejected, answers."""
    model, tokenizer = load_pretrained(str(folder))
    rows = []
    for record in preferences:
        answer = record.chosen if chosen else record.rejected
        row = encode_conversation(tokenizer, (*record.prompt, *answer), 64)
        if row is not None:
            rows.append(row)
    return mean_token_loss(model, rows, tokenizer.pad_token_id, 16)


def test_kto_makes_chosen_answers_likelier_against_rejected_ones(
    preferences: list[Preference], base_folder: Path, in_tmp_path: Path
) -> None:
    report = train_kto(preferences, base_folder, replace(KTO, epochs=3.0, learning_rate=3e-3), "models/kto")
    assert (report.method, report.rows, report.rows_dropped) == ("kto", 2 * len(preferences), 0)
    assert report.steps == 3 * (report.rows // 8)
    assert 0 < report.tokens <= report.rows * 64
    margins = [
        answer_likelihoods(folder, preferences, False) - answer_likelihoods(folder, preferences, True)
        for folder in (base_folder, "models/kto")
    ]
    assert margins[1] > margins[0] + 0.02
    assert not list(CHECKPOINTS.iterdir())


def test_kto_drops_and_counts_answers_whose_prompt_is_too_long(
    preferences: list[Preference], base_folder: Path, in_tmp_path: Path
) -> None:
    endless = replace(preferences[0], prompt=(Message("user", "word " * 200),))
    report = train_kto([*preferences[:6], endless], base_folder, KTO, "model")
    assert (report.rows, report.rows_dropped) == (12, 2)
    with pytest.raises(EntropylawError, match=r"no preference row has a prompt shorter than kto\.max_length=64 tokens"):
        train_kto([endless], base_folder, KTO, "none")


def test_kto_takes_unpaired_rows_beside_pairs_and_weighs_the_labels(
    preferences: list[Preference], base_folder: Path, in_tmp_path: Path
) -> None:
    mixed = [*preferences, *(replace(record, chosen=()) for record in preferences)]
    report = train_kto(mixed, base_folder, KTO, "model")
    assert (report.rows, report.desirable_share) == (3 * len(preferences), pytest.approx(1 / 3))
    assert (report.desirable_weight, report.undesirable_weight) == (2.0, 1.0)
    labels = [row.desirable for row in unpair_preferences(mixed, np.random.default_rng(KTO.seed))]
    batches = [labels[i : i + 4] for i in range(0, len(labels) - 3, 4)]
    assert report.micro_batches == len(batches)
    assert report.one_label_batches == sum(all(batch) or not any(batch) for batch in batches)
    # Before the first step the model is its own reference, and each row's loss is a half of its label's weight.
    first = labels[:8]
    assert report.first_loss == pytest.approx(sum(2.0 if label else 1.0 for label in first) / 2 / len(first))


@pytest.mark.parametrize(("desirable", "undesirable"), [(1, 1), (4, 3), (3, 4), (1, 1000), (1000, 1), (5, 3)])
def test_weighted_labels_lie_within_the_ratio_and_one_weight_is_one(desirable: int, undesirable: int) -> None:
    weights = balance_labels(desirable, undesirable)
    ratio = weights[0] * desirable / (weights[1] * undesirable)
    assert 1 - 1e-9 <= ratio <= 4 / 3 + 1e-9
    assert min(weights) == 1.0
    assert (weights == (1.0, 1.0)) == (1 <= desirable / undesirable <= 4 / 3)


@pytest.mark.parametrize("missing", ["chosen", "rejected"])
def test_kto_needs_both_labels(
    preferences: list[Preference], base_folder: Path, in_tmp_path: Path, missing: str
) -> None:
    with pytest.raises(EntropylawError, match="needs both chosen and rejected answers"):
        train_kto([replace(record, **{missing: ()}) for record in preferences], base_folder, KTO, "model")
    assert not Path("model").exists()


def test_a_killed_kto_run_goes_on_from_its_checkpoint_and_ends_with_the_same_model(
    preferences: list[Preference], base_folder: Path, in_tmp_path: Path
) -> None:
    whole = train_kto(preferences, base_folder, KTO, "whole")
    with pytest.raises(Killed):
        train_kto(preferences, base_folder, KTO, "resumed", kill_after(3))
    steps: list[int] = []
    resumed = train_kto(preferences, base_folder, KTO, "resumed", lambda done, total: steps.append(done))
    assert steps[0] == 3
    assert resumed.curve == whole.curve
    assert hash_folder("resumed") == hash_folder("whole")


def test_a_damaged_last_checkpoint_does_not_stop_a_resumed_run(
    conversations: list[Record], base_folder: Path, in_tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        train_sft(conversations, base_folder, SFT, "model", kill_after(3))
    (checkpoint,) = CHECKPOINTS.glob("sft-*/checkpoint-2")
    later = checkpoint.with_name("checkpoint-4")
    shutil.copytree(checkpoint, later)
    (later / "trainer_state.json").unlink()
    (later / "optimizer.pt").unlink()
    steps: list[int] = []
    train_sft(conversations, base_folder, SFT, "model", lambda done, total: steps.append(done))
    assert steps[0] == 3


@pytest.mark.parametrize(
    "change",
    [
        {"batch_rows": 0},
        {"micro_batch_rows": 0},
        {"micro_batch_rows": 5},
        {"epochs": 0.0},
        {"learning_rate": 0.0},
        {"warmup_ratio": 1.0},
        {"save_every_steps": 0},
        {"lora_rank": 0},
        {"lora_alpha": 0},
        {"lora_dropout": 1.0},
    ],
)
def test_parameters_that_train_nothing_are_refused(change: dict[str, float]) -> None:
    for params in (SftParams(), KtoParams()):
        with pytest.raises(ValueError, match="must"):
            replace(params, **change)


def test_kto_refuses_micro_batches_too_small_to_estimate_its_kl() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        KtoParams(micro_batch_rows=2)
    with pytest.raises(ValueError, match="beta must be positive"):
        KtoParams(beta=0.0)
