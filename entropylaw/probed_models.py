"""The models that read a version: the base model, and the second one that params.yaml names beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from corpus.params import read_section

if TYPE_CHECKING:
    from training.probed_model import ProbedModel


def load_models(base: str | Path) -> ProbedModel:
    """Load the base model, with the second one of the section ``second_model`` where it names one.

    ``base``: a folder, or the Hub id of any model. Raises EntropylawError when the base model cannot be loaded.
    """
    from training.probed_model import load_probed_model
    from training.second_model import SecondModelParams

    return load_probed_model(base, second=read_section(SecondModelParams, "second_model"))
