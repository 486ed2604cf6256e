"""What a command says when a base model does not fit into memory: which parameters to lower."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from corpus.params import read_section

if TYPE_CHECKING:
    from training.probe_run import ProbeParams


def explain_probe_memory(what: str, params: ProbeParams) -> AbstractContextManager[None]:
    """Full memory while a base model is loaded and probed, as an EntropylawError that names what takes less."""
    from training.base_model_params import BaseModelParams
    from training.device_memory import explain_full_memory
    from training.probed_model import name_probe_savings

    return explain_full_memory(what, name_probe_savings(params, read_section(BaseModelParams, "base_model")))
