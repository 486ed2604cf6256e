"""The options of `init`, as dataclasses: of the data, of the stages, and of the repository that they come into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from entropylaw.init.ci_files import CiSystem
from entropylaw.init.home import OWN_FOLDER
from entropylaw.init.recipes import RECIPES
from entropylaw.init.stages import Stages


@dataclass(frozen=True)
class DataOptions:
    """What is measured, and how it is read."""

    dataset: Annotated[
        list[str] | None,
        typer.Option(
            help="sft=PATH, preferences=PATH, or both: a file, a folder, a pattern or hf://OWNER/NAME@REVISION."
        ),
    ] = None
    columns: Annotated[
        list[str] | None,
        typer.Option(
            help="How the file calls a column of ours, as in sft.prompt=question; any number of times.",
            show_default="told from the keys",
        ),
    ] = None
    heldout: Annotated[
        Path | None,
        typer.Option("--held-out", help="Conversations that are never trained on.", show_default="5% of the rows"),
    ] = None
    recipe: Annotated[
        str | None,
        typer.Option(help=f"Values of params.yaml for a model: {', '.join(RECIPES)}.", show_default=RECIPES[0]),
    ] = None


@dataclass(frozen=True)
class StageOptions:
    """How much of the pipeline there is, and what trains."""

    stages: Annotated[
        Stages, typer.Option(help="monitor: up to the gate; select: selects rows too; all: trains models too.")
    ] = Stages.all
    trainer: Annotated[
        tuple[str, str] | None,
        typer.Option(
            help="Your own trainer behind the gate: the word `command`, then a shell command in quotes.",
            metavar='command "…"',
            show_default=False,
        ),
    ] = None
    trainer_out: Annotated[
        list[str] | None,
        typer.Option(help="What that command writes, as models/mine; any number of times.", show_default=False),
    ] = None


@dataclass(frozen=True)
class RepositoryOptions:
    """Where the pipeline goes, and what around it is changed."""

    ci: Annotated[
        CiSystem | None,
        typer.Option(help="Which CI checks every pull request.", show_default="by the host of Git's remote"),
    ] = None
    pipeline: Annotated[
        Path | None,
        typer.Option(
            help="The folder of the pipeline.",
            show_default=f"the repository's own; {OWN_FOLDER} where something of yours stands in the way",
        ),
    ] = None
    gate: Annotated[
        str | None,
        typer.Option(
            help="A stage of yours that is to wait for the gate, as STAGE or FILE:STAGE.",
            show_default="your stages stay as they are",
        ),
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False
