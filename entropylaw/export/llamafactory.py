"""Rows and configuration for LLaMA-Factory.

Rows: https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md (the sharegpt form, with OpenAI's names). Keys
of the configuration: https://llamafactory.readthedocs.io/en/latest/ and examples/ there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from corpus.files import Row
from corpus.records import Conversation, Message, Preference
from entropylaw.export.losses import Losses
from entropylaw.export.method import Method
from entropylaw.export.recipe import Recipe
from entropylaw.export.row_parts import CALLS, count_masked, read_calls, split_answers

NAME = "llamafactory"
COMMAND = "llamafactory-cli train"
DATASET_INFO = "dataset_info.json"
# Its names of the templates that are shipped here.
TEMPLATES = {"vicuna": "vicuna", "llama-3": "llama3"}
# Who speaks: it wants these in turn, and passes over a row in which they do not come so.
QUESTIONS, ANSWERS = ("user", "tool"), ("assistant", "function_call")
TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}
DISORDER = "questions and answers that do not come in turn"


def write_conversation(record: Conversation, losses: Losses) -> list[Row]:
    """A conversation with all that it says but its masks, for which LLaMA-Factory has no place."""
    messages = [_write_message(message, record.row, losses) for message in record.messages]
    if not _come_in_turn(messages) or not _ends_with_answer(messages):
        losses.leave_out(DISORDER, record.row)
        return []
    count_masked(record.messages, record, losses)
    return [{"messages": messages, "tools": record.tools}]


def write_preference(record: Preference, method: Method, losses: Losses) -> list[Row]:
    """The row of a preference for DPO; for KTO one for each of its answers."""
    prompt = [_write_message(message, record.row, losses) for message in record.prompt]
    answers = [
        ([_write_message(message, record.row, losses) for message in answer], chosen)
        for answer, chosen in split_answers(record)
    ]
    if method is Method.dpo and len(answers) < 2:
        losses.leave_out("one answer only, and DPO compares two", record.row)
        return []
    if any(len(answer) > 1 for answer, _ in answers):
        losses.leave_out("an answer of several messages", record.row)
        return []
    if not _come_in_turn([*prompt, *answers[0][0]]) or not prompt or not _ends_with_answer(answers[0][0]):
        losses.leave_out(DISORDER, record.row)
        return []
    count_masked((*record.chosen, *record.rejected), record, losses)
    if method is Method.kto:
        return [
            {"messages": [*prompt, *answer], "label": is_chosen, "tools": record.tools} for answer, is_chosen in answers
        ]
    (chosen, _), (rejected, _) = answers
    return [{"conversations": prompt, "chosen": chosen[0], "rejected": rejected[0], "tools": record.tools}]


def _write_message(message: Message, row: int, losses: Losses) -> Row:
    """A message; what was thought goes before the answer, as its templates for reasoning write it."""
    role, content = str(message.role), message.content
    if message.tool_calls:
        if content.strip():
            losses.alter(f"what is said beside {CALLS}", row)
        role, content = "function_call", json.dumps(read_calls(message), ensure_ascii=False)
    if message.reasoning:
        losses.note("reasoning written into the answer, between <think> and </think>", row)
        content = f"<think>\n{message.reasoning}\n</think>\n\n{content}"
    return {"role": role, "content": content}


def _come_in_turn(messages: list[Row]) -> bool:
    said = messages[1:] if messages and messages[0]["role"] == "system" else messages
    return all(message["role"] in (QUESTIONS, ANSWERS)[i % 2] for i, message in enumerate(said))


def _ends_with_answer(messages: list[Row]) -> bool:
    return bool(messages) and messages[-1]["role"] in ANSWERS


def describe_rows(method: Method, rows: Path) -> dict[str, Any]:
    """The entry of dataset_info.json."""
    columns = {"messages": "conversations" if method is Method.dpo else "messages", "tools": "tools"}
    if method is Method.dpo:
        columns |= {"chosen": "chosen", "rejected": "rejected"}
    if method is Method.kto:
        columns["kto_tag"] = "label"
    ranking = {"ranking": True} if method is Method.dpo else {}
    return {"file_name": rows.name, "formatting": "sharegpt", **ranking, "columns": columns, "tags": TAGS}


def write_config(recipe: Recipe, method: Method, name: str, folder: Path) -> dict[str, Any]:
    """The configuration for `llamafactory-cli train`. ``name``: of the rows in dataset_info.json, in ``folder``."""
    trainer = recipe.trainer
    config: dict[str, Any] = {
        "model_name_or_path": recipe.model,
        "stage": method.value,
        "do_train": True,
        "finetuning_type": "full" if trainer.tuning == "full" else "lora",
    }
    if trainer.tuning != "full":
        config |= {
            "lora_target": "all",
            "lora_rank": trainer.lora_rank,
            "lora_alpha": trainer.lora_alpha,
            "lora_dropout": trainer.lora_dropout,
        }
    if trainer.tuning == "qlora":
        config |= {"quantization_bit": 4, "quantization_method": "bnb"}
    if method is not Method.sft:
        config["pref_beta"] = recipe.beta
    config |= {"dataset_dir": folder.as_posix(), "dataset": name}
    if recipe.chat_template in TEMPLATES:
        config["template"] = TEMPLATES[recipe.chat_template]
    config["cutoff_len"] = trainer.max_length
    if recipe.packing:
        # Conversations of one row do not see each other, as in our own trainer.
        config |= {"packing": True, "neat_packing": True}
    return config | {
        "num_train_epochs": trainer.epochs,
        "per_device_train_batch_size": trainer.micro_batch_rows,
        "gradient_accumulation_steps": recipe.accumulation,
        "learning_rate": trainer.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_ratio": trainer.warmup_ratio,
        "bf16": True,
        "disable_gradient_checkpointing": not trainer.gradient_checkpointing,
        "seed": trainer.seed,
        "save_steps": trainer.save_every_steps,
        "logging_steps": 1,
        "overwrite_cache": True,
        "output_dir": f"models/{NAME}-{method.value}",
    }
