"""The gate before a team's own training: a dependency of their stage on our approval, which a stopped run lacks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpus.errors import EntropylawError
from entropylaw.init.recipes import new_yaml
from entropylaw.repository import layout


def find_stage(wanted: str, folder: Path, pipelines: Sequence[Path]) -> tuple[Path, str]:
    """The dvc.yaml and the name of the stage that ``--gate`` names: ``STAGE``, or ``FILE:STAGE`` seen from ``folder``.

    ``pipelines``: the team's own. Raises EntropylawError, which lists the stages, where it is not one of them.
    """
    file, _, name = wanted.rpartition(":")
    named = [Path(os.path.abspath(folder / file)).resolve()] if file else list(pipelines)
    stages = {path: _list_stages(path) for path in pipelines}
    found = [path for path in named if name in stages.get(path, ())]
    if len(found) == 1:
        return found[0], name
    listed = "; ".join(f"{show(path)}: {', '.join(stages[path])}" for path in pipelines)
    if not listed:
        raise EntropylawError(f"--gate {wanted}: no dvc.yaml here has a stage of yours")
    if found:
        first = show(found[0])
        raise EntropylawError(f"--gate {wanted}: {len(found)} files have a stage of this name; write {first}:{name}")
    raise EntropylawError(f"--gate {wanted}: no such stage; there are {listed}")


def gated_text(path: Path, stage: str, home: Path) -> str:
    """The text of a dvc.yaml in which one stage depends on our approval. ``home``: the folder of our pipeline.

    One line is put in; all others stay as they are. Raises EntropylawError, with that line, where it cannot be put in
    without touching more, as where several stages share one list.
    """
    text = _read(path)
    section = _find_section(new_yaml().load(text), stage)
    folder = str(section.get("wdir", "."))
    approval = dependency(path.parent / folder, home)
    if approval in [_name_of(entry) for entry in section.get("deps") or ()]:
        return text
    expected = _plain(text)
    wanted = _find_section(expected, stage)
    wanted["deps"] = [approval, *(wanted.get("deps") or ())]
    new = _insert(text, section, approval)
    if "${" in folder or not _says(new, expected):
        raise EntropylawError(f"{show(path)}: stage {stage}: add this to its deps by hand: {approval}")
    return new


def dependency(folder: Path, home: Path) -> str:
    """Our approval as a stage that runs in ``folder`` names it.

    >>> dependency(Path("/r"), Path("/r/data-risk")), dependency(Path("/r/train"), Path("/r"))
    ('data-risk/results/approval.json', '../results/approval.json')
    """
    return Path(os.path.relpath(home / layout.APPROVAL, os.path.abspath(folder))).as_posix()


def show(path: Path) -> str:
    """A path as seen from here."""
    return Path(os.path.relpath(path)).as_posix()


def _list_stages(path: Path) -> list[str]:
    return [str(name) for name in _plain(_read(path)).get("stages") or ()]


def _find_section(document: Any, stage: str) -> Any:
    """The section of a stage that holds its `deps`: for one that is repeated, what is below `do`."""
    section = document["stages"][stage]
    return section["do"] if "foreach" in section else section


def _name_of(entry: object) -> str:
    """A dependency may be a path, or a path with settings below it."""
    return str(next(iter(entry))) if isinstance(entry, dict) else str(entry)


def _insert(text: str, section: Any, approval: str) -> str:
    """The text with the dependency as the first one of a stage, as far as the usual forms go."""
    end = "\r\n" if "\r\n" in text else "\n"
    lines = (text if text.endswith(end) else text + end).splitlines(keepends=True)
    if "deps" not in section:
        pad = " " * section.lc.col
        lines.insert(section.lc.line, f"{pad}deps:{end}{pad}  - {approval}{end}")
        return "".join(lines)
    line, column = section.lc.key("deps")
    deps = section["deps"]
    if not deps:
        lines.insert(line + 1, f"{' ' * (column + 2)}- {approval}{end}")
    elif deps.fa.flow_style():
        first, bracket = lines[deps.lc.line], deps.lc.col + 1
        lines[deps.lc.line] = f"{first[:bracket]}{approval}, {first[bracket:].lstrip(' ')}"
    else:
        lines.insert(line + 1, f"{' ' * deps.lc.col}- {approval}{end}")
    return "".join(lines)


def _says(text: str, expected: object) -> bool:
    from ruamel.yaml.error import YAMLError

    try:
        return bool(_plain(text) == expected)
    except YAMLError:
        return False


def _read(path: Path) -> str:
    # As bytes, so that the ends of lines stay what they are.
    return path.read_bytes().decode("utf-8")


def _plain(text: str) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(text) or {}
