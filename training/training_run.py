"""One run of a trainer: it resumes a killed run, is evaluated regularly, and stops when its loss is not a number."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.errors import NotAssessedError
from corpus.progress import Progress
from training.disk_errors import name_unwritten
from training.fine_tuning import last_checkpoint

if TYPE_CHECKING:
    from transformers import Trainer, TrainerCallback


@dataclass(frozen=True)
class Run:
    """What the trainer measured; the fields are those of the same names in TrainingReport."""

    steps: int
    first_loss: float
    last_loss: float
    heldout_loss: float | None
    seconds: float
    tokens_per_second: float | None
    curve: tuple[tuple[int, float], ...]


def run_trainer(
    trainer: Trainer,
    checkpoints: Path,
    stage: str,
    progress: Progress,
    evaluate_every_steps: int | None = None,
) -> Run:
    """Train, continuing from the last checkpoint of an earlier, killed run.

    A trainer with an evaluation set is evaluated every ``evaluate_every_steps`` steps (None: at the end of each epoch)
    and at the end of the run. ``stage``: the section of params.yaml, for messages. Raises NotAssessedError when the
    loss or the gradient stops being a number.
    """
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_watch_loss(stage))
    if trainer.eval_dataset is not None:
        trainer.add_callback(_evaluate_regularly(evaluate_every_steps))
    # The last of the callbacks: a progress that raises an error then stops the run at the point where a kill would.
    trainer.add_callback(_report_progress(progress))
    last = last_checkpoint(checkpoints)
    start = time.perf_counter()
    with name_unwritten(checkpoints):
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    seconds = time.perf_counter() - start
    history = trainer.state.log_history
    done_before = int(last.name.removeprefix("checkpoint-")) if last else 0
    # TRL counts the tokens of this process group since it was started.
    counted = [entry["num_tokens"] for entry in history if "num_tokens" in entry and entry["step"] > done_before]
    heldout = [float(entry["eval_loss"]) for entry in history if "eval_loss" in entry]
    curve = tuple((int(entry["step"]), float(entry["loss"])) for entry in history if "loss" in entry)
    return Run(
        steps=trainer.state.global_step,
        first_loss=curve[0][1],
        last_loss=curve[-1][1],
        heldout_loss=heldout[-1] if heldout else None,
        seconds=round(seconds, 3),
        tokens_per_second=round(counted[-1] / seconds, 1) if counted else None,
        curve=curve,
    )


def _report_progress(progress: Progress) -> TrainerCallback:
    from transformers import TrainerCallback

    class ReportProgress(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            progress(state.global_step, state.max_steps)

    return ReportProgress()


def _watch_loss(stage: str) -> TrainerCallback:
    """Stops the run before the step is saved, so that no checkpoint holds weights that are not numbers."""
    from transformers import TrainerCallback

    class WatchLoss(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            logs = kwargs["logs"]
            for name in ("loss", "grad_norm"):
                if name in logs and not math.isfinite(logs[name]):
                    what = "loss" if name == "loss" else "gradient"
                    raise NotAssessedError(
                        f"{stage}: the {what} is not a number at step {state.global_step}; lower "
                        f"{stage}.learning_rate ({args.learning_rate:g}), or look at the rows that "
                        "`entropylaw check` names"
                    )

    return WatchLoss()


def _evaluate_regularly(every_steps: int | None) -> TrainerCallback:
    from transformers import TrainerCallback

    class EvaluateRegularly(TrainerCallback):
        # At the end of a step, not of an epoch: the epoch ends after the checkpoint is written, so a run that resumed
        # from that checkpoint would lack the evaluation.
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if every_steps is None:
                due = math.isclose(state.epoch, round(state.epoch))
            else:
                due = state.global_step % every_steps == 0
            control.should_evaluate = due or state.global_step >= state.max_steps

    return EvaluateRegularly()
