"""LoRA and 4-bit tuning: what is trained, and that what is saved is a plain model."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from corpus.artifacts import hash_folder
from corpus.errors import EntropylawError
from corpus.records import Conversation, HashedRecord, Message, Preference, Record
from training.adapters import quantize_config
from training.evaluation_params import EvaluationParams
from training.fine_tuning import CHECKPOINTS, TrainingReport
from training.heldout import evaluate_heldout
from training.kto import KtoParams, train_kto
from training.sft import SftParams, train_sft

pytestmark = pytest.mark.slow

Rows = list[HashedRecord]

LORA = SftParams(
    epochs=1.0, batch_rows=8, micro_batch_rows=4, learning_rate=2e-2, max_length=64, save_every_steps=2,
    tuning="lora", lora_rank=2, lora_alpha=4, lora_dropout=0.1,
)  # fmt: skip


@pytest.fixture(scope="module")
def conversations(chats: Rows) -> list[Record]:
    return [record for record, _ in chats[300:332]]


@pytest.fixture(scope="module")
def trained(
    conversations: list[Record], base_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainingReport]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("lora"))
        report = train_sft(conversations, base_folder, LORA, "model", held_out=conversations[:16])
        assert not list(CHECKPOINTS.iterdir())
        return Path("model").resolve(), report


def test_a_merged_model_is_a_plain_one_with_the_loss_of_the_trained_one(
    trained: tuple[Path, TrainingReport], conversations: list[Record], base_folder: Path
) -> None:
    folder, report = trained
    assert not list(folder.glob("*adapter*"))
    assert load_file(folder / "model.safetensors").keys() == load_file(base_folder / "model.safetensors").keys()
    # Taken of the trained model with its adapter beside the weights, and of the saved one that it was merged into.
    assert report.heldout_loss == pytest.approx(
        evaluate_heldout(folder, conversations[:16], EvaluationParams(max_length=64)).loss_nats, rel=1e-5
    )


def test_the_adapter_changes_linear_layers_by_its_rank_and_nothing_else(
    trained: tuple[Path, TrainingReport], base_folder: Path
) -> None:
    folder, _ = trained
    before, after = (load_file(path / "model.safetensors") for path in (base_folder, folder))
    for name, weight in after.items():
        change = weight - before[name]
        if "proj" in name:
            rank = int(torch.linalg.matrix_rank(change.double(), atol=1e-5))
            assert 1 <= rank <= LORA.lora_rank, name
        else:
            assert not change.any(), name


class Killed(Exception):
    pass


def kill_after(step: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == step:
            raise Killed

    return progress


def test_a_killed_run_with_adapters_goes_on_and_ends_with_the_same_model(
    trained: tuple[Path, TrainingReport], conversations: list[Record], base_folder: Path, in_tmp_path: Path
) -> None:
    folder, report = trained
    with pytest.raises(Killed):
        train_sft(conversations, base_folder, LORA, "model", kill_after(3), held_out=conversations[:16])
    steps: list[int] = []
    resumed = train_sft(
        conversations, base_folder, LORA, "model", lambda done, total: steps.append(done), held_out=conversations[:16]
    )
    assert steps[0] == 3
    assert resumed.curve == report.curve
    assert hash_folder("model") == hash_folder(folder)


def test_the_reference_of_kto_with_adapters_is_the_model_without_them(base_folder: Path, in_tmp_path: Path) -> None:
    pairs = [
        Preference(
            (Message("user", f"Say {i}"),), (Message("assistant", f"It is {i}."),), (Message("assistant", "No."),)
        )
        for i in range(16)
    ]
    params = KtoParams(
        batch_rows=8, micro_batch_rows=8, learning_rate=1e-2, max_length=64, tuning="lora", lora_rank=2
    )  # fmt: skip
    full, lora = (train_kto(pairs, base_folder, replace(params, tuning=tuning), tuning) for tuning in ("full", "lora"))
    assert full.first_loss == lora.first_loss == pytest.approx(0.5)
    assert lora.last_loss < 0.5
    before, after = (load_file(Path(path) / "model.safetensors") for path in (base_folder, "lora"))
    assert before.keys() == after.keys()


def test_weights_are_saved_in_the_precision_they_were_trained_in(
    conversations: list[Record], base_folder: Path, in_tmp_path: Path
) -> None:
    for tuning in ("full", "lora"):
        params = replace(LORA, tuning=tuning, weights="bfloat16")
        report = train_sft(conversations[:16], base_folder, params, tuning)
        assert {weight.dtype for weight in load_file(f"{tuning}/model.safetensors").values()} == {torch.bfloat16}
        assert report.last_loss < 10


@pytest.mark.parametrize("variable", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"])
def test_four_bit_weights_are_not_spread_over_devices(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "true")
    with pytest.raises(EntropylawError, match=r"sft\.tuning: qlora is not spread over GPUs; set launch\.strategy: ddp"):
        quantize_config(replace(LORA, tuning="qlora"), "sft")


def test_four_bits_need_a_gpu_and_a_package(
    base_folder: Path, in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [Conversation((Message("user", "Hi"), Message("assistant", "Hello!")))]
    params = replace(LORA, tuning="qlora")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EntropylawError, match=r"qlora needs a CUDA GPU, and none is here; set sft\.tuning: lora"):
        train_sft(records, base_folder, params, "model")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    find = importlib.util.find_spec

    def hide(name: str, *rest: Any) -> Any:
        return None if name == "bitsandbytes" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", hide)
    with pytest.raises(EntropylawError, match=r'pip install "entropylaw\[qlora\]"'):
        quantize_config(params, "kto")
    assert quantize_config(LORA, "sft") is None
