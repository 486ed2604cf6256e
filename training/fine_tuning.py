"""What SFT and KTO share: hardware settings, resumable checkpoints, the saved model and the training report."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.artifacts import fingerprint

if TYPE_CHECKING:
    from transformers import Trainer

Progress = Callable[[int, int], None]

# DVC deletes a stage's outputs before it runs it, so what a killed run can resume from lies elsewhere.
CHECKPOINTS = Path(".entropylaw") / "checkpoints"


@dataclass(frozen=True)
class TrainerParams:
    """The settings that SFT and KTO share. ``batch_rows`` is the batch of one optimiser step; ``micro_batch_rows`` fit
    in memory at once. The paper (Appendix B) uses batch 128, length 2048 and warm-up 0.1.
    """

    epochs: float = 1.0
    batch_rows: int = 8
    micro_batch_rows: int = 8
    learning_rate: float = 1e-4
    warmup_ratio: float = 0.1
    max_length: int = 256
    save_every_steps: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        sizes = (self.batch_rows, self.micro_batch_rows, self.max_length, self.save_every_steps)
        if min(sizes) < 1 or self.epochs <= 0 or self.learning_rate <= 0:
            raise ValueError("epochs, learning_rate and all sizes must be positive")
        if not 0 <= self.warmup_ratio < 1:
            raise ValueError("warmup_ratio must lie in [0, 1)")
        if self.batch_rows % self.micro_batch_rows:
            raise ValueError("batch_rows must be a multiple of micro_batch_rows")


@dataclass(frozen=True)
class TrainingReport:
    """One fine-tuning run. ``rows_dropped``: rows with nothing to train on within ``max_length`` tokens.

    ``curve``: (optimiser step, loss) as logged by the trainer; ``tokens``: input tokens of one epoch.
    """

    method: str
    rows: int
    rows_dropped: int
    tokens: int
    epochs: float
    steps: int
    first_loss: float
    last_loss: float
    curve: tuple[tuple[int, float], ...]


def hardware_arguments() -> dict[str, Any]:
    """Trainer arguments for the machine at hand: TRL's configurations refuse a CPU unless they are told of it."""
    import torch

    if not torch.cuda.is_available():
        return {"use_cpu": True, "bf16": False}
    return {"bf16": torch.cuda.is_bf16_supported()}


def checkpoint_folder(stage: str, configuration: Any) -> Path:
    """Where a run with this configuration (params, data, model) keeps its checkpoints until it has finished."""
    return CHECKPOINTS / f"{stage}-{fingerprint(configuration)}"


def last_checkpoint(checkpoints: Path) -> Path | None:
    """The latest checkpoint that was written to its end; a run killed while it wrote one leaves it without a state."""
    whole = [path.parent for path in checkpoints.glob("checkpoint-*/trainer_state.json")]
    return max(whole, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def run_trainer(trainer: Trainer, checkpoints: Path, progress: Progress) -> list[tuple[int, float]]:
    """Train, continuing from the last checkpoint of an earlier, killed run; returns the (step, loss) curve."""
    from transformers import PrinterCallback, TrainerCallback

    class ReportProgress(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            progress(state.global_step, state.max_steps)

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(ReportProgress())
    last = last_checkpoint(checkpoints)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    return [(int(entry["step"]), float(entry["loss"])) for entry in trainer.state.log_history if "loss" in entry]


def save_model(trainer: Trainer, folder: str | Path, checkpoints: Path) -> None:
    """Save weights (safetensors) and tokenizer, then drop the checkpoints: the run is done."""
    trainer.save_model(str(folder))
    # The trainer leaves its pickled arguments beside the weights; nobody should have to trust a pickle.
    (Path(folder) / "training_args.bin").unlink(missing_ok=True)
    shutil.rmtree(checkpoints, ignore_errors=True)


def quiet_libraries() -> None:
    """Our own progress bar and messages are the ones a user reads."""
    import logging
    import warnings

    import datasets
    import transformers

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it logs each of its retries
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    # TRL 1.16 asks transformers 5 for this under its old name, at every step.
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
