"""How much of the pipeline a team takes: the stages that `init` writes, and the sections of params.yaml they read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import Any

from entropylaw.repository import layout


class Stages(StrEnum):
    """``monitor``: up to the gate. ``select``: the rows to train on as well. ``all``: the models too."""

    monitor = "monitor"
    select = "select"
    all = "all"


# The last stage of each part of the pipeline; the stages stand in dvc.yaml in the order in which they run.
LAST_STAGES = {Stages.monitor: "gate", Stages.select: "select"}
# The stages that one dataset alone is for.
STAGES_OF_DATASETS = {layout.SFT: "sft", layout.PREFERENCES: "kto"}
# Sections that a stage reads although dvc.yaml does not name them: other devices are no reason to train anew, and who
# may sign is none to judge anew.
UNNAMED_SECTIONS = {"sft": "launch", "kto": "launch", "gate": "history"}

_STAGE = re.compile(r"^  (\w+):$", re.MULTILINE)
_TOP_LEVEL = re.compile(r"^(\w+):", re.MULTILINE)


def choose_stages(pipeline: Mapping[str, Any], stages: Stages, datasets: Collection[str]) -> list[str]:
    """The names of the stages that a team takes, from the shipped ``pipeline``.

    >>> shipped = {"stages": {"prepare": {}, "gate": {}, "select": {}, "sft": {}, "kto": {}}}
    >>> choose_stages(shipped, Stages.select, ["sft"]), choose_stages(shipped, Stages.all, ["sft"])
    (['prepare', 'gate', 'select'], ['prepare', 'gate', 'select', 'sft'])
    """
    names = list(pipeline["stages"])
    if stages in LAST_STAGES:
        names = names[: names.index(LAST_STAGES[stages]) + 1]
    absent = [stage for dataset, stage in STAGES_OF_DATASETS.items() if dataset not in datasets]
    return [name for name in names if name not in absent]


def list_sections(pipeline: Mapping[str, Any], names: Collection[str]) -> set[str]:
    """The sections of params.yaml that these stages read.

    >>> list_sections({"stages": {"sft": {"params": ["sft"]}, "evaluate": {"params": ["judge.model"]}}}, ["evaluate"])
    {'judge'}
    """
    keys = [key for name in names for key in _body(pipeline["stages"][name]).get("params", ())]
    unnamed = [UNNAMED_SECTIONS[name] for name in names if name in UNNAMED_SECTIONS]
    return {*(key.partition(".")[0] for key in keys), *unnamed}


def list_made(pipeline: Mapping[str, Any], names: Collection[str], datasets: Collection[str]) -> set[str]:
    """The files and folders that these stages write.

    >>> compression = {"foreach": "${datasets}", "do": {"metrics": [{"results/${key}/r.json": {"cache": False}}]}}
    >>> list_made({"stages": {"compression": compression}}, ["compression"], ["sft"])
    {'results/sft/r.json'}
    """
    return {path for name in names for path in _list_outs(pipeline["stages"][name], datasets)}


def _body(stage: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a stage says, also where it is one for each dataset."""
    body: Mapping[str, Any] = stage.get("do", stage)
    return body


def _list_outs(stage: Mapping[str, Any], datasets: Collection[str]) -> Iterator[str]:
    body = _body(stage)
    for entry in (*body.get("outs", ()), *body.get("metrics", ())):
        path = entry if isinstance(entry, str) else next(iter(entry))
        yield from [path.replace("${key}", name) for name in datasets] if "foreach" in stage else [path]


def cut_pipeline(text: str, pipeline: Mapping[str, Any], names: Collection[str], made: Collection[str]) -> str:
    """The text of dvc.yaml with these stages only, and the models that they make.

    ``pipeline``: the same file as sections. ``made``: what the stages write. What the stages read, and the plots, may
    still name files of others.

    The YAML library takes the comment above a part for the end of the part before, and would take it out together with
    the last key there. So parts are removed from the text. They are divided by blank lines.
    """
    artifacts: Mapping[str, Any] = pipeline["artifacts"]
    gone = [name for name, artifact in artifacts.items() if artifact["path"] not in made]
    kept = []
    for part in text.split("\n\n"):
        section = next((name for name in _TOP_LEVEL.findall(part) if name != "stages"), None)
        stage = _STAGE.search(part) if section is None else None
        if stage and stage[1] not in names:
            continue
        if section == "artifacts" and len(gone) == len(artifacts):
            continue
        kept.append(part)
    cut = "\n\n".join(kept)
    if len(gone) < len(artifacts):
        for name in gone:
            cut = remove_entry(cut, "artifacts", name)
    return cut


def remove_section(text: str, name: str) -> str:
    """A params.yaml without one section and the comment above it."""
    return "\n\n".join(part for part in text.split("\n\n") if f"\n{name}:\n" not in f"\n{part}").rstrip("\n") + "\n"


def remove_entry(text: str, section: str, name: str) -> str:
    r"""A YAML file without the lines of one entry of a section; a blank line ends the section.

    >>> remove_entry("\ndatasets:\n  sft:\n    path: a\n  preferences:\n    path: b\n\nx: 1\n", "datasets", "sft")
    '\ndatasets:\n  preferences:\n    path: b\n\nx: 1\n'
    """
    before, heading, after = text.partition(f"\n{section}:\n")
    entries, blank, rest = after.partition("\n\n")
    kept, inside = [], False
    for line in entries.splitlines():
        if line.startswith("  ") and not line.startswith("   "):
            inside = line.startswith(f"  {name}:")
        if not inside:
            kept.append(line)
    return before + heading + "\n".join(kept) + blank + rest
