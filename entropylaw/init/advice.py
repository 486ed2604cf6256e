"""What `init` says at its end: what to do next, seen from where the user stands."""

from __future__ import annotations

import shlex
from pathlib import Path

from entropylaw.init.dvc_outputs import DvcRepository
from entropylaw.init.gate_dependency import dependency, show
from entropylaw.repository import layout

# Enough to see how the line differs from folder to folder.
_NAMED = 3


def describe_next(home: Path) -> str:
    """The commands to run next."""
    here = show(home)
    if here == ".":
        repro = "dvc repro"
    elif here.startswith(".."):
        repro = f"cd {shlex.quote(here)} && dvc repro"
    else:
        repro = f"dvc repro {shlex.quote(f'{here}/dvc.yaml')}"
    return f"Next: {repro} && entropylaw accept, then commit; repeat this after every change of the data."


def describe_gate(home: Path, dvc: DvcRepository) -> list[str]:
    """How to have the team's own training wait for the gate; empty where a stage of theirs does, or they have none."""
    files = [file for file in dvc.pipelines if file not in dvc.own]
    if not files or home / layout.APPROVAL in dvc.read:
        return []
    lines = ["Nothing of yours waits for the gate yet. Add the approval to the deps of each stage that trains:"]
    lines += [f"  {show(file)}: {dependency(file.parent, home)}" for file in files[:_NAMED]]
    if len(files) > _NAMED:
        lines.append(f"  and {len(files) - _NAMED} more files, each as seen from its folder")
    lines += [
        "`entropylaw init --gate STAGE` adds it for you. DVC then runs the stage once more, if the gate approves."
    ]
    return lines
