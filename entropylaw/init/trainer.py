"""A team's own trainer: the stage behind the gate that `init --trainer` writes for it."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from corpus.errors import EntropylawError
from entropylaw.init.stages import Stages
from entropylaw.repository import layout

# The one kind there is: a shell command. Others may come, so the option names it.
COMMAND = "command"
STAGE = "train"
# Folders whose files are the pipeline's own; the trained models lie elsewhere.
OWN_FOLDERS = (layout.RESULTS, layout.HISTORY, layout.BASE_MODEL, layout.DATA / "prepared", layout.DATA / "selected")


@dataclass(frozen=True)
class Trainer:
    """A trainer outside this tool.

    ``command``: for the shell, as its team wrote it. ``outs``: what it writes. ``files``: of the repository, named in
    the command, such as its configuration: when one changes, the trainer runs again.
    """

    command: str
    outs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def parse_trainer(option: tuple[str, str] | None, outs: Sequence[str], stages: Stages, folder: Path) -> Trainer | None:
    """The trainer that the options of `init` name; None without one. ``folder``: where the command will run.

    Raises EntropylawError for what cannot be a stage behind the gate.
    """
    if option is None:
        if outs:
            raise EntropylawError('--trainer-out: say what writes it: --trainer command "…"')
        return None
    kind, command = option
    if kind != COMMAND or not command.strip():
        raise EntropylawError(f'--trainer {kind}: expected --trainer {COMMAND} "…", with the command for the shell')
    if stages is Stages.all:
        raise EntropylawError(
            "--trainer: --stages all has trainers of its own; take --stages monitor, or --stages select to have it "
            "train on selected rows"
        )
    named = tuple(dict.fromkeys(_parse_out(out) for out in outs))
    return Trainer(command.strip(), named, _find_files(command, folder, named))


def _parse_out(text: str) -> str:
    """One path that the trainer writes, as dvc.yaml names it."""
    path = PurePosixPath(os.path.normpath(text.replace("\\", "/")))
    if not text.strip() or path.is_absolute() or "${" in text or not text.isprintable() or path.name in ("", ".", ".."):
        raise EntropylawError(
            f"--trainer-out {text!r}: expected a file or folder of the repository, such as models/mine"
        )
    # DVC deletes what a stage writes before it runs.
    for own in map(PurePosixPath, OWN_FOLDERS):
        if path == own or own in path.parents or path in own.parents:
            raise EntropylawError(f"--trainer-out {text}: the pipeline keeps files of its own in {own}; name another")
    return path.as_posix()


def _find_files(command: str, folder: Path, outs: Collection[str]) -> tuple[str, ...]:
    """The files of the repository that a command names, as words of their own or after `=`."""
    try:
        words = shlex.split(command)
    except ValueError:  # an open quote: the shell will say so
        return ()
    found = []
    for word in [part for whole in words for part in (whole, whole.partition("=")[2])]:
        path = os.path.normpath(word) if word and "${" not in word and word.isprintable() else ""
        if path and not os.path.isabs(path) and (folder / path).is_file() and path not in outs:
            found.append(Path(path).as_posix())
    return tuple(dict.fromkeys(found))


def add_trainer(text: str, yaml: Any, trainer: Trainer, stages: Stages, datasets: Collection[str]) -> str:
    """A dvc.yaml with the trainer's stage behind the others. ``yaml``: the writer of the file."""
    import io

    from ruamel.yaml.scalarstring import LiteralScalarString

    data = layout.selected if stages is Stages.select else layout.prepared
    rows = [data(dataset).as_posix() for dataset in datasets]
    # DVC reads ${…} as one of its own values; with a backslash before it the shell gets it.
    command = trainer.command.replace("${", "\\${")
    stage: dict[str, Any] = {
        "cmd": LiteralScalarString(command) if "\n" in command else command,
        "deps": list(dict.fromkeys([layout.APPROVAL.as_posix(), *rows, *trainer.files])),
    }
    if trainer.outs:
        stage["outs"] = list(trainer.outs)
    buffer = io.StringIO()
    yaml.dump({STAGE: stage}, buffer)
    block = "# Your own trainer. DVC runs it only on data that the gate approved.\n" + buffer.getvalue().rstrip("\n")
    before, heading, after = text.partition("\n\nplots:\n")
    return f"{before}\n\n{textwrap.indent(block, '  ')}{heading}{after}"
