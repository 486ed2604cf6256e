"""Preference alignment with TRL's KTO (paper, section 5.2) from the saved SFT model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from corpus.artifacts import hash_folder
from corpus.errors import EntropylawError
from corpus.records import Preference, content_hash, data_hash
from training.base_model import load_pretrained
from training.chat import to_chat
from training.fine_tuning import (
    Progress,
    TrainerParams,
    TrainingReport,
    checkpoint_folder,
    hardware_arguments,
    quiet_libraries,
    run_trainer,
    save_model,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# TRL estimates the KL term from the mismatched answers of one micro-batch; fewer than four are too few to estimate it.
MIN_MICRO_BATCH_ROWS = 4


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
        if self.micro_batch_rows < MIN_MICRO_BATCH_ROWS:
            raise ValueError(f"micro_batch_rows must be at least {MIN_MICRO_BATCH_ROWS}: KTO estimates its KL in it")


def unpair_preferences(records: Iterable[Preference], rng: numpy.random.Generator) -> list[dict[str, Any]]:
    """One row per answer, label true for the chosen, in random order.

    TRL would put all chosen rows before all rejected ones and not shuffle them, so that batches carry one label.
    """
    rows = []
    for record in records:
        for answer, label in ((record.chosen, True), (record.rejected, False)):
            if answer:
                rows.append({"prompt": to_chat(record.prompt), "completion": to_chat(answer), "label": label})
    return [rows[i] for i in rng.permutation(len(rows))]


def fits(tokenizer: PreTrainedTokenizerBase, row: dict[str, Any], max_length: int) -> bool:
    """Whether some of the answer is left within ``max_length`` tokens."""
    encoded: Any = tokenizer.apply_chat_template(
        row["prompt"], tokenize=True, return_dict=True, add_generation_prompt=True
    )
    return len(encoded["input_ids"]) < max_length


def train_kto(
    records: Sequence[Preference],
    sft_folder: str | Path,
    params: KtoParams,
    folder: str | Path,
    progress: Progress = lambda done, total: None,
) -> TrainingReport:
    """Align the SFT model in ``sft_folder`` on ``records`` and save it to ``folder``.

    The reference model is the SFT model as saved. Raises EntropylawError when one of the two labels is missing.
    """
    quiet_libraries()
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    model, tokenizer = load_pretrained(str(sft_folder))
    reference, _ = load_pretrained(str(sft_folder))
    unpaired = unpair_preferences(records, numpy.random.default_rng(params.seed))
    rows = [row for row in unpaired if fits(tokenizer, row, params.max_length)]
    if not rows:
        raise EntropylawError(
            f"no preference row has a prompt shorter than kto.max_length={params.max_length} tokens; raise it"
        )
    if len({row["label"] for row in rows}) < 2:
        raise EntropylawError("KTO needs both chosen and rejected answers; the selected preferences hold only one kind")
    data = data_hash(content_hash(record) for record in records)
    checkpoints = checkpoint_folder("kto", {"params": params, "data": data, "sft": hash_folder(sft_folder)})
    arguments = KTOConfig(
        output_dir=str(checkpoints),
        num_train_epochs=params.epochs,
        per_device_train_batch_size=params.micro_batch_rows,
        gradient_accumulation_steps=max(1, params.batch_rows // params.micro_batch_rows),
        learning_rate=params.learning_rate,
        warmup_steps=params.warmup_ratio,
        max_length=params.max_length,
        beta=params.beta,
        # A last micro-batch of one or two rows has no KL estimate worth the name.
        dataloader_drop_last=len(rows) > params.batch_rows,
        activation_checkpointing=False,
        save_strategy="steps",
        save_steps=params.save_every_steps,
        save_total_limit=1,
        logging_steps=1,
        seed=params.seed,
        data_seed=params.seed,
        report_to="none",
        disable_tqdm=True,
        **hardware_arguments(),
    )
    trainer = KTOTrainer(
        model=model,
        ref_model=reference,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    tokenised: Any = trainer.train_dataset
    tokens = sum(
        min(len(prompt) + len(answer), params.max_length)
        for prompt, answer in zip(tokenised["prompt_ids"], tokenised["completion_ids"], strict=True)
    )
    curve = run_trainer(trainer, checkpoints, progress)
    save_model(trainer, folder, checkpoints)
    return TrainingReport(
        method="kto",
        rows=len(rows),
        rows_dropped=len(unpaired) - len(rows),
        tokens=tokens,
        epochs=params.epochs,
        steps=trainer.state.global_step,
        first_loss=curve[0][1],
        last_loss=curve[-1][1],
        curve=tuple(curve),
    )
