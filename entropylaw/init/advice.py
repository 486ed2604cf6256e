"""What `init` says at its end: what to do next, seen from where the user stands."""

from __future__ import annotations

from pathlib import Path

from entropylaw.init.dvc_outputs import DvcRepository
from entropylaw.init.gate_dependency import dependency, show


def describe_next(home: Path) -> str:
    """The commands to run next."""
    here = show(home)
    if here == ".":
        repro = "dvc repro"
    elif here.startswith(".."):
        repro = f"cd {here} && dvc repro"
    else:
        repro = f"dvc repro {here}/dvc.yaml"
    return f"Next: {repro} && entropylaw accept, then commit; repeat this after every change of the data."


def describe_gate(home: Path, dvc: DvcRepository) -> str:
    """How to have the team's own training wait for the gate; empty where they have no stages of their own."""
    files = [file for file in dvc.pipelines if file not in dvc.own]
    if not files:
        return ""
    lines = ["Nothing of yours waits for the gate yet. Add the approval to the deps of each stage that trains:"]
    lines += [f"  {show(file)}: {dependency(file.parent, home)}" for file in files]
    lines += ["`entropylaw init --gate STAGE` adds it for you. The stage runs once more then, if the gate lets it."]
    return "\n".join(lines) + "\n"
