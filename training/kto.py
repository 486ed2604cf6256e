"""Preference alignment with TRL's KTO (paper, section 5.2) from the saved SFT model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.errors import EntropylawError
from corpus.progress import Progress, ignore_progress
from corpus.records import Message, Preference
from training.adapters import adapter_config, loading_device, quantize_config
from training.base_model import load_base_model
from training.chat import EncodedRow, answer_inputs, encode_answer
from training.device_memory import explain_full_memory
from training.fine_tuning import (
    MIN_KTO_MICRO_BATCH_ROWS,
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

# Weighted desirable rows over weighted undesirable rows shall lie between 1 and 4/3 (Ethayarajh et al., 2024,
# equation 8).
MAX_WEIGHTED_RATIO = Fraction(4, 3)


@dataclass(frozen=True)
class KtoParams(TrainerParams):
    """The section ``kto`` of params.yaml. ``beta`` weighs the distance from the reference model.

    The paper's learning rate (Appendix B) is 1e-6, for a model of 8 billion weights; the small model on a CPU needs
    larger steps to move at all.
    """

    beta: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta <= 0:
            raise ValueError("beta must be positive")
        if self.micro_batch_rows < MIN_KTO_MICRO_BATCH_ROWS:
            raise ValueError(
                f"micro_batch_rows must be at least {MIN_KTO_MICRO_BATCH_ROWS}: KTO estimates its KL term within one"
            )


@dataclass(frozen=True)
class KtoReport(TrainingReport):
    """What a KTO run did; its ``rows`` are answers.

    ``desirable_share``: the share of chosen answers among them. ``micro_batches``: of an epoch. ``one_label_batches``:
    how many of these hold answers of one label only, so that their gradient pushes in one direction only.
    ``desirable_weight`` and ``undesirable_weight``: how often the loss of a chosen and of a rejected answer counts.
    """

    desirable_share: float
    micro_batches: int
    one_label_batches: int
    desirable_weight: float
    undesirable_weight: float


@dataclass(frozen=True)
class KtoRow:
    """One row of KTO: an answer to a prompt, and whether it is desirable. ``tools``: canonical JSON, or ""."""

    prompt: tuple[Message, ...]
    answer: tuple[Message, ...]
    desirable: bool
    tools: str = ""


def unpair_preferences(records: Iterable[Preference], rng: np.random.Generator) -> list[KtoRow]:
    """One row per answer, in random order; chosen answers are desirable. A record with one answer makes one row.

    TRL by itself would put all chosen answers before all rejected ones and not shuffle them, so that most batches would
    hold one label only.
    """
    rows = [
        KtoRow(record.prompt, answer, desirable, record.tools)
        for record in records
        for answer, desirable in ((record.chosen, True), (record.rejected, False))
        if answer
    ]
    return [rows[i] for i in rng.permutation(len(rows))]


def balance_labels(desirable: int, undesirable: int) -> tuple[float, float]:
    """Weights of the losses of desirable and undesirable rows, from their numbers.

    They bring the weighted numbers into the ratio that KTO asks for. One weight stays 1; the other is the smallest that
    will do.

    >>> balance_labels(100, 100), balance_labels(100, 400), balance_labels(400, 100)
    ((1.0, 1.0), (4.0, 1.0), (1.0, 3.0))
    """
    return max(1.0, undesirable / desirable), max(1.0, float(desirable / (MAX_WEIGHTED_RATIO * undesirable)))


def count_one_label_batches(labels: Sequence[bool], micro_batch_rows: int) -> tuple[int, int]:
    """How many micro-batches of an epoch hold one label only, and how many micro-batches there are.

    ``labels``: of the rows in training order.

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
    and ``finish`` are those of ``train_sft``. Raises EntropylawError when one of the two labels is missing and when
    memory runs out, and NotAssessedError when the loss stops being a number.
    """
    quiet_libraries()
    outputs = RunOutputs(folder, live, provenance, finish)
    with explain_full_memory("kto", name_savings(params, "kto")):
        return _train(records, sft_folder, params, outputs, progress)


def _train(
    records: Sequence[Preference],
    sft_folder: str | Path,
    params: KtoParams,
    outputs: RunOutputs,
    progress: Progress,
) -> KtoReport:
    from transformers import set_seed
    from trl import KTOConfig, KTOTrainer

    quantization = quantize_config(params, "kto")
    # Before the model: where DeepSpeed spreads it over devices, it does so while it is loaded.
    arguments = KTOConfig(beta=params.beta, **trainer_arguments(params, "kto"))
    model, tokenizer, card = load_base_model(sft_folder, loading_device(params), params.weights, quantization)
    refuse_start_as_output(outputs.folder, sft_folder, card.pointer)
    answers = _prepare_answers(records, tokenizer, params)
    labels = answers.labels
    # A last micro-batch of one or two rows would give no usable estimate of the KL term.
    arguments.dataloader_drop_last = len(labels) > params.batch_rows
    arguments.desirable_weight, arguments.undesirable_weight = balance_labels(sum(labels), len(labels) - sum(labels))
    plan = plan_run("kto", params, sft_folder, card, records, outputs, {"sft": card.identity})
    bind_arguments(arguments, plan.checkpoints)
    set_seed(params.seed)  # adapters are drawn before the trainer sets it
    trainer = KTOTrainer(
        model=model,
        ref_model=load_base_model(sft_folder, "cpu", params.weights)[0] if params.tuning == "full" else None,
        args=arguments,
        train_dataset=_to_dataset(tokenizer, answers.rows),
        processing_class=tokenizer,
        peft_config=adapter_config(params),
        callbacks=[draw_curves(outputs.live)] if outputs.live else None,
    )
    run = run_trainer(trainer, plan.checkpoints, "kto", progress)
    at_once = params.micro_batch_rows
    used = labels[: len(labels) // at_once * at_once] if arguments.dataloader_drop_last else labels
    one_label, batches = count_one_label_batches(used, at_once)
    report = KtoReport(
        method="kto",
        rows=len(labels),
        rows_dropped=answers.unread.rows - len(labels),
        unread=answers.unread,
        tokens=answers.tokens,
        epochs=params.epochs,
        **asdict(run),
        desirable_share=sum(labels) / len(labels),
        micro_batches=batches,
        one_label_batches=one_label,
        desirable_weight=arguments.desirable_weight,
        undesirable_weight=arguments.undesirable_weight,
    )
    save_run(trainer, tokenizer, plan, report)
    return report


@dataclass(frozen=True)
class _Answers:
    """The ``rows`` to train on, in training order, and their ``tokens``; ``unread``: counted over all answers."""

    rows: tuple[KtoRow, ...]
    unread: UnreadRows
    tokens: int

    @property
    def labels(self) -> list[bool]:
        return [row.desirable for row in self.rows]


def _prepare_answers(records: Sequence[Preference], tokenizer: PreTrainedTokenizerBase, params: KtoParams) -> _Answers:
    """The answers that fit ``max_length``. Raises EntropylawError when there are none, or of one label only."""
    unpaired = unpair_preferences(records, np.random.default_rng(params.seed))
    encoded = [_encode_whole(tokenizer, row) for row in unpaired]
    fits = [fit_row(row, params.max_length) for row in encoded]
    fitting = [not fit.prompt_too_long and not fit.without_answer for fit in fits]
    rows = tuple(row for row, fitted in zip(unpaired, fitting, strict=True) if fitted)
    unread = count_unread(fits)
    if not rows:
        if not unread.prompts_too_long:
            raise EntropylawError("no preference row has an answer to train on")
        raise EntropylawError(
            f"no preference row has a prompt shorter than kto.max_length={params.max_length} tokens; raise it"
        )
    if len({row.desirable for row in rows}) < 2:
        raise EntropylawError("KTO needs both chosen and rejected answers; the selected preferences hold only one kind")
    tokens = sum(min(len(row.ids), params.max_length) for row, fitted in zip(encoded, fitting, strict=True) if fitted)
    return _Answers(rows, unread, tokens)


def _encode_whole(tokenizer: PreTrainedTokenizerBase, row: KtoRow) -> EncodedRow:
    """An answer after its prompt, whole; a row without tokens where no turn of it is to be trained on."""
    encoded = encode_answer(tokenizer, row.prompt, row.answer, sys.maxsize, row.tools)
    return encoded.after(encoded.prompt_ids, sys.maxsize) if encoded else EncodedRow((), ())


def _to_dataset(tokenizer: PreTrainedTokenizerBase, rows: Sequence[KtoRow]) -> Dataset:
    """The rows as TRL reads them. It tokenises them itself, from what ``encode_answer`` gives the chat template too."""
    from datasets import Dataset, Features, Json, List, Value

    listed = [_to_trl(tokenizer, row) for row in rows]
    # As columns of structures, all calls would get the arguments of all others: each turn is stored as JSON.
    turns = List(Json())
    features = {"prompt": turns, "completion": turns, "label": Value("bool"), "tools": Value("string")}
    return Dataset.from_list(listed, features=Features({name: features[name] for name in listed[0]}))


def _to_trl(tokenizer: PreTrainedTokenizerBase, row: KtoRow) -> dict[str, Any]:
    inputs = answer_inputs(tokenizer, row.prompt, row.answer, row.tools)
    if inputs is None:
        raise ValueError("a row without a turn to be trained on")
    before, whole = inputs
    tools = None if whole.tools is None else json.dumps(whole.tools, ensure_ascii=False)
    completion = whole.chat[len(before.chat) :]
    return {"prompt": before.chat, "completion": completion, "label": row.desirable, "tools": tools}
