"""What SFT and KTO share: settings, batches over processes, resumable checkpoints and the training report."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from corpus.artifacts import fingerprint
from corpus.errors import EntropylawError, ParamsError
from training.launch import is_first_process
from training.unread_rows import UnreadRows

if TYPE_CHECKING:
    from transformers import Trainer


# DVC deletes a stage's outputs before it runs the stage, so the checkpoints of a killed run must lie elsewhere.
CHECKPOINTS = Path(".entropylaw") / "checkpoints"

# The files that transformers and peft read from a model's folder, and our own card.
MODEL_FILES = (
    "*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "adapter_config.json",
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja", "chat_template.json", "entropylaw.json",
)  # fmt: skip

# TRL estimates KTO's KL term from the mismatched answers of one micro-batch; fewer than four are too few for that.
MIN_KTO_MICRO_BATCH_ROWS = 4


@dataclass(frozen=True)
class TrainerParams:
    """The settings that SFT and KTO share. The paper (Appendix B) uses batch 128, length 2048 and warm-up 0.1.

    ``batch_rows``: rows of one optimiser step over all processes. ``micro_batch_rows``: rows that one device computes
    at once. ``tuning``: all weights (``full``), or low-rank adapters (``lora``; Hu et al., 2021) on every linear layer
    but the last, where ``qlora`` (Dettmers et al., 2023) holds the other weights in 4 bits. ``weights``: the precision
    the model is loaded and saved in. Raises ValueError for settings that cannot be used.
    """

    epochs: float = 1.0
    batch_rows: int = 8
    micro_batch_rows: int = 8
    learning_rate: float = 1e-4
    warmup_ratio: float = 0.1
    max_length: int = 256
    save_every_steps: int = 200
    seed: int = 0
    tuning: Literal["full", "lora", "qlora"] = "full"
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    weights: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        sizes = (self.batch_rows, self.micro_batch_rows, self.max_length, self.save_every_steps, self.lora_rank)
        if min(sizes) < 1 or self.epochs <= 0 or self.learning_rate <= 0 or self.lora_alpha <= 0:
            raise ValueError("epochs, learning_rate, lora_alpha and all sizes must be positive")
        if not 0 <= self.warmup_ratio < 1 or not 0 <= self.lora_dropout < 1:
            raise ValueError("warmup_ratio and lora_dropout must lie in [0, 1)")
        if self.batch_rows % self.micro_batch_rows:
            raise ValueError("batch_rows must be a multiple of micro_batch_rows")


@dataclass(frozen=True)
class TrainingReport:
    """What a fine-tuning run did.

    ``rows_dropped``: rows with nothing to train on within ``max_length`` tokens. ``unread``: of how many rows something
    was not trained on, and why. ``tokens``: input tokens of one epoch.
    ``heldout_loss``: of the trained model, in nats per response token; None where nothing was held out. ``seconds`` and
    ``tokens_per_second``: of the training loop since it was last started, evaluations included; the latter is None
    where a resumed run had nothing left to train. ``curve``: (optimiser step, loss) as logged by the trainer.
    """

    method: str
    rows: int
    rows_dropped: int
    tokens: int
    epochs: float
    steps: int
    first_loss: float
    last_loss: float
    heldout_loss: float | None
    seconds: float
    tokens_per_second: float | None
    curve: tuple[tuple[int, float], ...]
    unread: UnreadRows = field(default=UnreadRows(), kw_only=True)


def process_count() -> int:
    """How many processes train together, which `accelerate launch` tells each of them; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def trainer_arguments(params: TrainerParams, stage: str) -> dict[str, Any]:
    """The arguments that SFTConfig and KTOConfig have in common. ``stage`` is the section of params.yaml.

    Raises ParamsError when ``batch_rows`` cannot be dealt to the processes.
    """
    at_once = params.micro_batch_rows * process_count()
    if params.batch_rows % at_once:
        raise ParamsError(
            f"{stage}.batch_rows={params.batch_rows} is not a multiple of {stage}.micro_batch_rows="
            f"{params.micro_batch_rows} times {process_count()} processes; change one of them"
        )
    return {
        # Replaced by the run's own folder once the model is loaded, because the folder's name depends on it.
        "output_dir": str(CHECKPOINTS),
        "num_train_epochs": params.epochs,
        "per_device_train_batch_size": params.micro_batch_rows,
        "per_device_eval_batch_size": params.micro_batch_rows,
        "gradient_accumulation_steps": params.batch_rows // at_once,
        "learning_rate": params.learning_rate,
        "warmup_steps": params.warmup_ratio,
        "max_length": params.max_length,
        "activation_checkpointing": params.gradient_checkpointing,
        "activation_checkpointing_kwargs": {"use_reentrant": False} if params.gradient_checkpointing else None,
        # TRL trains without the cache of keys either way; by default the saved model would generate without it too.
        "use_cache": True,
        "save_strategy": "steps",
        "save_steps": params.save_every_steps,
        "save_total_limit": 1,
        "logging_steps": 1,
        # A loss that is not a number must be seen, not replaced by the mean of the others.
        "logging_nan_inf_filter": False,
        "seed": params.seed,
        "data_seed": params.seed,
        "report_to": "none",
        "disable_tqdm": True,
        # Every tuned weight takes part in every step; looking for unused ones would cost a walk over the graph.
        "ddp_find_unused_parameters": False,
        **hardware_arguments(),
    }


