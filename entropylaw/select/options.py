"""The options of `select`, as dataclasses, and how a function that takes such dataclasses becomes a command."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from entropylaw.options import Data


class Window(StrEnum):
    codec = "codec"
    whole = "global"


class CodecChoice(StrEnum):
    zlib = "zlib"
    zstd = "zstd"


class Compat(StrEnum):
    algorithm = "algorithm"
    reference = "reference"


class EngineChoice(StrEnum):
    processes = "processes"
    ray = "ray"


@dataclass(frozen=True)
class CommonOptions:
    """What every method is told."""

    pool: Data
    out: Annotated[Path, typer.Option(help="Where the selected rows go, whole and in order.", show_default=False)]
    report: Annotated[
        Path | None, typer.Option(help="Write counts, R, tokens and seconds as JSON.", show_default=False)
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
        typer.Option(help="For random and cluster; the others make no random choice.", show_default=False),
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
    workers: Annotated[str, typer.Option(help="How many, or auto: one for each core of this machine.")] = "auto"
    engine: Annotated[
        EngineChoice, typer.Option(help="Workers are processes here, or actors of the Ray cluster at RAY_ADDRESS.")
    ] = EngineChoice.processes


def take_options(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function: a parameter that is a dataclass becomes one option for each of its fields."""
    groups: dict[str, type] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if isinstance(parameter.annotation, type) and dataclasses.is_dataclass(parameter.annotation):
            groups[parameter.name] = parameter.annotation
            parameters += _fields_as_parameters(parameter.annotation)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(function)
    def command(**options: Any) -> None:
        grouped = {
            name: group(**{field.name: options.pop(field.name) for field in dataclasses.fields(group)})
            for name, group in groups.items()
        }
        function(**grouped, **options)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def _fields_as_parameters(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in dataclasses.fields(group)
    ]
