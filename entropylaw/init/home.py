"""The folder that a new pipeline goes to: the repository's own, or where something stands in the way, one below it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import EntropylawError
from corpus.files import dataset_root, is_hub_name
from entropylaw.init.dvc_outputs import DvcRepository
from entropylaw.init.gate_dependency import show
from entropylaw.repository import layout
from entropylaw.repository.git import run_git

# Says what the folder is about; a name that few repositories have already.
OWN_FOLDER = "data-risk"
HISTORY_README = layout.HISTORY / "README.md"


@dataclass(frozen=True)
class Home:
    """``reason``: why a new pipeline does not go to the repository's own folder."""

    folder: Path
    is_ours: bool
    reason: str | None = None


@dataclass(frozen=True)
class NewPipeline:
    """What a new pipeline would have: files by name, and for each output whether DVC keeps it or Git."""

    files: Mapping[Path, bytes]
    outputs: Mapping[str, bool]


def find_own(folder: Path, wanted: Path | None, dvc: DvcRepository) -> Path | None:
    """The folder of the pipeline of ours that is there already: the wanted one; else the nearest above, or one below.

    Raises EntropylawError where several are below.
    """
    folders = {file.parent for file in dvc.own}
    if wanted is not None:
        return wanted if wanted in folders else None
    above = next((place for place in (folder, *folder.parents) if place in folders), None)
    below = sorted(place for place in folders if folder in place.parents)
    if above is None and len(below) > 1:
        raise EntropylawError(f"several pipelines are here: {', '.join(map(show, below))}; name one with --pipeline")
    return above or (below[0] if below else None)


def choose_home(folder: Path, wanted: Path | None, dvc: DvcRepository, find: Callable[[Path], str | None]) -> Home:
    """Where a new pipeline is to go. ``wanted``: the folder that the user names. ``find``: what stands in the way in a
    folder.

    Raises EntropylawError where something stands in the way everywhere.
    """
    if wanted is not None and not wanted.is_relative_to(dvc.root):
        raise EntropylawError(f"--pipeline {wanted}: not inside the DVC repository {dvc.root}")
    first = wanted or folder
    reason = find(first)
    if reason is None:
        return Home(first, is_ours=False)
    if wanted is not None:
        raise EntropylawError(f"{reason}; name another folder with --pipeline")
    if again := find(folder / OWN_FOLDER):
        raise EntropylawError(f"{reason}, and {again}; change that, or name a folder for the pipeline with --pipeline")
    return Home(folder / OWN_FOLDER, is_ours=False, reason=reason)


def find_obstacle(home: Path, new: NewPipeline, dvc: DvcRepository, datasets: Iterable[Path]) -> str | None:
    """What stands in the way of a new pipeline in a folder, in half a sentence; None where nothing does."""
    for dataset in datasets:
        root = dataset_root(dataset)
        if not is_hub_name(dataset) and root.is_dir() and (home / layout.DATA).is_relative_to(root):
            return f"{show(root)}/ as a whole is a dataset, and the pipeline would keep files of its own in it"
    for path in [home / name for name in (*new.files, *map(Path, new.outputs))]:
        if path.parent.resolve() != path.parent:
            return f"{show(path.parent)} is a link to another folder, where DVC tracks nothing"
    for name, content in new.files.items():
        path = home / name
        owner = dvc.find_owner(path)
        if owner and owner.path != path:
            return f"{show(owner.path)}/ is {owner.describe()}"
        if path.exists() and (path.is_dir() or path.read_bytes() != content):
            return f"{show(path)} is there already and is not ours"
        if owner and not path.exists():
            return f"{show(path)} is {owner.describe()}"
    if (home / "dvc.lock").exists():
        return f"{show(home / 'dvc.lock')} is of another pipeline"
    if strange := find_strange_history(home / layout.HISTORY):
        return f"{show(strange)} is there already and is no entry of our history"
    for output in new.outputs:
        path = home / output
        if (owner := dvc.find_owner(path)) or (owner := next(dvc.list_below(path), None)):
            return f"{show(owner.path)} is {owner.describe()}, and a stage would write it"
        if path.exists():
            return f"{show(path)} is there already, and a stage would replace it"
    if is_new_folder(home):
        # What is in it is ours alone, so its own .gitignore may say otherwise, unless Git does not look into it at all.
        return _tell_ignored(home.parent, [home.name])
    return find_ignored(home, new)


def is_new_folder(home: Path) -> bool:
    """Whether a folder has nothing in it, or is not there yet."""
    return not home.exists() or (home.is_dir() and not any(home.iterdir()))


def find_strange_history(folder: Path) -> Path | None:
    """A file in the folder of the history that `accept` and `init` did not write."""
    from monitor.history import read_history

    if not folder.is_dir():
        return None
    for file in sorted(folder.rglob("*")):
        # Such as .gitkeep.
        if file.name.startswith("."):
            continue
        if file.name != HISTORY_README.name and (file.suffix != ".json" or file.is_dir()):
            return file
    try:
        read_history(folder)
    except EntropylawError:
        return folder
    return None


def find_ignored(home: Path, new: NewPipeline) -> str | None:
    """Which file that has to be in Git a .gitignore keeps out of it, and where that says so."""
    names = [path.as_posix() for path in new.files if path not in (layout.BASELINE, layout.HELDOUT)]
    names += [f"{path.as_posix()}.dvc" for path in (layout.BASELINE, layout.HELDOUT)]
    names += [*(name for name, cached in new.outputs.items() if not cached), "dvc.lock", "history/version.json"]
    return _tell_ignored(home, names)


def _tell_ignored(home: Path, names: Sequence[str]) -> str | None:
    # Git answers from a folder that is there, about files that need not be.
    folder = next(place for place in (home, *home.parents) if place.is_dir())
    below = home.relative_to(folder)
    asked = [(below / name).as_posix() for name in names]
    for line in run_git("check-ignore", "--verbose", "--no-index", "--", *asked, folder=folder).splitlines():
        rule, _, name = line.partition("\t")
        file, number, pattern = rule.split(":", 2)
        if not pattern.startswith("!"):
            return f"{show(folder / name)} has to be in Git, and {file}, line {number}, ignores it ({pattern})"
    return None
