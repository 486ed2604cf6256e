"""Load models and tokenizers from a local folder or the Hub, and refuse those that would fail later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.errors import EntropylawError
from training.chat_templates import prepare_chat_template, stop_at_answer_ends

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase


def load_pretrained(
    name: str,
    revision: str | None = None,
    device: str | None = None,
    dtype: str = "float32",
    quantization: BitsAndBytesConfig | None = None,
    chat_template: str | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal model with a tokenizer that knows which tokens are the assistant's.

    ``chat_template``: Jinja text that replaces the model's own. The other arguments are those of ``load_causal_model``.
    ``model.generate`` stops at the end of an answer. Raises EntropylawError when the model cannot be loaded or its chat
    template does not mark the assistant's tokens.
    """
    model, tokenizer = load_causal_model(name, revision, device, dtype, quantization)
    prepare_chat_template(tokenizer, chat_template)
    stop_at_answer_ends(model, tokenizer)
    return model, tokenizer


def load_causal_model(
    name: str,
    revision: str | None = None,
    device: str | None = None,
    dtype: str = "float32",
    quantization: BitsAndBytesConfig | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal model and its tokenizer; ``name``: a local folder or a Hub id.

    ``device``: None takes a GPU where there is one. ``dtype``: of the weights, float32 or bfloat16. float32 is the
    default on every device, because AdamW's updates at a learning rate of 1e-5 are too small for bfloat16 weights;
    mixed precision is set in the trainer (``hardware_arguments``). A model loaded with ``quantization`` cannot be moved
    to another device later. Code from the Hub is never run, and pickled weights are refused. Raises EntropylawError
    when the model cannot be loaded.
    """
    import torch

    if looks_like_folder(name) and not Path(name).is_dir():
        raise EntropylawError(f"model {name}: no such folder; run `dvc repro` to make it, or name another")
    device = device or find_device()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
        result: Any = AutoModelForCausalLM.from_pretrained(
            name,
            revision=revision,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            dtype=getattr(torch, dtype),
            **({"quantization_config": quantization, "device_map": {"": device}} if quantization else {}),
        )
    except Exception as error:  # damaged files make these libraries raise anything, a bare Exception too
        raise EntropylawError(f"model {name}: cannot be loaded: {explain_failure(error)}") from None
    model, loading = result
    if missing := sorted(loading["missing_keys"]):  # transformers fills them with random numbers
        raise EntropylawError(
            f"model {name}: {len(missing)} of its weights are missing, such as {missing[0]}; fetch or copy it anew"
        )
    set_padding(tokenizer, name)
    _check_vocabulary(model, tokenizer, name)
    return model if quantization else model.to(device), tokenizer


def find_device() -> str:
    """A GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def limit_length(model: PreTrainedModel, tokens: int) -> int:
    """``tokens``, or fewer where the model itself has fewer places for them."""
    places = getattr(model.config, "max_position_embeddings", None)
    return tokens if places is None else min(tokens, int(places))


def set_padding(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Let the end token serve as padding where there is no padding token. Raises EntropylawError without both."""
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise EntropylawError(f"model {name}: the tokenizer has neither a padding nor an end token; add one to it")
        tokenizer.pad_token = tokenizer.eos_token


def _check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Raise EntropylawError when a token has no embedding: training would crash at it."""
    embeddings: Any = model.get_input_embeddings()
    rows = embeddings.num_embeddings  # weight.shape is empty where DeepSpeed spreads the model
    token, highest = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if highest >= rows:
        raise EntropylawError(
            f"model {name}: its tokenizer has tokens up to {token!r} with the id {highest}, but it has embeddings for "
            f"{rows} only; resize them in Python (resize_token_embeddings, then save_pretrained) or take the tokens out"
        )


def explain_failure(error: Exception) -> str:
    """A library's error as one line, with what to do where that is known."""
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    cause = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    if isinstance(error, OSError) and "file named" in cause and "safetensors" in cause:
        return (
            "it has no weights as safetensors, and pickled ones are not loaded; "
            "convert them in Python (from_pretrained, then save_pretrained) and name that folder"
        )
    if "custom code" in cause and isinstance(error, ValueError):
        return "it needs program code of its own, which is never run; name a model that transformers itself can load"
    if "backend tokenizer" in cause:
        return "it has no tokenizer that can be read; save one beside it (tokenizer.json, tokenizer_config.json)"
    if "`tiktoken` is required" in cause:  # transformers' last resort for a SentencePiece model that it cannot read
        return "its tokenizer.model cannot be read; install the package sentencepiece"
    if "ignore_mismatched_sizes" in cause:
        return "its weights have other shapes than its config.json says; fetch or copy the model anew"
    if isinstance(error, (json.JSONDecodeError, TypeError, AttributeError)):
        return f"one of its JSON files is damaged ({cause}); fetch or copy the model anew"
    return cause


def looks_like_folder(name: str) -> bool:
    """Whether a model's name is a path on this machine, and not a Hub id, which is ``name`` or ``owner/name``.

    >>> looks_like_folder("./sft"), looks_like_folder("models/sft"), looks_like_folder("Qwen/Qwen2.5-0.5B")
    (True, True, False)
    """
    parts = Path(name).parts
    return (
        name.startswith((".", "/", "~")) or len(parts) > 2 or parts[:1] == ("models",) or Path(name).is_dir()
        or (len(parts) == 2 and Path(parts[0]).is_dir())
    )  # fmt: skip
