"""Low-rank adapters (LoRA), also over weights in 4 bits, and the plain model they are merged into at the end."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.errors import EntropylawError
from training.fine_tuning import TrainerParams
from training.launch import is_first_process

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase, Trainer

# The adapter's folder within that of the run's checkpoints, where a killed run may leave it.
ADAPTER = "adapter"


def adapter_config(params: TrainerParams) -> LoraConfig | None:
    """The adapters that ``params`` asks for, as TRL takes them; None where all weights are tuned."""
    if params.tuning == "full":
        return None
    return linear_adapters(params.lora_rank, params.lora_alpha, params.lora_dropout)


def linear_adapters(rank: int, alpha: int, dropout: float = 0.0) -> LoraConfig:
    """Adapters on every linear layer but the output layer; their output is multiplied by ``alpha / rank``."""
    from peft import LoraConfig

    return LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def quantize_config(params: TrainerParams, stage: str) -> BitsAndBytesConfig | None:
    """How weights are loaded in 4 bits for ``tuning: qlora``; None for other kinds of tuning.

    Weights become 4-bit normal floats, and their scales are quantised too (Dettmers et al., 2023, section 3).
    ``stage``: the section of params.yaml, for messages. Raises EntropylawError when there is no CUDA GPU or no
    bitsandbytes, and where the model is spread over devices.
    """
    if params.tuning != "qlora":
        return None
    if "true" in (os.environ.get("ACCELERATE_USE_FSDP"), os.environ.get("ACCELERATE_USE_DEEPSPEED")):
        raise EntropylawError(f"{stage}.tuning: qlora is not spread over GPUs; set launch.strategy: ddp or single")
    import torch
    from transformers import BitsAndBytesConfig

    if not torch.cuda.is_available():
        raise EntropylawError(f"{stage}.tuning: qlora needs a CUDA GPU, and none is here; set {stage}.tuning: lora")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise EntropylawError(
            f"{stage}.tuning: qlora needs the package bitsandbytes; "
            f'run `pip install "entropylaw[qlora]"` or set {stage}.tuning: lora'
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32,
    )


def loading_device(params: TrainerParams) -> str:
    """The device that a model to be trained is loaded to: "cpu", from which the trainer moves it.

    Weights in 4 bits cannot be moved later, so they are loaded to this process's GPU.
    """
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if params.tuning == "qlora" else "cpu"


def save_plain_model(
    trainer: Trainer,
    tokenizer: PreTrainedTokenizerBase,
    params: TrainerParams,
    folder: str | Path,
    checkpoints: Path,
    reload: Callable[[], PreTrainedModel],
) -> None:
    """Save the trained model as a plain folder: safetensors, configuration and tokenizer.

    ``checkpoints``: the run's folder. ``reload`` gives the model as it was before training, in full precision; an
    adapter is merged into its weights. To be called by all processes, because sharded weights are gathered from them.
    """
    folder = Path(folder)
    if params.tuning == "full":
        trainer.save_model(str(folder))
        if is_first_process():
            # The trainer leaves its pickled arguments beside the weights; nobody should have to trust a pickle.
            (folder / "training_args.bin").unlink(missing_ok=True)
        return
    trainer.save_model(str(checkpoints / ADAPTER))
    trainer.accelerator.wait_for_everyone()
    if is_first_process():
        from peft import PeftModel

        if trainer.is_deepspeed_enabled:
            from transformers.integrations.deepspeed import unset_hf_deepspeed_config

            unset_hf_deepspeed_config()  # or this one process would shard what it loads
        merged: Any = PeftModel.from_pretrained(reload(), str(checkpoints / ADAPTER)).merge_and_unload()
        merged.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
