"""Runs a command in the pipeline's folder wherever it is started; what the user named stays where the user sees it."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

from corpus.errors import EntropylawError
from entropylaw.printing import note
from entropylaw.repository.locking import one_at_a_time
from entropylaw.repository.missing_data import explain_missing_data
from entropylaw.repository.pipeline_folder import find_pipeline

# Of worker processes: the folder in which the user typed the command line that they are given.
_OF_WORKERS = "ENTROPYLAW_STARTED_IN"
_started_in: ContextVar[Path | None] = ContextVar("started_in", default=None)


class Place(str):
    """What a user typed where a file is one of several things that may be meant, a Git revision or a Hub id others.

    As the ``parser`` of an argument or option it tells that the text names a place where there is one.
    """


class PipelineCommand(TyperCommand):
    """A command that runs in the pipeline's folder."""

    def invoke(self, ctx: Any) -> Any:
        with _in_pipeline(ctx):
            return super().invoke(ctx)


class WritingCommand(PipelineCommand):
    """A command that changes files which other commands change too: only one runs at a time."""

    def invoke(self, ctx: Any) -> Any:
        from entropylaw.repository.dvc_locks import restore_torn_lock

        with _in_pipeline(ctx), one_at_a_time():
            restore_torn_lock()  # the command before this one may have been killed
            return TyperCommand.invoke(self, ctx)


class PipelineGroup(TyperGroup):
    """A command that runs in the pipeline's folder and has subcommands."""

    def invoke(self, ctx: Any) -> Any:
        with _in_pipeline(ctx):
            return super().invoke(ctx)


def started_in() -> Path:
    """The folder in which the user typed the command, where the user will type the next one too."""
    return _started_in.get() or Path.cwd()


def tell_workers() -> None:
    """Let processes that are started from here with the same command line know in which folder it was typed."""
    os.environ[_OF_WORKERS] = str(started_in())


@contextlib.contextmanager
def _in_pipeline(ctx: Any) -> Iterator[None]:
    """Enter the pipeline's folder, and name from there what was named on the command line."""
    with contextlib.ExitStack() as stack:
        start = _started_in.get()
        if start is None:  # a group enters before its subcommand does
            start = stack.enter_context(_entered(_list_given(ctx)))
        if start != Path.cwd():
            ctx.params |= {name: _move(value, start) for name, value in _list_given(ctx).items()}
        with explain_missing_data():
            yield


@contextlib.contextmanager
def _entered(given: dict[str, Any]) -> Iterator[Path]:
    """The folder that the command was typed in, while the current one is the pipeline's."""
    of_worker = os.environ.pop(_OF_WORKERS, None)
    start = Path(of_worker) if of_worker else Path.cwd()
    try:
        folder = find_pipeline(start) or start
    except EntropylawError:
        # What is in a file can be said without the pipeline that it belongs to.
        if not any(map(_is_place, given.values())):
            raise
        folder = start
    if folder != start and of_worker is None:
        place = os.path.relpath(folder, start)
        note(f"entropylaw: working in {place}, the pipeline's folder; run there what is named below")
    token = _started_in.set(start)
    try:
        with contextlib.chdir(folder):
            yield start
    finally:
        _started_in.reset(token)


def _list_given(ctx: Any) -> dict[str, Any]:
    """What the user typed, by the name of the parameter. A default names what is in the pipeline's folder already."""
    return {
        name: value
        for name, value in ctx.params.items()
        if (source := ctx.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
    }


def _is_place(value: Any) -> bool:
    return isinstance(value, Path | Place) or (isinstance(value, list) and any(map(_is_place, value)))


def _move(value: Any, start: Path) -> Any:
    """A value with the places in it as seen from the current folder; ``start``: the folder it was typed in."""
    from corpus.files import is_hub_name, is_pattern
    from entropylaw.repository.revisions import split_revision

    if isinstance(value, list):
        return [_move(item, start) for item in value]
    if not _is_place(value) or is_hub_name(value) or os.path.isabs(value):
        return value
    if isinstance(value, Path):
        return Path(os.path.relpath(start / value))
    if (start / value).exists() or (is_pattern(value) and glob.glob(value, root_dir=start)):
        return os.path.relpath(start / value)
    revision, file = split_revision(value)
    return value if file is None else f"{revision}:{os.path.relpath(start / file)}"
