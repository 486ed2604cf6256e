"""Rows and configuration for axolotl.

Rows: https://docs.axolotl.ai/docs/dataset-formats/conversation.html (`chat_template`) and
https://docs.axolotl.ai/docs/rlhf.html (`chat_template.default` of DPO, `ultra` of KTO). Keys of the configuration:
https://docs.axolotl.ai/docs/config-reference.html.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from corpus.errors import EntropylawError
from corpus.files import Row
from corpus.records import Conversation, Message, Preference, Record
from entropylaw.export.losses import Losses
from entropylaw.export.method import Method
from entropylaw.export.recipe import Recipe
from entropylaw.export.row_parts import (
    CALLS,
    REASONING,
    TOOLS,
    count_masked,
    read_calls,
    read_tools,
    split_answers,
)
from training.chat_templates import PUBLISHED

NAME = "axolotl"
COMMAND = "axolotl train"
DPO_TYPE = "chat_template.default"
# The templates in which axolotl writes KTO's rows; it has no other for them.
KTO_TYPES: dict[str | None, str] = {None: "chatml.ultra", "llama-3": "llama3.ultra"}


def write_conversation(record: Conversation, recipe: Recipe, losses: Losses) -> list[Row]:
    """A conversation with all that it says. What the tools take is written as JSON text, as axolotl reads it: rows
    with different tools would otherwise get each other's parameters, as null, from the table they are loaded into.
    """
    if recipe.chat_template in PUBLISHED:
        if not _has_roles(recipe.chat_template, record.messages, record, losses):
            return []
        _count_unread(record.messages, record, losses)
    row: Row = {"messages": [_write_message(message) for message in record.messages]}
    if record.tools:
        row["tools"] = [_write_tool(tool, record.row, losses) for tool in read_tools(record)]
    return [row]


def _has_roles(template: str, messages: tuple[Message, ...], record: Record, losses: Losses) -> bool:
    """Whether a shipped template can write these messages: it stops at roles that it does not have."""
    roles = [message.role for message in messages]
    if "tool" in roles or (template == "vicuna" and "system" in roles[1:]):
        losses.leave_out(f"a message that the template {template} has no role for", record.row)
        return False
    return True


def _write_message(message: Message) -> Row:
    row: Row = {"role": message.role, "content": message.content}
    if message.reasoning:
        row["reasoning_content"] = message.reasoning
    if message.tool_calls:
        row["tool_calls"] = [
            {"type": "function", "function": {**call, "arguments": _as_text(call.get("arguments"))}}
            for call in read_calls(message)
        ]
    if not message.trained:
        row["train"] = False
    return row


def _write_tool(tool: Any, row: int, losses: Losses) -> Any:
    inner = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(inner, dict) or "name" not in inner:
        losses.alter("a tool that has no name", row)
        return {"type": "function", "function": {"name": "", "parameters": _as_text(tool)}}
    if "parameters" in inner:
        inner = {**inner, "parameters": _as_text(inner["parameters"])}
    return {"type": "function", "function": inner}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def write_preference(record: Preference, method: Method, recipe: Recipe, losses: Losses) -> list[Row]:
    """The row of a preference for DPO; for KTO one for each of its answers."""
    if method is Method.kto:
        rows = [_write_kto_row(record, answer, chosen, losses) for answer, chosen in split_answers(record)]
        return [row for row in rows if row]
    if not record.chosen or not record.rejected:
        losses.leave_out("one answer only, and DPO compares two", record.row)
        return []
    if len(record.chosen) > 1 or len(record.rejected) > 1:
        losses.leave_out("an answer of several messages, of which axolotl reads the last", record.row)
        return []
    if recipe.chat_template in PUBLISHED and not _has_roles(recipe.chat_template, record.prompt, record, losses):
        return []
    _count_unread((*record.prompt, *record.chosen, *record.rejected), record, losses)
    count_masked((*record.chosen, *record.rejected), record, losses)
    return [
        {
            "messages": [_plain(message) for message in record.prompt],
            "chosen": _plain(record.chosen[0]),
            "rejected": _plain(record.rejected[0]),
        }
    ]


def _write_kto_row(record: Preference, answer: tuple[Message, ...], is_chosen: bool, losses: Losses) -> Row | None:
    system = record.prompt[0].content if record.prompt and record.prompt[0].role == "system" else ""
    asked = record.prompt[1:] if system else record.prompt
    if len(answer) > 1 or [message.role for message in asked] != ["user"]:
        losses.leave_out("more than one question and one answer, which axolotl's KTO has no form for", record.row)
        return None
    _count_unread((*record.prompt, *answer), record, losses)
    count_masked(answer, record, losses)
    row: Row = {"prompt": asked[0].content, "completion": answer[0].content, "label": is_chosen}
    return {"system": system, **row} if system else row


def _plain(message: Message) -> Row:
    return {"role": message.role, "content": message.content}


def _count_unread(messages: tuple[Message, ...], record: Record, losses: Losses) -> None:
    """What is lost where roles and contents alone are read."""
    if record.tools:
        losses.alter(TOOLS, record.row)
    if any(message.tool_calls for message in messages):
        losses.alter(CALLS, record.row)
    if any(message.reasoning for message in messages):
        losses.alter(REASONING, record.row)


def write_config(recipe: Recipe, method: Method, rows: Path, template: Path | None, has_masks: bool) -> dict[str, Any]:
    """The configuration for `axolotl train`. ``template``: the Jinja file of the chat template, None for the model's
    own.
    """
    trainer = recipe.trainer
    dataset: dict[str, Any] = {"path": rows.as_posix(), "ds_type": "json"}
    if method is Method.sft:
        dataset |= {"type": "chat_template", "field_messages": "messages", "roles_to_train": ["assistant"]}
        if has_masks:
            dataset["message_field_training"] = "train"
    else:
        dataset |= {"split": "train", "type": DPO_TYPE if method is Method.dpo else KTO_TYPES[recipe.chat_template]}
    config: dict[str, Any] = {"base_model": recipe.model}
    if template:
        config |= {"chat_template": "jinja", "chat_template_jinja": template.as_posix()}
    elif method is not Method.kto:
        config["chat_template"] = "tokenizer_default"
    if method is not Method.sft:
        config |= {"rl": method.value, "rl_beta": recipe.beta, "remove_unused_columns": False}
    config |= {
        "datasets": [dataset],
        "val_set_size": 0.0,
        "train_on_inputs": False,
        "sequence_len": trainer.max_length,
        "sample_packing": recipe.packing,
        "num_epochs": trainer.epochs,
        "micro_batch_size": trainer.micro_batch_rows,
        "gradient_accumulation_steps": recipe.accumulation,
        "learning_rate": trainer.learning_rate,
        "lr_scheduler": "linear",
        "warmup_ratio": trainer.warmup_ratio,
        "optimizer": "adamw_torch",
        "weight_decay": 0.0,
        "bf16": "auto",
        "gradient_checkpointing": trainer.gradient_checkpointing,
        "seed": trainer.seed,
        "save_steps": trainer.save_every_steps,
        "logging_steps": 1,
        "output_dir": f"models/{NAME}-{method.value}",
    }
    if trainer.tuning != "full":
        config |= {
            "adapter": trainer.tuning,
            "load_in_4bit": trainer.tuning == "qlora",
            "lora_r": trainer.lora_rank,
            "lora_alpha": trainer.lora_alpha,
            "lora_dropout": trainer.lora_dropout,
            "lora_target_linear": True,
        }
    return config


def require_template(recipe: Recipe, method: Method) -> None:
    """Raise EntropylawError where axolotl cannot write rows for this method in the chat template of params.yaml."""
    if method is Method.kto and recipe.chat_template not in KTO_TYPES:
        raise EntropylawError(
            f"base_model.chat_template: axolotl writes KTO's rows in ChatML or in Llama 3's format, not in "
            f"{recipe.chat_template}; take --method dpo, or export to llamafactory"
        )
