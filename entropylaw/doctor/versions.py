"""Check of what is installed, from its metadata: nothing is imported for it."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from entropylaw import __version__
from entropylaw.doctor.checkout import Checkout
from entropylaw.doctor.finding import Finding

# The stages that load a model.
OF_MODELS = ("base_model", "probe", "calibration", "sft", "kto", "evaluate")


def check_versions(checkout: Checkout) -> Iterator[Finding]:
    """The versions of the tool, Python, DVC and torch. torch is missed only where a stage that needs it has to run."""
    found = {name: find_version(name) for name in ("dvc", "torch")}
    others = ", ".join(f"{name} {number or 'not installed'}" for name, number in found.items())
    text = f"entropylaw {__version__}, Python {platform.python_version()}, {others}"
    if found["dvc"] is None:
        yield Finding("versions", "broken", text, 'run `pip install "dvc>=3"`, with the extra of your remote')
    elif found["torch"] is None and checkout.has_pipeline and any(map(checkout.is_stale, OF_MODELS)):
        yield Finding(
            "versions", "broken", f"{text}, which the next run needs", 'run `pip install "entropylaw[train]"`'
        )
    else:
        yield Finding("versions", "ok", text)


def find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
