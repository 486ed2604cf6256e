"""Arguments and options that several commands share, and how a function that takes dataclasses becomes a command."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from corpus.cores import count_cores
from corpus.errors import EntropylawError

Data = Annotated[
    Path,
    typer.Argument(
        help="A data file in any accepted format; or a folder, a pattern in quotes, hf://OWNER/NAME@REVISION.",
        show_default=False,
    ),
]
Out = Annotated[Path | None, typer.Option(help="Write the result to this file.", show_default=False)]
HeldOut = Annotated[Path | None, typer.Option("--held-out", help="Rows of this file are left out.", show_default=False)]


class EngineChoice(StrEnum):
    threads = "threads"
    processes = "processes"
    ray = "ray"


WorkerCount = Annotated[
    str, typer.Option("--workers", help="How many, or auto: one for each core of this machine.", metavar="N|auto")
]
Engine = Annotated[
    EngineChoice,
    typer.Option("--engine", help="Workers are threads or processes here, or on the Ray cluster at RAY_ADDRESS."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def count_workers(workers: str, most: int | None = None) -> int:
    """How many workers ``--workers`` asks for. Raises EntropylawError for what is neither auto nor a number.

    ``most``: auto means no more than so many.

    >>> count_workers("3")
    3
    """
    if workers == "auto":
        return min(count_cores(), most or count_cores())
    if not (workers.isdecimal() and int(workers) > 0):
        raise EntropylawError(f"--workers {workers}: expected auto or a number of workers")
    return int(workers)


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
