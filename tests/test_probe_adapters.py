"""Probe and calibration of a pretrained model by adapters: the same L to begin with, from weights that never move."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from corpus.artifacts import hash_folder
from corpus.errors import ParamsError
from corpus.files import write_rows
from corpus.params import parse_section
from corpus.prepare import to_row
from corpus.records import HashedRecord, Message, Preference, content_hash
from entropylaw.cli import app
from entropylaw.repository.shipped_files import shipped_text
from monitor.calibration.calibrate import calibrate
from monitor.calibration.law_runs import LawSubset, LawTraining, run_law_point
from monitor.calibration.params import CalibrationParams
from monitor.law.results import CLEAN, LawPoint
from monitor.measures.compression import CompressionParams
from training.base_model import CARD, build_base_model, load_base_model
from training.base_model_params import BaseModelParams
from training.preference_probe import PreferenceProbeResult
from training.probe import probe_loss
from training.probe_run import ProbeParams, ProbeResult, choose_probe_rows
from training.probed_model import copy_probed_model, load_probed_model
from training.sft import SftParams, train_sft

pytestmark = pytest.mark.slow

Rows = list[HashedRecord]
MakeBase = Callable[..., Path]

RANK = 2
PROBE = ProbeParams(steps=8, batch_rows=2, max_length=48, skipped_steps=1, learning_rate=1e-2)


@pytest.fixture(scope="module")
def pretrained(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama and its tokenizer in a folder, as somebody else might publish them."""
    folder = tmp_path_factory.mktemp("published") / "llama"
    shutil.copytree(base_folder, folder)
    (folder / CARD).unlink()
    return folder


@pytest.fixture(scope="module")
def base(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeBase:
    """Base models that point to the pretrained one, with these parameters."""

    def make(**params: Any) -> Path:
        folder = tmp_path_factory.mktemp("base")
        build_base_model([], "00", BaseModelParams(pretrained=str(pretrained), **params), folder)
        return folder

    return make


@pytest.fixture(scope="module")
def adapted(base: MakeBase) -> Path:
    return base(lora_rank=RANK)


def probe(folder: Path, rows: Rows, params: ProbeParams = PROBE) -> ProbeResult:
    model, tokenizer, card, _ = load_probed_model(folder)
    return probe_loss(model, tokenizer, rows, params, card.trained_from)


@pytest.fixture(scope="module")
def by_adapters(adapted: Path, chats: Rows) -> ProbeResult:
    return probe(adapted, chats[:40])


@pytest.fixture(scope="module")
def by_all_weights(base: MakeBase, chats: Rows) -> ProbeResult:
    return probe(base(), chats[:40])


def linear_layers(model: torch.nn.Module) -> list[torch.nn.Linear]:
    return [layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear) and "proj" in name]


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def test_before_its_first_step_a_probe_by_adapters_has_the_losses_of_one_by_all_weights(
    by_adapters: ProbeResult, by_all_weights: ProbeResult
) -> None:
    assert by_adapters.curve[0] == pytest.approx(by_all_weights.curve[0], rel=1e-6)
    for ours, other in zip(by_adapters.rows[:2], by_all_weights.rows[:2], strict=True):
        assert (ours.hash, ours.loss_nats) == (other.hash, pytest.approx(other.loss_nats, rel=1e-6))
    # Then each learns in its own way.
    assert by_adapters.curve[-1] != pytest.approx(by_all_weights.curve[-1], rel=1e-3)


def test_a_probe_moves_the_adapters_and_no_other_weight(adapted: Path, pretrained: Path, chats: Rows) -> None:
    model, tokenizer, card, _ = load_probed_model(adapted)
    before = weights_of(model)
    probe_loss(model, tokenizer, chats[:40], PROBE, card.trained_from)
    moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert moved == {name for name in before if "lora_" in name}
    published = load_file(pretrained / "model.safetensors")
    frozen = {name.replace(".base_layer", ""): weight for name, weight in weights_of(model).items()}
    assert all(torch.equal(frozen[name], weight) for name, weight in published.items())


