"""The pipeline, its parameters and the recipes as this version of the tool ships them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def shipped_text(name: str) -> str:
    """A file as it ships, such as ``dvc.yaml``: inside the installed package, or at the root of a checkout."""
    packaged = resources.files("entropylaw") / "pipeline" / name
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / name).read_text(encoding="utf-8")
