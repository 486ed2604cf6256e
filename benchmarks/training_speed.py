"""The speed of the stages `sft` and `kto` beside that of a plain TRL script with the same settings.

    python -m benchmarks.training_speed                      # the small base model; a GPU is used where there is one
    python -m benchmarks.training_speed --device cpu --rows 400 --repeats 3
    python -m benchmarks.training_speed --llama 0.5B         # on a GPU: model FLOPs utilisation too

The data are real conversations (chitchat-dataset). Both sides load the model from its folder, tokenise, train one epoch
and save the model; the stage also counts rows, logs every step and keeps its curve and checkpoints. They run in pairs,
and each side goes first in every other pair. The ratio is that of tokens per second within a pair. Both must end at the
same loss. On a GPU the weights are float32, the arithmetic is bfloat16, and SFT packs its rows.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stages import inside
from corpus.records import Conversation, Message, Preference, Role
from entropylaw.demo.chitchat import load_chat_logs, pair_by_rating, to_conversation

GOAL = 0.97
# A mean loss this far from the other side's is another computation.
LOSS_TOLERANCE = 0.01

ROLES: dict[str, Role] = {"human": "user", "gpt": "assistant"}

# Layers, width and heads of Llama-architecture models with a vocabulary of 8,192: 0.09 and 0.47 billion weights.
LLAMAS = {"0.1B": (12, 768, 12), "0.5B": (16, 1536, 12)}

# Dense bfloat16 FLOP/s, from NVIDIA's data sheets of each (half of the figures given "with sparsity").
PEAK_FLOPS = {"H200": 989e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "A100": 312e12}

# Forward passes over the same tokens, a backward pass counting as two. KTO: the policy forward and backward, and three
# more without gradients, of the reference, and of both on the mismatched answers that its KL term is estimated from.
PASSES = {"sft": 3, "kto": 6}


@dataclass(frozen=True)
class Trained:
    """What training gave. ``loss``: mean over all steps. ``loop_seconds``: without loading, tokenising and saving."""

    loss: float
    loop_seconds: float


@dataclass(frozen=True)
class Side:
    """One whole run of one side. ``peak_bytes``: GPU memory, 0 on a CPU.

    ``cpu_seconds`` depend less than ``seconds`` on other programs that use the same cores.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    trained: Trained


@dataclass(frozen=True)
class Setting:
    """One stage with both sides of the comparison: functions that train and write their model to a folder.

    ``tokens``: input tokens of the epoch. ``attended``: mean over the tokens of the length of their row.
    """

    stage: str
    tokens: int
    attended: float
    ours: Callable[[Path], Trained]
    plain: Callable[[Path], Trained]


def load_conversations(rows: int) -> list[Conversation]:
    """The first ``rows`` conversations of chit-chat."""
    chats = [to_conversation(log)["conversations"] for log in load_chat_logs()[:rows]]
    return [
        Conversation(tuple(Message(ROLES[turn["from"]], turn["value"]) for turn in chat), "chitchat", row)
        for row, chat in enumerate(chats, start=1)
    ]


def load_preferences(rows: int) -> list[Preference]:
    """``rows`` pairs of a higher and a lower rated answer from chit-chat."""
    return [
        Preference(
            (Message("user", pair["prompt"]),),
            (Message("assistant", pair["chosen"]),),
            (Message("assistant", pair["rejected"]),),
        )
        for pair in pair_by_rating(load_chat_logs(), rows)
    ]


