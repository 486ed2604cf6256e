"""The base model as probe and calibration train it: all its weights, or adapters beside weights that do not change."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from training.adapters import linear_adapters
from training.base_model import CARD, BaseModelCard, load_base_model, read_card
from training.base_model_params import BaseModelParams
from training.probe_run import ProbeParams
from training.second_model import SecondModel, SecondModelParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Alpha is this times the rank. Adapters are scaled by alpha over rank, so one learning rate serves every rank.
ALPHA_OF_RANK = 2


class ProbedModel(NamedTuple):
    """A base model in memory, ready to be probed: what L is measured from.

    ``second``: another model beside it that reads a part of the rows; None where there is none.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    card: BaseModelCard
    second: SecondModel | None = None


def load_probed_model(
    folder: str | Path, device: str | None = None, second: SecondModelParams | None = None
) -> ProbedModel:
    """Load the base model in the precision and with the adapters that its card names.

    A model without such a card is loaded in float32, and all its weights are tuned. ``second``: the model beside it,
    which is loaded when it first has to read. Raises EntropylawError as ``load_base_model`` does.
    """
    if second:
        # What is missing is said before anything takes long.
        second.require_here()
    weights = read_card(folder).weights if (Path(folder) / CARD).exists() else "float32"
    model, tokenizer, card = load_base_model(folder, device, weights)
    if card.lora_rank is not None:
        attach_adapters(model, card.lora_rank, card.adapter_seed)
    return ProbedModel(model, tokenizer, card, SecondModel(second, device) if second and second.pretrained else None)


def attach_adapters(model: PreTrainedModel, rank: int, seed: int) -> None:
    """Add float32 adapters to every linear layer but the last, and freeze all other weights, in place.

    Adapters add zero until they are trained, so the model still computes the same. The same seed gives the same
    adapters, whatever else is drawn at random.
    """
    import torch
    from peft import inject_adapter_in_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # The model keeps its class, which a PeftModel would not, so that `training.loss` still finds its last layer.
        inject_adapter_in_model(linear_adapters(rank, ALPHA_OF_RANK * rank), model)
    for weight in model.parameters():
        if weight.requires_grad:
            # peft gives adapters the precision of the weights beside them; in bfloat16 small steps would be lost.
            weight.data = weight.data.float()


def copy_probed_model(model: Any) -> Any:
    """A copy of the model to train. Frozen weights are shared and not copied, because no run changes them.

    So many runs from a large model with adapters need memory for one model only.
    """
    return copy.deepcopy(model, {id(weight): weight for weight in model.parameters() if not weight.requires_grad})


def name_probe_savings(probe: ProbeParams, base: BaseModelParams) -> str:
    """Advice on saving memory under these settings: which numbers to lower, then what to set.

    >>> name_probe_savings(ProbeParams(batch_rows=1), BaseModelParams(pretrained="gpt2"))
    'probe.max_length (now 256), or set base_model.lora_rank: 16, base_model.weights: bfloat16'
    """
    numbers = [f"probe.max_length (now {probe.max_length})"]
    if probe.batch_rows > 1:
        numbers.insert(0, f"probe.batch_rows (now {probe.batch_rows})")
    choices = []
    if base.pretrained and base.lora_rank is None:
        choices.append("base_model.lora_rank: 16")
    if base.pretrained and base.weights == "float32":
        choices.append("base_model.weights: bfloat16")
    return " or ".join(numbers) + (f", or set {', '.join(choices)}" if choices else "")
