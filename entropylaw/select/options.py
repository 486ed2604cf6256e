"""The options of `select`; those that come together, as dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from entropylaw.options import Data, Engine, EngineChoice, WorkerCount
from entropylaw.pipeline_command import Place

Model = Annotated[
    str | None,
    typer.Option(
        help="Folder or Hub id of the model that scores.",
        parser=Place,
        metavar="FOLDER|HUB_ID",
        show_default="row_scores.model, or models/base",
    ),
]


class Window(StrEnum):
    codec = "codec"
    whole = "global"


class CodecChoice(StrEnum):
    zlib = "zlib"
    zstd = "zstd"


class Compat(StrEnum):
    algorithm = "algorithm"
    reference = "reference"


@dataclass(frozen=True)
class CommonOptions:
    """What every method is told."""

    pool: Data
    out: Annotated[Path, typer.Option(help="Where the selected rows go, whole and in order.", show_default=False)]
    report: Annotated[
        Path | None, typer.Option(help="Write counts, R, tokens and sources as JSON.", show_default=False)
    ] = None
    rows: Annotated[
        int | None, typer.Option(help="Select this many rows.", show_default="selection.share of params.yaml")
    ] = None
    tokens: Annotated[
        int | None, typer.Option(help="Select rows of at most this many tokens in all.", show_default=False)
    ] = None
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the tokenizer.json to count tokens by.", show_default="models/base for --tokens"
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(help="For the methods that make random choices, see docs/selecting-data.md.", show_default=False),
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False


@dataclass(frozen=True)
class ZipOptions:
    """What only ZIP is told; the section `selection` of params.yaml says what is not given here."""

    k1: Annotated[int | None, typer.Option(help="Rows measured again in each round.", show_default=False)] = None
    k2: Annotated[int | None, typer.Option(help="Of those k1, rows kept.", show_default=False)] = None
    k3: Annotated[int | None, typer.Option(help="Of those k2, rows taken.", show_default=False)] = None
    window: Annotated[
        Window | None,
        typer.Option(help="How far back redundancy is seen; global: over all selected.", show_default=False),
    ] = None
    codec: Annotated[CodecChoice | None, typer.Option(help="By default the window's own.", show_default=False)] = None
    level: Annotated[int | None, typer.Option(help="The codec's level.", show_default=False)] = None
    compat: Annotated[
        Compat | None,
        typer.Option(help="The paper's Algorithm 1, or its authors' program on ShareGPT rows.", show_default=False),
    ] = None
    workers: WorkerCount = "auto"
    engine: Engine = EngineChoice.threads
