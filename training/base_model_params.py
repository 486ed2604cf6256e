"""Which base model is made or taken, and how it is tuned: the section ``base_model`` of params.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class BaseModelParams:
    """Which model losses are measured from.

    ``pretrained``: a local folder, a Hub id, the path of a GGUF file, or ``package:NAME`` for the GGUF file that an
    installed Python package carries; None trains a small model of the Llama architecture from scratch.
    ``revision``: of a Hub id. ``chat_template``: ``vicuna``, ``llama-3`` or the path of a Jinja file; None is the
    model's own. ``weights`` and ``lora_rank`` say how probe and calibration tune a pretrained model: in which
    precision, and all its weights (None) or low-rank adapters of this rank. ``seed``: of the small model and of
    adapters. The other fields describe the small model, which can tell real text from damaged text and needs two CPU
    cores. Raises ValueError for settings that cannot be used.
    """

    pretrained: str | None = None
    revision: str | None = None
    chat_template: str | None = None
    weights: Literal["float32", "bfloat16"] = "float32"
    lora_rank: int | None = None
    vocabulary: int = 2048
    hidden_size: int = 96
    layers: int = 3
    heads: int = 4
    max_length: int = 256
    steps: int = 240
    batch_rows: int = 8
    learning_rate: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        sizes = (self.hidden_size, self.layers, self.heads, self.max_length, self.steps, self.batch_rows)
        if min(sizes) < 1 or self.vocabulary <= 300:
            raise ValueError("vocabulary must exceed 300 (bytes and role tokens), and all sizes must be positive")
        if self.hidden_size % self.heads or self.hidden_size // self.heads % 2:
            raise ValueError("hidden_size must be an even multiple of heads")
        if self.lora_rank is not None and self.lora_rank < 1:
            raise ValueError("lora_rank must be positive, or null to tune all weights")
        if self.pretrained is None and (self.weights != "float32" or self.lora_rank is not None):
            raise ValueError("weights and lora_rank are for pretrained models; the small one is float32, tuned whole")
