"""Supervised fine-tuning with TRL on the selected conversations; the loss is on the responses only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import EntropylawError
from corpus.records import Record, content_hash, data_hash
from training.base_model import load_base_model
from training.chat import encode_conversation, training_messages
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


@dataclass(frozen=True)
class SftParams(TrainerParams):
    """Defaults suit the small model on a CPU. The paper (Appendix B) trains 4 epochs with packing, at a learning rate
    of 4e-6 for Mistral-7B and 1e-5 for Llama-3-8B.
    """

    epochs: float = 2.0
    learning_rate: float = 5e-4
    packing: bool = False


def train_sft(
    records: Sequence[Record],
    base_folder: str | Path,
    params: SftParams,
    folder: str | Path,
    progress: Progress = lambda done, total: None,
) -> TrainingReport:
    """Fine-tune the base model on ``records`` and save the model to ``folder``.

    Raises EntropylawError when no record has a response within ``max_length`` tokens.
    """
    quiet_libraries()
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model, tokenizer, card = load_base_model(base_folder)
    encoded = [encode_conversation(tokenizer, training_messages(record), params.max_length) for record in records]
    rows = [row for row in encoded if row is not None]
    if not rows:
        raise EntropylawError(
            f"none of the {len(records)} selected rows has a response within sft.max_length={params.max_length} tokens"
        )
    # Rows are tokenised here, by the same function as the probe's, so that L and the training loss are of one kind
    # and the rows without a response are counted; TRL folds assistant_masks into the labels.
    dataset = Dataset.from_dict(
        {
            "input_ids": [list(row.ids) for row in rows],
            "assistant_masks": [[int(flag) for flag in row.response] for row in rows],
        }
    )
    data = data_hash(content_hash(record) for record in records)
    checkpoints = checkpoint_folder("sft", {"params": params, "data": data, "base": card.identity})
    arguments = SFTConfig(
        output_dir=str(checkpoints),
        num_train_epochs=params.epochs,
        per_device_train_batch_size=params.micro_batch_rows,
        gradient_accumulation_steps=params.batch_rows // params.micro_batch_rows,
        learning_rate=params.learning_rate,
        warmup_steps=params.warmup_ratio,
        max_length=params.max_length,
        packing=params.packing,
        packing_strategy="bfd",
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
    trainer = SFTTrainer(model=model, args=arguments, train_dataset=dataset, processing_class=tokenizer)
    curve = run_trainer(trainer, checkpoints, progress)
    save_model(trainer, folder, checkpoints)
    return TrainingReport(
        method="sft",
        rows=len(rows),
        rows_dropped=len(records) - len(rows),
        tokens=sum(len(row.ids) for row in rows),
        epochs=params.epochs,
        steps=trainer.state.global_step,
        first_loss=curve[0][1],
        last_loss=curve[-1][1],
        curve=tuple(curve),
    )
