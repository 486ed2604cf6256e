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


def run_trainer(trainer: Trainer, checkpoints: Path, progress: Progress) -> list[tuple[int, float]]:
    """Train, continuing from the last checkpoint of an earlier, killed run; returns the (step, loss) curve."""
    from transformers import PrinterCallback, TrainerCallback
    from transformers.trainer_utils import get_last_checkpoint

    class ReportProgress(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            progress(state.global_step, state.max_steps)

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(ReportProgress())
    last = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    return [(int(entry["step"]), float(entry["loss"])) for entry in trainer.state.log_history if "loss" in entry]


def save_model(trainer: Trainer, folder: str | Path, checkpoints: Path) -> None:
    """Save weights (safetensors) and tokenizer, then drop the checkpoints: the run is done."""
    trainer.save_model(str(folder))
    # The trainer leaves its pickled arguments beside the weights; nobody should have to trust a pickle.
    (Path(folder) / "training_args.bin").unlink(missing_ok=True)
    shutil.rmtree(checkpoints, ignore_errors=True)


def quiet_libraries() -> None:
    """Our own progress bar and messages are the ones a user reads."""
    import datasets
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
