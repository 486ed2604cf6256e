"""The models that read a version: the base model, and the second one that params.yaml names beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from corpus.params import read_section
from entropylaw.repository.watched import find_unwatched

if TYPE_CHECKING:
    from training.probed_model import ProbedModel
    from training.second_model import SecondModelParams


def load_models(base: str | Path) -> ProbedModel:
    """Load the base model, with the second one of the section ``second_model`` where it names one.

    ``base``: a folder, or the Hub id of any model. Raises EntropylawError when the base model cannot be loaded.
    """
    from training.probed_model import load_probed_model
    from training.second_model import SecondModelParams

    return load_probed_model(base, second=read_section(SecondModelParams, "second_model"))


def find_unwatched_second(params: SecondModelParams) -> list[str]:
    """What dvc.yaml's stage `probe` does not name of the second model, with the line to add for each.

    Empty without a second model: a pipeline from before there was one goes on as it is.
    """
    if params.pretrained is None:
        return []
    read = [("params", "second_model")]
    if Path(params.pretrained).exists():
        read.append(("deps", params.pretrained))
    return find_unwatched("probe", "second_model", read)