def test_an_adapter_has_rank_times_in_plus_out_weights_on_every_linear_layer_but_the_last(
    adapted: Path, pretrained: Path
) -> None:
    plain, _, _ = load_base_model(pretrained)
    layers = linear_layers(plain)
    assert len(layers) == 7
    model, *_ = load_probed_model(adapted)
    tuned = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert tuned == sum(RANK * (layer.in_features + layer.out_features) for layer in layers)
    assert tuned < plain.num_parameters() / 5
    # Of the same class, so that the loss shows its last layer only the positions that it needs.
    assert type(model) is type(plain)
    assert type(model.get_output_embeddings()) is torch.nn.Linear


def test_l_by_adapters_does_not_depend_on_what_was_drawn_before(
    adapted: Path, chats: Rows, by_adapters: ProbeResult
) -> None:
    torch.manual_seed(12345)
    state = torch.random.get_rng_state()
    model, tokenizer, card, _ = load_probed_model(adapted)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert probe_loss(model, tokenizer, chats[:40], PROBE, card.trained_from) == by_adapters


def test_training_a_copy_leaves_the_model_as_it_is_and_copies_no_frozen_weight(
    adapted: Path, chats: Rows, by_adapters: ProbeResult
) -> None:
    model, tokenizer, card, _ = load_probed_model(adapted)
    before = weights_of(model)
    for _ in range(2):
        copied = copy_probed_model(model)
        assert probe_loss(copied, tokenizer, chats[:40], PROBE, card.trained_from) == by_adapters
        pairs = list(zip(model.parameters(), copied.parameters(), strict=True))
        assert all((ours is other) == (not ours.requires_grad) for ours, other in pairs)
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


def test_a_copy_of_a_model_that_is_tuned_whole_shares_no_weight(base: MakeBase) -> None:
    model, *_ = load_probed_model(base())
    copied = copy_probed_model(model)
    assert not {id(weight) for weight in model.parameters()} & {id(weight) for weight in copied.parameters()}


def test_in_bfloat16_the_adapters_stay_in_float32_and_l_is_about_the_same(
    base: MakeBase, chats: Rows, by_adapters: ProbeResult
) -> None:
    folder = base(weights="bfloat16", lora_rank=RANK)
    model, tokenizer, card, _ = load_probed_model(folder)
    assert {(weight.dtype, weight.requires_grad) for weight in model.parameters()} == {
        (torch.bfloat16, False),
        (torch.float32, True),
    }
    result = probe_loss(model, tokenizer, chats[:40], PROBE, card.trained_from)
    assert result.curve == pytest.approx(by_adapters.curve, rel=0.02)
    assert result.l != by_adapters.l


def test_adapters_that_add_nothing_are_the_reference_of_preferences(adapted: Path, base: MakeBase) -> None:
    no = (Message("assistant", "No."),)
    pairs = [Preference((Message("user", f"Say {i}"),), (Message("assistant", f"It is {i}."),), no) for i in range(16)]
    rows: Rows = [(pair, content_hash(pair)) for pair in pairs]
    by_adapters, by_all_weights = probe(adapted, rows), probe(base(), rows)
    assert isinstance(by_adapters, PreferenceProbeResult) and isinstance(by_all_weights, PreferenceProbeResult)
    assert by_adapters.curve[0] == 0.5 > by_adapters.curve[-1]
    assert by_adapters.margin_nats == pytest.approx(by_all_weights.margin_nats, rel=1e-5)


def test_training_starts_from_the_pretrained_model_without_the_adapters(
    adapted: Path, pretrained: Path, chats: Rows, in_tmp_path: Path
) -> None:
    params = SftParams(epochs=1.0, batch_rows=4, micro_batch_rows=4, max_length=48)
    records = [record for record, _ in chats[300:308]]
    reports = [train_sft(records, folder, params, folder.name) for folder in (adapted, pretrained)]
    assert reports[0].curve == reports[1].curve
    ours, other = (load_file(f"{folder.name}/model.safetensors") for folder in (adapted, pretrained))
    assert ours.keys() == other.keys() and all(torch.equal(ours[name], other[name]) for name in ours)


def test_a_calibration_by_adapters_probes_as_the_probe_does(adapted: Path, chats: Rows) -> None:
    params = CalibrationParams(seeds=3, update_shares=(0.2,), updates=2, topics=6, law_runs=False)
    short = replace(PROBE, steps=12)
    result = calibrate(chats[:360], str(adapted), short, CompressionParams(), params)
    alone = [probe(adapted, chats[:360], replace(short, seed=seed)).l for seed in range(3)]
    assert result.noise_l == tuple(alone)


