"""What SFT and KTO do alike around a run: say what it is made from, and at its end save the model and its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from corpus.records import Record, content_hash, data_hash
from training.adapters import save_plain_model
from training.base_model import BaseModelCard, load_base_model
from training.disk_errors import name_unwritten
from training.fine_tuning import (
    TrainerParams,
    TrainingReport,
    checkpoint_folder,
    clear_old_model,
    drop_checkpoints,
)
from training.launch import is_first_process
from training.model_card import Provenance, TrainedOn, write_model_card

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Trainer


@dataclass(frozen=True)
class RunOutputs:
    """What a run leaves behind, and where.

    ``folder``: the model's. ``live``: the DVCLive folder of its curves, None for no curves. ``provenance``: what is
    known of the rows' origin, for the model card. ``finish``: called with the report by the first process, once the
    model is saved and before the checkpoints are dropped.
    """

    folder: str | Path
    live: str | Path | None
    provenance: Provenance | None
    finish: Callable[[Any], None]


@dataclass(frozen=True)
class RunPlan:
    """A run before it starts. ``start``: folder or Hub id of the model to train. ``checkpoints``: folder of the run."""

    params: TrainerParams
    start: str | Path
    trained_on: TrainedOn
    checkpoints: Path
    outputs: RunOutputs


def plan_run(
    stage: Literal["sft", "kto"],
    params: TrainerParams,
    start: str | Path,
    card: BaseModelCard,
    records: Sequence[Record],
    outputs: RunOutputs,
    others: Mapping[str, Any],
) -> RunPlan:
    """The plan of a run on ``records`` from the model in ``start`` with this ``card``.

    The checkpoints' folder is named by parameters, data and ``others``: whatever else decides how the run goes. A
    killed run is thus resumed by the same run only.
    """
    data = data_hash(content_hash(record) for record in records)
    return RunPlan(
        params=params,
        start=start,
        trained_on=TrainedOn(data, len(records), card.pointer or str(start), card.identity),
        checkpoints=checkpoint_folder(stage, {"params": params, "data": data, **others}),
        outputs=outputs,
    )


def save_run(trainer: Trainer, tokenizer: PreTrainedTokenizerBase, plan: RunPlan, report: TrainingReport) -> None:
    """Replace the model in the output folder by the trained one, write its card, and drop the checkpoints.

    To be called by all processes that train together.
    """
    outputs, weights = plan.outputs, plan.params.weights
    with name_unwritten(outputs.folder):
        clear_old_model(trainer, outputs.folder)
        save_plain_model(
            trainer, tokenizer, plan.params, outputs.folder, plan.checkpoints,
            reload=lambda: load_base_model(plan.start, "cpu", weights)[0],
        )  # fmt: skip
    if is_first_process():
        write_model_card(outputs.folder, report, plan.params, plan.trained_on, outputs.provenance)
        outputs.finish(report)
    drop_checkpoints(trainer, plan.checkpoints)
