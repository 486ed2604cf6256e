"""Supervised fine-tuning with TRL on the selected conversations; the loss is on the responses only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.errors import EntropylawError
from corpus.progress import Progress, ignore_progress
from corpus.records import Record
from training.adapters import adapter_config, loading_device, quantize_config
from training.base_model import load_base_model
from training.chat import EncodedRow, encode_record
from training.device_memory import explain_full_memory
from training.fine_tuning import (
    TrainerParams,
    TrainingReport,
    bind_arguments,
    name_savings,
    quiet_libraries,
    refuse_start_as_output,
    trainer_arguments,
)
from training.live_curves import draw_curves
from training.model_card import Provenance
from training.run_outputs import RunOutputs, plan_run, save_run
from training.training_run import run_trainer
from training.unread_rows import UnreadRows, count_unread, fit_row

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase
    from trl import SFTTrainer


@dataclass(frozen=True)
class SftParams(TrainerParams):
    """The section ``sft`` of params.yaml. The defaults suit the small model on a CPU.

    The paper (Appendix B) trains 4 epochs with packing, at a learning rate of 4e-6 for Mistral-7B and 1e-5 for
    Llama-3-8B. ``packing`` fills each row of a batch with several conversations that do not see each other. The first
    ``heldout_rows`` of the held-out file are evaluated every ``evaluate_every_steps`` steps (None: at the end of each
    epoch).
    """

    epochs: float = 2.0
    learning_rate: float = 5e-4
    packing: bool = False
    heldout_rows: int = 100
    evaluate_every_steps: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heldout_rows < 1 or (self.evaluate_every_steps is not None and self.evaluate_every_steps < 1):
            raise ValueError("heldout_rows and evaluate_every_steps must be positive")


def train_sft(
    records: Sequence[Record],
    base_folder: str | Path,
    params: SftParams,
    folder: str | Path,
    progress: Progress = ignore_progress,
    *,
    held_out: Sequence[Record] = (),
    live: str | Path | None = None,
    provenance: Provenance | None = None,
    finish: Callable[[TrainingReport], None] = lambda report: None,
) -> TrainingReport:
    """Fine-tune the base model on ``records`` and save a plain model with its card to ``folder``.

    ``held_out``: records to evaluate on. ``live``: the DVCLive folder of the curves. ``provenance``: what is known of
    the records' origin. ``finish`` is called with the report, by the first process only, once the model is saved and
    before the checkpoints are dropped. Raises EntropylawError when no record has a response within ``max_length``
    tokens and when memory runs out, and NotAssessedError when the loss stops being a number.
    """
    quiet_libraries()
    outputs = RunOutputs(folder, live, provenance, finish)
    with explain_full_memory("sft", name_savings(params, "sft")):
        return _train(records, base_folder, params, outputs, progress, held_out)


def _train(
    records: Sequence[Record],
    base_folder: str | Path,
    params: SftParams,
    outputs: RunOutputs,
    progress: Progress,
    held_out: Sequence[Record],
) -> TrainingReport:
    from transformers import set_seed
    from trl import SFTConfig

    quantization = quantize_config(params, "sft")
    # Before the model: where DeepSpeed spreads it over devices, it does so while it is loaded.
    arguments = SFTConfig(packing=params.packing, packing_strategy="bfd", **trainer_arguments(params, "sft"))
    model, tokenizer, card = load_base_model(base_folder, loading_device(params), params.weights, quantization)
    refuse_start_as_output(outputs.folder, base_folder, card.pointer)
    rows, unread = _encode_rows(tokenizer, records, params.max_length)
    if not rows:
        why = unread.describe()
        remedy = "; raise it, or shorten the prompts" if unread.prompts_too_long else ""
        raise EntropylawError(
            f"none of the {len(records)} selected rows has a response within sft.max_length={params.max_length} tokens"
            + (f" ({why})" if why else "")
            + remedy
        )
    unseen, _ = _encode_rows(tokenizer, held_out[: params.heldout_rows], params.max_length)
    others = {"base": card.identity, "held_out": [row.ids for row in unseen]}
    plan = plan_run("sft", params, base_folder, card, records, outputs, others)
    bind_arguments(arguments, plan.checkpoints)
    set_seed(params.seed)  # adapters are drawn before the trainer sets it
    trainer = _heldout_trainer()(
        model=model,
        args=arguments,
        train_dataset=_to_dataset(rows),
        eval_dataset=_to_dataset(unseen) if unseen else None,
        processing_class=tokenizer,
        peft_config=adapter_config(params),
        callbacks=[draw_curves(outputs.live)] if outputs.live else None,
    )
    run = run_trainer(trainer, plan.checkpoints, "sft", progress, params.evaluate_every_steps)
    report = TrainingReport(
        method="sft",
        rows=len(rows),
        rows_dropped=len(records) - len(rows),
        unread=unread,
        tokens=sum(len(row.ids) for row in rows),
        epochs=params.epochs,
        **asdict(run),
    )
    save_run(trainer, tokenizer, plan, report)
    return report


def _encode_rows(
    tokenizer: PreTrainedTokenizerBase, records: Sequence[Record], max_length: int
) -> tuple[list[EncodedRow], UnreadRows]:
    """The rows with a response within ``max_length`` tokens, cut there; and of how many rows something is not read."""
    rows, fits = [], []
    for record in records:
        whole = encode_record(tokenizer, record)
        fits.append(fit_row(whole, max_length))
        cut = whole.cut(max_length)
        if cut is not None:
            rows.append(cut)
    return rows, count_unread(fits)


def _to_dataset(rows: Sequence[EncodedRow]) -> Dataset:
    """The rows as TRL reads them; it takes the labels from assistant_masks.

    They come tokenised, by the probe's own function: so the training loss is of one kind with L, and rows without a
    response are counted.
    """
    from datasets import Dataset

    return Dataset.from_dict(
        {
            "input_ids": [list(row.ids) for row in rows],
            "assistant_masks": [[int(flag) for flag in row.response] for row in rows],
        }
    )


def _heldout_trainer() -> type[SFTTrainer]:
    """TRL's trainer with another evaluation loss: the mean over response tokens, as ``evaluate`` measures it.

    The trainer's own averages the means of the batches, so that a token of a short answer weighs more. With several
    processes the last batch is filled up with rows that then count twice.
    """
    import torch
    from trl import SFTTrainer

    class HeldoutTrainer(SFTTrainer):
        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            self._heldout = torch.zeros(2, dtype=torch.float64)
            output: Any = super().evaluation_loop(*args, **kwargs)
            nats, tokens = self.accelerator.gather(self._heldout.to(self.args.device)[None]).sum(dim=0).tolist()
            output.metrics["eval_loss"] = nats / tokens
            return output

        def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            loss, logits, labels = super().prediction_step(model, inputs, *args, **kwargs)
            tokens = int((inputs["labels"][:, 1:] != -100).sum())
            self._heldout += torch.tensor([float(loss) * tokens, tokens], dtype=torch.float64)
            return loss, logits, labels

    return HeldoutTrainer