def hardware_arguments() -> dict[str, Any]:
    """Trainer arguments for this machine: TRL's configurations raise an error on a CPU unless they are told of it."""
    import torch

    if not torch.cuda.is_available():
        return {"use_cpu": True, "bf16": False}
    return {"bf16": torch.cuda.is_bf16_supported()}


def bind_arguments(arguments: Any, checkpoints: Path) -> None:
    """Set the run's checkpoint folder in the trainer's arguments, and use one GPU where a process sees several.

    The trainer would otherwise use all of them by DataParallel, which TRL refuses. To use several GPUs, launch several
    processes.
    """
    arguments.output_dir = str(checkpoints)
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1


def checkpoint_folder(stage: str, configuration: dict[str, Any]) -> Path:
    """The folder of a run's checkpoints until it has finished, named by its configuration (params, data, model).

    The number of processes and the strategy count as well, because sharded checkpoints fit no other number.
    """
    launch = {
        "processes": process_count(),
        "fsdp": os.environ.get("ACCELERATE_USE_FSDP", "false"),
        "deepspeed": os.environ.get("ACCELERATE_USE_DEEPSPEED", "false"),
    }
    return CHECKPOINTS / f"{stage}-{fingerprint({**configuration, 'launch': launch})}"


def last_checkpoint(checkpoints: Path) -> Path | None:
    """The latest complete checkpoint, None without one. The trainer writes the state last, so that must be whole."""
    whole = [path.parent for path in checkpoints.glob("checkpoint-*/trainer_state.json") if _is_json(path)]
    return max(whole, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return True


def drop_checkpoints(trainer: Trainer, checkpoints: Path) -> None:
    """Delete the checkpoints of a run whose results are written. To be called by all processes."""
    trainer.accelerator.wait_for_everyone()
    if is_first_process():
        # The states first, for without them no checkpoint counts as complete: after a kill in between, the next run
        # must not resume from one whose weights are gone.
        for state in checkpoints.glob("checkpoint-*/trainer_state.json"):
            state.unlink()
        shutil.rmtree(checkpoints, ignore_errors=True)


def refuse_start_as_output(folder: str | Path, *starts: str | Path | None) -> None:
    """Raise EntropylawError when a model would be saved over one that it is made from."""
    for start in starts:
        if start is not None and Path(start).is_dir() and os.path.realpath(folder) == os.path.realpath(start):
            raise EntropylawError(f"{folder}: this folder holds the model to start from; give --out another folder")


def clear_old_model(trainer: Trainer, folder: str | Path) -> None:
    """Delete an earlier model in ``folder``: files that the new one does not overwrite would be loaded with it.

    This also protects DVC's cache where outputs are links into it. To be called by all processes.
    """
    trainer.accelerator.wait_for_everyone()
    if is_first_process():
        for pattern in MODEL_FILES:
            for path in Path(folder).glob(pattern):
                path.unlink()
    trainer.accelerator.wait_for_everyone()


def name_savings(params: TrainerParams, stage: str) -> str:
    """Advice on saving memory under these settings: which numbers to lower, then what to set.

    >>> name_savings(TrainerParams(micro_batch_rows=1, gradient_checkpointing=True, tuning="qlora"), "sft")
    'sft.max_length (now 256), or set sft.weights: bfloat16'
    """
    numbers = [f"{stage}.max_length (now {params.max_length})"]
    if params.micro_batch_rows > (MIN_KTO_MICRO_BATCH_ROWS if stage == "kto" else 1):
        numbers.insert(0, f"{stage}.micro_batch_rows (now {params.micro_batch_rows})")
    choices = []
    if not params.gradient_checkpointing:
        choices.append(f"{stage}.gradient_checkpointing: true")
    if params.tuning != "qlora":
        choices.append(f"{stage}.tuning: " + ("lora or qlora" if params.tuning == "full" else "qlora"))
    if params.weights == "float32":
        choices.append(f"{stage}.weights: bfloat16")
    return " or ".join(numbers) + (f", or set {', '.join(choices)}" if choices else "")


def quiet_libraries() -> None:
    """Silence the libraries: users read our own progress bar and messages, and nobody else is told of the run."""
    import logging
    import warnings

    # TRL reports each trainer's model family, device and process count to its makers unless it is told not to.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # By an environment variable, because the library is slow to load and only SFT and KTO need it.
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    import huggingface_hub.constants
    import transformers

    # Both are read when the libraries are first imported, which may have been before.
    if os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1":
        huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
    if "datasets" in sys.modules:
        sys.modules["datasets"].disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it logs each of its retries
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    # TRL 1.16 asks transformers 5 for this under its old name, at every step.
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
