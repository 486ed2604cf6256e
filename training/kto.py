"""Preference alignment with TRL's KTO (paper, section 5.2) from the saved SFT model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.errors import EntropylawError
from corpus.progress import Progress, ignore_progress
from corpus.records import Message, Preference, content_hash, data_hash
from training.adapters import adapter_config, loading_device, quantize_config, save_plain_model
from training.base_model import load_base_model
from training.chat import encode_answer, to_chat
from training.device_memory import explain_full_memory
from training.fine_tuning import (
    MIN_KTO_MICRO_BATCH_ROWS,
    TrainerParams,
    TrainingReport,
    bind_arguments,
    checkpoint_folder,
    clear_old_model,
    drop_checkpoints,
    name_savings,
    quiet_libraries,
    refuse_start_as_output,
    trainer_arguments,
)
from training.launch import is_first_process
from training.live_curves import draw_curves
from training.model_card import Provenance, TrainedOn, write_model_card
from training.training_run import run_trainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# The weighted numbers of desirable and undesirable rows shall be as 1:1 to 4:3 (Ethayarajh et al., 2024, equation 8).
MAX_WEIGHTED_RATIO = Fraction(4, 3)


@dataclass(frozen=True)
class KtoParams(TrainerParams):
    """The paper's learning rate (Appendix B) is 1e-6, for an 8 B model; the small model on a CPU needs larger steps to
    move at all. ``beta`` weighs the distance from the reference model.
    """

    beta: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta <= 0:
            raise ValueError("beta must be positive")
        if self.micro_batch_rows < MIN_KTO_MICRO_BATCH_ROWS:
            raise ValueError(
                f"micro_batch_rows must be at least {MIN_KTO_MICRO_BATCH_ROWS}: KTO estimates its KL in it"
            )


@dataclass(frozen=True)
class KtoReport(TrainingReport):
    """A KTO run. ``rows`` are answers. ``desirable_share`` of them are chosen ones; ``one_label_batches`` of the
    ``micro_batches`` of an epoch hold one label only, so that their gradient knows one direction. The losses of the two
    labels count ``desirable_weight`` and ``undesirable_weight`` times.
    """

    desirable_share: float
    micro_batches: int
    one_label_batches: int
    desirable_weight: float
    undesirable_weight: float


@dataclass(frozen=True)
class Answer:
    """One row of KTO: an answer to a prompt, and whether it is desirable."""

    prompt: tuple[Message, ...]
    answer: tuple[Message, ...]
    desirable: bool


def unpair_preferences(records: Iterable[Preference], rng: np.random.Generator) -> list[Answer]:
    """One row per answer, the chosen ones desirable, in random order; a record with one answer makes one row.

    TRL would put all chosen rows before all rejected ones and not shuffle them, so that batches carry one label.
    """
    rows = [
        Answer(record.prompt, answer, desirable)
        for record in records
        for answer, desirable in ((record.chosen, True), (record.rejected, False))
        if answer
    ]
    return [rows[i] for i in rng.permutation(len(rows))]


def balance_labels(desirable: int, undesirable: int) -> tuple[float, float]:
    """Weights of the two labels' losses that bring their weighted numbers into the ratio KTO asks for.

    One of them stays 1, and the other is the least that does.

    >>> balance_labels(100, 100), balance_labels(100, 400), balance_labels(400, 100)
    ((1.0, 1.0), (4.0, 1.0), (1.0, 3.0))
    """
    return max(1.0, undesirable / desirable), max(1.0, float(desirable / (MAX_WEIGHTED_RATIO * undesirable)))


def count_one_label_batches(labels: Sequence[bool], micro_batch_rows: int) -> tuple[int, int]:
    """How many micro-batches of an epoch hold one label only, and how many there are; rows come in this order.

    >>> count_one_label_batches([True, True, True, False, False], 2)
    (2, 3)
    """
    batches = [labels[i : i + micro_batch_rows] for i in range(0, len(labels), micro_batch_rows)]
    return sum(len(set(batch)) == 1 for batch in batches), len(batches)


def train_kto(
    records: Sequence[Preference],
    sft_folder: str | Path,
    params: KtoParams,
    folder: str | Path,
    progress: Progress = ignore_progress,
    *,
    live: str | Path | None = None,
    provenance: Provenance | None = None,
    finish: Callable[[KtoReport], None] = lambda report: None,
) -> KtoReport:
    """Align the SFT model in ``sft_folder`` on ``records`` and save a plain model with its card to ``folder``.

    The reference model is the SFT model as saved; with adapters it is the model without them. ``live``, ``provenance``
    and ``finish`` are those of ``train_sft``. Raises EntropylawError when one of the two labels is missing, when memory
    runs out and when the loss stops being a number.
    """
    quiet_libraries()
    with explain_full_memory("kto", name_savings(params, "kto")):
        return _train(records, sft_folder, params, folder, progress, live, provenance, finish)


def _train(
    records: Sequence[Preference],
    sft_folder: str | Path,
    params: KtoParams,
    folder: str | Path,
    progress: Progress,
    live: str | Path | None,
    provenance: Provenance | None,
    finish: Callable[[KtoReport], None],
) -> KtoReport:
    from datasets import Dataset
    from transformers import set_seed
    from trl import KTOConfig, KTOTrainer

    quantization = quantize_config(params, "kto")
    # Before the model: where DeepSpeed spreads it over devices, it does so while it is loaded.
    arguments = KTOConfig(beta=params.beta, **trainer_arguments(params, "kto"))
    model, tokenizer, card = load_base_model(sft_folder, loading_device(params), params.weights, quantization)
    refuse_start_as_output(folder, sft_folder, card.pretrained)
    unpaired = unpair_preferences(records, np.random.default_rng(params.seed))
    measured = [(row, count_tokens(tokenizer, row, params.max_length)) for row in unpaired]
    rows = [row for row, tokens in measured if tokens]
    if not rows:
        raise EntropylawError(
            f"no preference row has a prompt shorter than kto.max_length={params.max_length} tokens; raise it"
        )
    labels = [row.desirable for row in rows]
    if len(set(labels)) < 2:
        raise EntropylawError("KTO needs both chosen and rejected answers; the selected preferences hold only one kind")
    # A last micro-batch of one or two rows has no KL estimate worth the name.
    arguments.dataloader_drop_last = len(rows) > params.batch_rows
    arguments.desirable_weight, arguments.undesirable_weight = balance_labels(sum(labels), len(labels) - sum(labels))
    data = data_hash(content_hash(record) for record in records)
    checkpoints = checkpoint_folder("kto", {"params": params, "data": data, "sft": card.identity})
    bind_arguments(arguments, checkpoints)
    set_seed(params.seed)  # adapters are drawn before the trainer sets it

    def load_sft_model() -> PreTrainedModel:
        return load_base_model(sft_folder, "cpu", params.weights)[0]

    trainer = KTOTrainer(
        model=model,
        ref_model=load_sft_model() if params.tuning == "full" else None,
        args=arguments,
        train_dataset=Dataset.from_list([_to_trl(row) for row in rows]),
        processing_class=tokenizer,
        peft_config=adapter_config(params),
        callbacks=[draw_curves(live)] if live else None,
    )
    run = run_trainer(trainer, checkpoints, "kto", progress)
    clear_old_model(trainer, folder)
    save_plain_model(trainer, tokenizer, params, folder, checkpoints, load_sft_model)
    at_once = params.micro_batch_rows
    used = labels[: len(labels) // at_once * at_once] if arguments.dataloader_drop_last else labels
    one_label, batches = count_one_label_batches(used, at_once)
    report = KtoReport(
        method="kto",
        rows=len(rows),
        rows_dropped=len(unpaired) - len(rows),
        tokens=sum(tokens for _, tokens in measured),
        epochs=params.epochs,
        steps=run.steps,
        first_loss=run.curve[0][1],
        last_loss=run.curve[-1][1],
        heldout_loss=run.heldout_loss,
        seconds=run.seconds,
        tokens_per_second=run.tokens_per_second,
        curve=run.curve,
        desirable_share=sum(labels) / len(labels),
        micro_batches=batches,
        one_label_batches=one_label,
        desirable_weight=arguments.desirable_weight,
        undesirable_weight=arguments.undesirable_weight,
    )
    if is_first_process():
        trained_on = TrainedOn(data, len(records), card.pretrained or str(sft_folder), card.identity)
        write_model_card(folder, report, params, trained_on, provenance)
        finish(report)
    drop_checkpoints(trainer, checkpoints)
    return report


def count_tokens(tokenizer: PreTrainedTokenizerBase, row: Answer, max_length: int) -> int:
    """Tokens of prompt and answer within ``max_length``; 0 when none of the answer is among them."""
    encoded = encode_answer(tokenizer, row.prompt, row.answer, max_length)
    return min(len(encoded.prompt_ids) + len(encoded.answer_ids), max_length) if encoded else 0


def _to_trl(row: Answer) -> dict[str, Any]:
    return {"prompt": to_chat(row.prompt), "completion": to_chat(row.answer), "label": row.desirable}
