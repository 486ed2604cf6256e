"""The curves of a run as a DVCLive folder, which `dvc plots` and editors can read while the model is being trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dvclive import Live
    from transformers import TrainerCallback

# These depend on the machine, or on where a run was resumed, or say what the step says already.
_NOT_DRAWN = (
    "epoch",
    "step",
    "num_tokens",
    "runtime",
    "samples_per_second",
    "steps_per_second",
    "model_preparation_time",
)


def name_curves(logs: Mapping[str, Any]) -> dict[str, float]:
    """The curves that one log entry of the trainer adds a point to.

    >>> name_curves({"loss": 2.5, "epoch": 0.1})
    {'train/loss': 2.5}
    >>> name_curves({"eval_loss": 2.25, "eval_runtime": 0.5})
    {'eval/loss': 2.25}
    """
    # The last entry of the history sums up the whole run, and is no point of a curve.
    if "train_runtime" in logs:
        return {}
    curves = {}
    for key, value in logs.items():
        name = key.removeprefix("eval_")
        if name not in _NOT_DRAWN:
            curves[f"{'eval' if key.startswith('eval_') else 'train'}/{name}"] = float(value)
    return curves


def open_live(folder: str | Path) -> Live:
    """Start an empty DVCLive folder, and change nothing outside of it.

    By itself DVCLive looks for a DVC repository, makes one where there is none, and reports to DVC Studio where that is
    configured. None of it is wanted here, because DVC runs this stage.
    """
    from dvclive import Live

    class QuietLive(Live):
        def _init_dvc(self) -> None:
            self._dvc_file = "dvc.yaml"  # DVCLive reads the name, but never writes the file

        def _init_studio(self) -> None:
            self._studio_events_to_skip = {"start", "data", "done"}

    return QuietLive(dir=str(folder), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False)


def draw_curves(folder: str | Path) -> TrainerCallback:
    """A callback that writes every logged number to ``folder``; of a resumed run, also the earlier ones."""
    from transformers import TrainerCallback

    class DrawCurves(TrainerCallback):
        live: Live

        def draw(self, step: int, logs: Mapping[str, Any]) -> None:
            self.live.step = step
            # Sorted, because the order in the history of a resumed run differs from that in a log.
            for name, value in sorted(name_curves(logs).items()):
                self.live.log_metric(name, value)

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                self.live = open_live(folder)
                for entry in state.log_history:
                    self.draw(entry["step"], entry)

        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                self.draw(state.global_step, kwargs["logs"])

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                self.live.make_summary()

    return DrawCurves()
