"""What `init` is going to write, worked out and checked before any of it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from corpus.errors import EntropylawError
from corpus.params import parse_yaml
from entropylaw.init.changes import FileChange, plan_change
from entropylaw.init.ci_files import CI_FILES, CiSystem, render_ci_file
from entropylaw.init.data_files import require_prepared
from entropylaw.init.dvc_outputs import DvcRepository
from entropylaw.init.gate_dependency import find_stage, gated_text, show
from entropylaw.init.home import HISTORY_README, Home, NewPipeline
from entropylaw.init.ignore_lines import HEADING, TAKEN, add_lines, line_for, list_ignored, list_outputs
from entropylaw.repository import layout
from entropylaw.repository.git import find_subfolder, is_ignored, run_git
from entropylaw.repository.shipped_files import shipped_text

HISTORY_TEXT = """\
One small file for each accepted data version, written by `entropylaw accept` and committed with it: its numbers, the
hashes of its rows, and numbers and losses of some of them, never their text. New versions are compared with these.
"""


def make_pipeline(texts: Mapping[str, str], data: Mapping[Path, bytes]) -> NewPipeline:
    """A new pipeline. ``texts``: of dvc.yaml and the files beside it; ``data``: the baseline and the held-out rows."""
    files = {Path(name): text.encode() for name, text in texts.items()}
    sections = parse_yaml(texts["dvc.yaml"], "dvc.yaml")
    outputs = dict(list_outputs(sections, parse_yaml(texts["params.yaml"], "params.yaml")["datasets"]))
    return NewPipeline({**files, **data, HISTORY_README: HISTORY_TEXT.encode()}, outputs)


def plan_pipeline(
    home: Home, new: NewPipeline, dvc: DvcRepository, is_written: Callable[[str, str], bool]
) -> list[FileChange]:
    """The files of the pipeline that are missing. One that says something else is never touched, unless
    ``is_written``: `init` wrote a file of this name and text itself, with other stages. Waivers are the team's own.

    Raises EntropylawError where one does: these options would have made another pipeline.
    """
    changes: list[FileChange] = []
    for name, content in new.files.items():
        path = home.folder / name
        if not home.is_ours or not path.exists():
            if not (path in (home.folder / layout.BASELINE, home.folder / layout.HELDOUT) and dvc.find_owner(path)):
                changes += plan_change(path, content)
        elif name in (layout.BASELINE, layout.HELDOUT):
            require_prepared(path)
        elif name not in (HISTORY_README, layout.WAIVERS) and (before := path.read_bytes()) != content:
            text = before.decode("utf-8", "replace")
            if text != shipped_text(name.as_posix()) and not is_written(name.as_posix(), text):
                raise EntropylawError(
                    f"{show(path)}: differs from what these options would write, and stays as it is; change it by "
                    "hand, or run `entropylaw init` without --dataset to add only what is missing"
                )
            changes += plan_change(path, content)
    return changes


def plan_ignored(
    home: Path, sections: Mapping[str, Any], datasets: Iterable[str], track: Iterable[Path], take: bool
) -> list[FileChange]:
    """The .gitignore files of the pipeline's folder, and of the data that DVC is to track. ``take``: a .gitignore above
    would ignore what has to be in Git.

    Raises EntropylawError where Git has what it is never to take.
    """
    lines = list_ignored(sections, datasets)
    paths = [line.lstrip("/") for line in lines if line.startswith("/")]
    if taken := run_git("ls-files", "--", *paths, folder=home).splitlines():
        raise EntropylawError(
            f"{show(home / taken[0])}: is in Git, where DVC cannot keep it; run `git rm -r --cached "
            f"{show(home / taken[0])}`, then init again"
        )
    wanted = {home: [*(TAKEN if take else ()), *lines]}
    for path in track:
        # DVC would write these itself, but it fails on a .gitignore that is not UTF-8.
        if path not in (home / layout.BASELINE, home / layout.HELDOUT) and not is_ignored(path):
            wanted.setdefault(path.parent, []).append(line_for(path.name))
    changes: list[FileChange] = []
    for folder, added in wanted.items():
        target = folder / ".gitignore"
        heading = HEADING if folder == home else None
        changes += plan_change(target, add_lines(target.read_bytes() if target.exists() else b"", added, heading))
    return changes


def plan_ci(home: Path, system: CiSystem) -> tuple[list[FileChange], Path | None]:
    """The CI file at the root of the Git repository; and where another one is there, that one, which stays."""
    if system not in CI_FILES:
        return [], None
    folder = next(place for place in (home, *home.parents) if place.is_dir())
    below = find_subfolder(folder)
    root = folder.parents[below.count("/")] if below else folder
    path, content = root / CI_FILES[system], render_ci_file(system, home.relative_to(root).as_posix()).encode()
    if not path.exists():
        return plan_change(path, content), None
    return [], None if path.read_bytes() == content else path


def plan_gate(gate: str, here: Path, home: Path, dvc: DvcRepository) -> list[FileChange]:
    """The dvc.yaml of the team with one stage of theirs behind our gate."""
    path, stage = find_stage(gate, here, [file for file in dvc.pipelines if file not in dvc.own])
    return plan_change(path, gated_text(path, stage, home).encode())
