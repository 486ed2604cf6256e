"""Run the stages of dvc.yaml without DVC: their commands, in this process and in a folder like a repository."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpus.errors import EntropylawError, NotAssessedError

REPOSITORY = Path(__file__).resolve().parents[1]
# The stage that gives the verdict; the stages before it measure.
ASSESS = "assess"
# Stages that are run once, on the baseline version.
MADE_ONCE = ("base_model", "calibration")


def read_stages(
    datasets: dict[str, str], last: str = ASSESS, pipeline: Path = REPOSITORY / "dvc.yaml"
) -> list[tuple[str, str | None, str]]:
    """(stage, dataset or None, command) of every stage up to the ``last``, in the order of dvc.yaml.

    ``datasets``: name to data file, as in params.yaml.
    """
    from ruamel.yaml import YAML

    document: dict[str, Any] = YAML(typ="safe", pure=True).load(pipeline.read_text(encoding="utf-8"))
    stages: list[tuple[str, str | None, str]] = []
    for name, stage in document["stages"].items():
        if "foreach" in stage:
            command = stage["do"]["cmd"]
            for dataset, file in datasets.items():
                stages.append((name, dataset, command.replace("${key}", dataset).replace("${item.path}", file)))
        else:
            stages.append((name, None, stage["cmd"]))
        if name == last:
            return stages
    raise EntropylawError(f"{pipeline}: no stage {last!r}")


def run_command(command: str) -> None:
    """Run an `entropylaw` command in the current folder without output; raises EntropylawError when it fails."""
    from entropylaw.cli import app

    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = app(shlex.split(command)[1:], standalone_mode=False)
    if code:
        raise (NotAssessedError if code == NotAssessedError.exit_code else EntropylawError)(said.getvalue().strip())


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Make ``folder`` the current one until the block ends."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