def test_a_run_of_the_law_by_adapters_starts_with_the_probe_and_leaves_the_model_as_it_is(
    adapted: Path, chats: Rows, by_adapters: ProbeResult
) -> None:
    base = load_probed_model(adapted)

    def run(learning_rate: float) -> LawPoint:
        chosen = choose_probe_rows(chats[:40], PROBE.trained_rows, PROBE.seed, 1.0)
        return run_law_point(
            LawSubset("x", CLEAN, chosen), chats[40:56], base, LawTraining(PROBE, learning_rate, CompressionParams())
        )

    slow, fast = run(1e-9), run(3e-2)
    assert slow.l == fast.l == pytest.approx(by_adapters.l)
    assert slow.z != pytest.approx(fast.z, abs=0.01)
    assert run(3e-2) == fast


# --- identity and parameters ---


def test_how_a_model_is_probed_is_part_of_its_identity_where_it_was_chosen(base: MakeBase, pretrained: Path) -> None:
    def identity(**params: Any) -> str:
        folder = base(**params)
        card = load_probed_model(folder)[2]
        assert load_base_model(folder)[2] == card
        return card.identity

    assert identity() == identity(seed=1) == hash_folder(pretrained)
    others = [
        identity(weights="bfloat16"),
        identity(lora_rank=2),
        identity(lora_rank=3),
        identity(lora_rank=2, seed=1),
        identity(lora_rank=2, weights="bfloat16"),
    ]
    assert len({identity(), *others}) == 6


def test_another_seed_of_the_base_model_gives_other_adapters(base: MakeBase, adapted: Path) -> None:
    folders = (adapted, adapted, base(lora_rank=RANK, seed=1))
    first, same, other = (weights_of(load_probed_model(folder)[0]) for folder in folders)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert {name for name in first if not torch.equal(first[name], other[name])} == {
        name for name in first if "lora_A" in name
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lora_rank": 16}, "weights and lora_rank are for pretrained models"),
        ({"weights": "bfloat16"}, "weights and lora_rank are for pretrained models"),
        ({"pretrained": "gpt2", "lora_rank": 0}, "lora_rank must be positive"),
        ({"pretrained": "gpt2", "weights": "float16"}, "weights: expected one of float32, bfloat16"),
    ],
)
def test_settings_that_do_not_fit_the_model_are_refused(change: dict[str, Any], said: str) -> None:
    defaults = {field: getattr(BaseModelParams(), field) for field in BaseModelParams.__dataclass_fields__}
    with pytest.raises(ParamsError, match=rf"base_model.*{said}"):
        parse_section(BaseModelParams, {**defaults, **change}, "params.yaml: base_model")


@pytest.mark.parametrize(
    ("command", "pretrained", "said"),
    [
        ("probe", "null", ""),
        ("probe", "gpt2", ", or set base_model.lora_rank: 16, base_model.weights: bfloat16"),
        ("calibrate", "gpt2", ", or set base_model.lora_rank: 16, base_model.weights: bfloat16"),
        ("compare", "null", ""),
    ],
)
def test_full_memory_names_the_settings_that_take_less(
    command: str,
    pretrained: str,
    said: str,
    base_folder: Path,
    chats: Rows,
    in_tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = shipped_text("params.yaml")
    assert text.index("\nbase_model:") < text.index("pretrained: null") < text.index("\nsecond_model:")
    Path("params.yaml").write_text(text.replace("pretrained: null", f"pretrained: {pretrained}", 1), encoding="utf-8")
    write_rows("rows.jsonl", (to_row(record, row_hash) for record, row_hash in chats[:120]))

    def fill(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("training.probe.train_and_record", fill)
    files = ["rows.jsonl"] * (2 if command == "compare" else 1)
    shown = CliRunner().invoke(app, [command, *files, "--base", str(base_folder)])
    name = "calibration" if command == "calibrate" else command
    assert shown.exit_code == 2
    numbers = "probe.batch_rows (now 8) or probe.max_length (now 256)"
    assert shown.stderr.splitlines()[-1] == f"entropylaw: {name}: out of GPU memory; lower {numbers}{said}"