def save_new_model(conversations: Sequence[Conversation], size: str | None, folder: Path) -> Any:
    """A model with random weights and a tokenizer made from the conversations; speed does not depend on the weights."""
    from corpus.records import canonical_text
    from training.base_model_params import BaseModelParams
    from training.small_model import new_model, train_tokenizer

    params = BaseModelParams()
    if size:
        layers, width, heads = LLAMAS[size]
        params = replace(params, vocabulary=8192, layers=layers, hidden_size=width, heads=heads)
    tokenizer = train_tokenizer([canonical_text(record) for record in conversations], params.vocabulary)
    model = new_model(params, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def plain_arguments(params: Any, gpu: bool) -> dict[str, Any]:
    """The arguments that a plain TRL script would set for the same run; it logs as rarely as TRL does by default."""
    return {
        "num_train_epochs": params.epochs,
        "per_device_train_batch_size": params.micro_batch_rows,
        "gradient_accumulation_steps": params.batch_rows // params.micro_batch_rows,
        "learning_rate": params.learning_rate,
        "warmup_steps": params.warmup_ratio,
        "max_length": params.max_length,
        "activation_checkpointing": False,
        "save_strategy": "no",
        "seed": params.seed,
        "data_seed": params.seed,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": not gpu,
        "bf16": gpu,
    }


def train_and_save(trainer: Any) -> Trained:
    """Run a plain trainer, timing its loop, and save the model."""
    start = time.perf_counter()
    loss = trainer.train().training_loss
    seconds = time.perf_counter() - start
    trainer.save_model()
    return Trained(loss, seconds)


def sft_setting(records: Sequence[Conversation], base: Path, params: Any, gpu: bool) -> Setting:
    """The comparison for SFT. Rows that ``max_length`` would cut are left out: both sides see the same tokens."""
    from transformers import AutoTokenizer

    from training.chat import encode_conversation, training_messages
    from training.sft import train_sft

    tokenizer = AutoTokenizer.from_pretrained(base)
    lengths, kept = [], []
    for record in records:
        row = encode_conversation(tokenizer, training_messages(record), params.max_length)
        if row is not None and len(row.ids) < params.max_length:
            kept.append(record)
            lengths.append(len(row.ids))

    def ours(folder: Path) -> Trained:
        report = train_sft(kept, str(base), params, folder)
        return Trained(statistics.fmean(loss for _, loss in report.curve), report.seconds)

    def plain(folder: Path) -> Trained:
        from datasets import Dataset
        from transformers import AutoModelForCausalLM
        from trl import SFTConfig, SFTTrainer

        rows = [{"messages": [{"role": m.role, "content": m.content} for m in r.messages]} for r in kept]
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(base),
            args=SFTConfig(
                output_dir=str(folder),
                assistant_only_loss=True,
                packing=params.packing,
                **plain_arguments(params, gpu),
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(base),
        )
        return train_and_save(trainer)

    return Setting("sft", *measure_tokens(lengths), ours, plain)


def kto_setting(records: Sequence[Preference], sft: Path, params: Any, gpu: bool) -> Setting:
    """The comparison for KTO. Pairs that ``max_length`` would cut are left out, and incomplete batches too."""
    from transformers import AutoTokenizer

    from training.chat import encode_answer
    from training.kto import KtoRow, train_kto, unpair_preferences
    from training.template_inputs import to_chat

    tokenizer = AutoTokenizer.from_pretrained(sft)

    def count_tokens(row: KtoRow) -> int:
        encoded = encode_answer(tokenizer, row.prompt, row.answer, params.max_length, row.tools)
        return len(encoded.prompt_ids) + len(encoded.answer_ids) if encoded else params.max_length

    def fits(record: Preference) -> bool:
        answers = unpair_preferences([record], np.random.default_rng(0))
        return all(count_tokens(answer) < params.max_length for answer in answers)

    # Whole batches of both answers of a pair, for an incomplete one would be dropped.
    kept = [record for record in records if fits(record)]
    kept = kept[: len(kept) // params.batch_rows * params.batch_rows]
    answers = unpair_preferences(kept, np.random.default_rng(params.seed))
    rows = [
        {"prompt": to_chat(row.prompt), "completion": to_chat(row.answer), "label": row.desirable} for row in answers
    ]
    lengths = [count_tokens(row) for row in answers]

    def ours(folder: Path) -> Trained:
        report = train_kto(kept, str(sft), params, folder)
        return Trained(statistics.fmean(loss for _, loss in report.curve), report.seconds)

    def plain(folder: Path) -> Trained:
        return train_plain_kto(rows, sft, params, folder, gpu)

    return Setting("kto", *measure_tokens(lengths), ours, plain)


def train_plain_kto(rows: list[dict[str, Any]], sft: Path, params: Any, folder: Path, gpu: bool) -> Trained:
    """Train as a plain TRL script does; ``rows``: unpaired preferences in TRL's form."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import KTOConfig, KTOTrainer

    trainer = KTOTrainer(
        model=AutoModelForCausalLM.from_pretrained(sft),
        ref_model=AutoModelForCausalLM.from_pretrained(sft),
        args=KTOConfig(
            output_dir=str(folder),
            beta=params.beta,
            dataloader_drop_last=True,
            **plain_arguments(params, gpu),
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(sft),
    )
    return train_and_save(trainer)


def measure_tokens(lengths: Sequence[int]) -> tuple[int, float]:
    """The tokens of all rows, and the mean over these tokens of the length of their row.

    >>> measure_tokens([1, 3])
    (4, 2.5)
    """
    tokens = sum(lengths)
    return tokens, sum(length * length for length in lengths) / tokens


def run_side(train: Callable[[Path], Trained], workspace: Path, gpu: bool) -> Side:
    """Run one side in a folder that is deleted afterwards."""
    import torch

    gc.collect()  # the trainer of the run before has circular references
    if gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory(dir=workspace) as folder:
        start, cpu_start = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):  # where TRL prints a summary
            trained = train(Path(folder))
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return Side(seconds, cpu_seconds, torch.cuda.max_memory_allocated() if gpu else 0, trained)


def compare(setting: Setting, repeats: int, workspace: Path, gpu: bool) -> list[tuple[Side, Side]]:
    """The measured pairs (ours, plain). Each side runs once before, for imports, kernels and file caches."""
    for train in (setting.ours, setting.plain):
        run_side(train, workspace, gpu)
    pairs = []
    for repeat in range(repeats):
        order = (setting.ours, setting.plain) if repeat % 2 == 0 else (setting.plain, setting.ours)
        sides = {train: run_side(train, workspace, gpu) for train in order}
        pairs.append((sides[setting.ours], sides[setting.plain]))
    for ours, plain in pairs:
        losses = ours.trained.loss, plain.trained.loss
        if abs(losses[0] / losses[1] - 1) > LOSS_TOLERANCE:
            raise SystemExit(f"{setting.stage}: not the same training: losses {losses[0]:.4f} and {losses[1]:.4f}")
    return pairs


def flops_per_token(parameters: int, layers: int, width: int, attended: float, stage: str) -> float:
    """Floating-point operations that training on one token takes (Chowdhery et al., 2022, appendix B).

    In each forward pass these are 2·N for N weights, and 2·layers·width·attended for causal attention over rows of
    ``attended`` tokens, of which a token sees half on average. N counts tied embeddings once, as the output layer.
    Recomputation is not counted.

    >>> flops_per_token(10, 0, 0, 0.0, "sft"), flops_per_token(0, 1, 4, 8.0, "sft")
    (60.0, 192.0)
    """
    return PASSES[stage] * (2 * parameters + 2 * layers * width * attended)


def find_peak_flops(device: str) -> float | None:
    """The FLOP/s that a device can reach, by its name; None for an unknown device.

    >>> find_peak_flops("NVIDIA H100 80GB HBM3"), find_peak_flops("Tesla T4")
    (989000000000000.0, None)
    """
    return next((peak for name, peak in PEAK_FLOPS.items() if name in device), None)


def name_device(gpu: bool) -> str:
    import torch

    if gpu:
        return torch.cuda.get_device_name()
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


def print_comparison(setting: Setting, pairs: Sequence[tuple[Side, Side]]) -> None:
    ratios = sorted(plain.seconds / ours.seconds for ours, plain in pairs)
    loops = statistics.median(plain.trained.loop_seconds / ours.trained.loop_seconds for ours, plain in pairs)
    cpu = statistics.median(plain.cpu_seconds / ours.cpu_seconds for ours, plain in pairs)
    median = statistics.median(ratios)
    ours, plain = (setting.tokens / statistics.median(run.seconds for run in runs) for runs in zip(*pairs, strict=True))
    print(f"{setting.stage}: {setting.tokens:,} tokens a run, pairs of runs: {len(pairs)}")
    print(f"  tokens per second: the stage {ours:,.0f}, the plain script {plain:,.0f}")
    print(f"  ratio: median {median:.3f}, from {ratios[0]:.3f} to {ratios[-1]:.3f}", end="")
    print(f"; the goal of {GOAL} is {'met' if median >= GOAL else 'missed'}")
    print(f"  ratio of the training loops alone {loops:.3f}, by CPU seconds {cpu:.3f}")
    if pairs[0][0].peak_bytes:
        peaks = [max(run.peak_bytes for run in runs) / 2**30 for runs in zip(*pairs, strict=True)]
        print(f"  peak GPU memory: the stage {peaks[0]:.2f} GiB, the plain script {peaks[1]:.2f} GiB")


def print_utilisation(setting: Setting, pairs: Sequence[tuple[Side, Side]], model: Any, device: str) -> None:
    config, weights = model.config, model.num_parameters()
    flops = flops_per_token(weights, config.num_hidden_layers, config.hidden_size, setting.attended, setting.stage)
    speed = setting.tokens / statistics.median(ours.trained.loop_seconds for ours, _ in pairs)
    peak = find_peak_flops(device)
    print(f"  {weights / 1e9:.2f} billion weights, training loop of the stage: {speed:,.0f} tokens per second", end="")
    print(f", model FLOPs utilisation {speed * flops / peak:.1%}" if peak else "", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=800, help="conversations, and half as many preferences")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of runs")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="by default a GPU where there is one")
    parser.add_argument("--llama", choices=list(LLAMAS), help="a model of this size instead of the small base model")
    options = parser.parse_args()
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch looks
    import torch

    from training.fine_tuning import quiet_libraries
    from training.kto import KtoParams
    from training.sft import SftParams

    gpu = torch.cuda.is_available()
    if options.device == "cuda" and not gpu:
        raise SystemExit("there is no GPU here")
    quiet_libraries()
    # The learning rates keep a model with random weights on a steady way down, so that both sides can be compared.
    sft = SftParams(epochs=1.0, learning_rate=1e-4)
    kto = KtoParams(epochs=1.0, learning_rate=1e-6)
    if gpu:
        sft = replace(sft, batch_rows=16, micro_batch_rows=16, max_length=1024, packing=True)
        kto = replace(kto, batch_rows=16, micro_batch_rows=16, max_length=1024)
    device = name_device(gpu)
    print(f"{device}, {'bfloat16 with packing' if gpu else 'float32'}", flush=True)
    conversations = load_conversations(options.rows)
    with tempfile.TemporaryDirectory() as folder, inside(Path(folder)):
        base = Path("base")
        model = save_new_model(conversations, options.llama, base)
        for setting in (
            sft_setting(conversations, base, sft, gpu),
            kto_setting(load_preferences(options.rows // 2), base, kto, gpu),
        ):
            pairs = compare(setting, options.repeats, Path(), gpu)
            print_comparison(setting, pairs)
            if options.llama:
                print_utilisation(setting, pairs, model, device)


if __name__ == "__main__":
    main()
