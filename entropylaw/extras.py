"""The libraries that come with the extra `train` only, and what a command says that finds one of them missing."""

from __future__ import annotations

# As in pyproject.toml. numba is left out: without it the same numbers take longer.
TRAIN = ("accelerate", "dvclive", "peft", "torch", "transformers", "trl")


def explain_missing(module: str | None) -> str | None:
    """What to install where a module cannot be imported; None where it is none of an extra, and so a defect.

    >>> explain_missing("torch.nn")
    'this needs torch, which is not installed; run `pip install "entropylaw[train]"`'
    >>> explain_missing("entropylaw.chekc")
    """
    library = (module or "").partition(".")[0]
    if library not in TRAIN:
        return None
    return f'this needs {library}, which is not installed; run `pip install "entropylaw[train]"`'
