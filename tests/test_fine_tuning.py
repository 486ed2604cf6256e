"""SFT and KTO with TRL on a tiny model: what is trained on, what is counted, and that a killed run goes on."""

import collections
import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from corpus.artifacts import hash_folder
from corpus.errors import EntropylawError
from corpus.records import Conversation, Message, Preference, Record
from entropylaw.chitchat import load_chat_logs, pair_by_rating
from training.base_model import load_pretrained
from training.chat import encode_conversation, training_messages
from training.fine_tuning import CHECKPOINTS, checkpoint_folder, last_checkpoint
from training.heldout import EvaluationParams, evaluate_heldout
from training.kto import KtoParams, train_kto, unpair_preferences
from training.loss import mean_token_loss
from training.sft import SftParams, train_sft

Rows = list[tuple[Record, str]]

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
    one_batch = replace(params, batch_rows=64, micro_batch_rows=64)
    losses = [
        train_sft(short, base_folder, replace(one_batch, packing=packing), "model").first_loss
        for packing in (False, True)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


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


def test_a_killed_sft_run_goes_on_from_its_checkpoint_and_ends_with_the_same_model(
    conversations: list[Record], base_folder: Path, in_tmp_path: Path
) -> None:
    whole = train_sft(conversations, base_folder, SFT, "whole")
    with pytest.raises(Killed):
        train_sft(conversations, base_folder, SFT, "resumed", kill_after(3))
    assert not Path("resumed").exists()
    assert [path.name for path in CHECKPOINTS.glob("sft-*/checkpoint-*")] == ["checkpoint-2"]
    steps: list[int] = []
    resumed = train_sft(conversations, base_folder, SFT, "resumed", lambda done, total: steps.append(done))
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
        (tmp_path / name / "trainer_state.json").touch()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_checkpoints_are_kept_by_stage_and_configuration() -> None:
    folders = {checkpoint_folder(stage, {"params": params}) for stage in ("sft", "kto") for params in (SFT, KTO)}
    assert len(folders) == 4
    assert checkpoint_folder("sft", {"params": SFT}) == checkpoint_folder("sft", {"params": replace(SFT)})


def test_unpairing_makes_a_row_of_every_answer_and_mixes_the_labels(preferences: list[Preference]) -> None:
    rows = unpair_preferences(preferences, numpy.random.default_rng(0))
    expected = collections.Counter(
        (record.prompt[0].content, answer[0].content, label)
        for record in preferences
        for answer, label in ((record.chosen, True), (record.rejected, False))
    )
    found = collections.Counter((r["prompt"][0]["content"], r["completion"][0]["content"], r["label"]) for r in rows)
    assert found == expected
    labels = [row["label"] for row in rows]
    # Neither all chosen first nor in turn: every batch of eight has both, and there are runs.
    assert all(0 < sum(labels[i : i + 8]) < 8 for i in range(0, len(labels), 8))
    assert any(a == b for a, b in itertools.pairwise(labels))
    again = unpair_preferences(preferences, numpy.random.default_rng(0))
    assert rows == again != unpair_preferences(preferences, numpy.random.default_rng(1))


def test_unpaired_preferences_make_one_row_each() -> None:
    prompt, answer = (Message("user", "Hi"),), (Message("assistant", "Hello!"),)
    rows = unpair_preferences(
        [Preference(prompt, chosen=answer), Preference(prompt, rejected=answer)], numpy.random.default_rng(0)
    )
    assert sorted(row["label"] for row in rows) == [False, True]


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
