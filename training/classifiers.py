"""Models that give a text numbers instead of words: reward models and raters (sequence classification)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.errors import EntropylawError
from corpus.progress import Progress
from training.model_loading import explain_failure, find_device, looks_like_folder, set_padding

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_classifier(name: str, outputs: int, setting: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model that gives each text ``outputs`` numbers, and its tokenizer; ``name``: a local folder or a Hub id.

    ``setting``: the key of params.yaml that names it, for messages. It goes to a GPU where there is one, as float32.
    Code from the Hub is never run, and pickled weights are refused. Raises EntropylawError when it cannot be loaded,
    has no weights for its numbers (as any language model), or gives another number of them.
    """
    import torch

    if looks_like_folder(name) and not Path(name).is_dir():
        raise EntropylawError(f"model {name}: no such folder; set {setting} to a folder or a Hub id")
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)  # nosec B615
        result: Any = AutoModelForSequenceClassification.from_pretrained(  # nosec B615
            name, trust_remote_code=False, use_safetensors=True, output_loading_info=True, dtype=torch.float32
        )
    except Exception as error:  # damaged files make these libraries raise anything, a bare Exception too
        raise EntropylawError(f"model {name}: cannot be loaded: {explain_failure(error)}") from None
    model, loading = result
    if missing := sorted(loading["missing_keys"]):  # transformers fills them with random numbers
        raise EntropylawError(
            f"model {name}: it cannot rate: {missing[0]} is missing from its weights; set {setting} to a model trained "
            "for sequence classification"
        )
    if model.config.num_labels != outputs:
        raise EntropylawError(
            f"model {name}: it gives a text {model.config.num_labels} numbers, not {outputs}; set {setting} to another"
        )
    set_padding(tokenizer, name)
    model.config.pad_token_id = tokenizer.pad_token_id  # by which it finds where a text ends
    model.eval()
    return model.to(find_device()), tokenizer


def classify(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    encoded: Sequence[dict[str, list[int]]],
    batch_rows: int,
    progress: Progress,
) -> NDArray[np.float64]:
    """The model's numbers for each encoded text: (texts, numbers). ``progress`` is told texts done and texts in all.

    ``encoded``: the lists of ``tokenizer(text)``, none of them empty. Longest first, so that a batch that does not fit
    in memory fails at once.
    """
    import torch

    numbers = np.zeros((len(encoded), int(model.config.num_labels or 0)))
    order = sorted(range(len(encoded)), key=lambda i: -len(encoded[i]["input_ids"]))
    with torch.inference_mode():
        for start in range(0, len(order), batch_rows):
            chosen = order[start : start + batch_rows]
            batch = tokenizer.pad([encoded[i] for i in chosen], padding_side="right", return_tensors="pt")
            logits = model(**{key: tensor.to(model.device) for key, tensor in batch.items()}).logits
            numbers[chosen] = logits.double().cpu().numpy()
            progress(min(start + batch_rows, len(order)), len(order))
    return numbers
