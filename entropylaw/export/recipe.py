"""The numbers that a trainer is told: those of params.yaml, or the paper's where it has no section for training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from corpus.params import PARAMS_FILE, parse_section, parse_yaml, read_params, read_section
from entropylaw.repository import layout
from entropylaw.repository.shipped_files import shipped_text

if TYPE_CHECKING:
    from training.base_model_params import BaseModelParams
    from training.fine_tuning import TrainerParams

# Of the two models that the paper trains, the one whose learning rate is taken: Mistral's for its relatives, Llama's
# for all others.
PAPER_RECIPES = {"mistral": "recipes/mistral-7b.yaml"}
OTHER_RECIPE = "recipes/llama-3-8b.yaml"


@dataclass(frozen=True)
class Recipe:
    """``source``: where the numbers come from, for a comment. ``model``: what training starts from. ``beta``: of
    preferences, how much a distance from the reference model costs; None for conversations.
    """

    source: str
    model: str
    chat_template: str | None
    trainer: TrainerParams
    packing: bool
    beta: float | None

    @property
    def accumulation(self) -> int:
        """Micro-batches of one step on one device."""
        return self.trainer.batch_rows // self.trainer.micro_batch_rows


def read_recipe(dataset: str, model: str | None) -> Recipe:
    """``model``: what training starts from, where it is not the base model of params.yaml."""
    from training.base_model_params import BaseModelParams
    from training.kto import KtoParams
    from training.sft import SftParams

    base = read_section(BaseModelParams, "base_model")
    start = model or _own_model(base)
    section = "kto" if dataset == layout.PREFERENCES else "sft"
    cls: type[SftParams] | type[KtoParams] = KtoParams if section == "kto" else SftParams
    if section in read_params():
        source, trainer = f"the section `{section}` of {PARAMS_FILE}", read_section(cls, section)
    else:
        recipe = next((file for name, file in PAPER_RECIPES.items() if name in start.lower()), OTHER_RECIPE)
        source = f"the paper, Appendix B, and {recipe}: {PARAMS_FILE} has no section `{section}`"
        trainer = parse_section(cls, _paper_section(section, recipe), f"{recipe}: {section}")
    return Recipe(
        source=source,
        model=start,
        chat_template=_template_of(base, start),
        trainer=trainer,
        packing=isinstance(trainer, SftParams) and trainer.packing,
        beta=trainer.beta if isinstance(trainer, KtoParams) else None,
    )


def _paper_section(section: str, recipe: str) -> dict[str, Any]:
    shipped: dict[str, Any] = parse_yaml(shipped_text(PARAMS_FILE), PARAMS_FILE)[section]
    changes: dict[str, Any] = parse_yaml(shipped_text(recipe), recipe)[section]
    return {**shipped, **changes}


def _template_of(base: BaseModelParams, start: str) -> str | None:
    """The template that params.yaml names for its own model; another model keeps its own."""
    return base.chat_template if start == _own_model(base) else None


def _own_model(base: BaseModelParams) -> str:
    """The folder or Hub id of the base model's weights."""
    from training.gguf_model import is_gguf

    return base.pretrained if base.pretrained and not is_gguf(base.pretrained) else layout.BASE_MODEL.as_posix()
