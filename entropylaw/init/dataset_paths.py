"""The datasets that `init` is given, as paths inside the repository, and who keeps their versions."""

from __future__ import annotations

import glob
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from corpus.errors import EntropylawError
from corpus.files import dataset_root, is_hub_name, is_pattern, list_files, missing_error, parse_hub_name, shard_pattern
from entropylaw.repository import layout
from entropylaw.repository.git import is_tracked, run_git
from entropylaw.terminal import last_line

OWN_FOLDER = "put the files of one dataset into a folder of their own, such as data/sft, and name that folder"


def parse_datasets(options: list[str], folder: Path) -> dict[str, Path]:
    """Dataset names and where their data lies, relative to ``folder``, from NAME=PATH options.

    A path names a file, a folder, a pattern or a dataset on the Hub; one shard of several stands for all of them.
    """
    datasets: dict[str, Path] = {}
    for option in options:
        name, separator, text = option.partition("=")
        if not separator or name not in (layout.SFT, layout.PREFERENCES) or not text:
            raise EntropylawError(f"--dataset {option}: expected {layout.SFT}=PATH or {layout.PREFERENCES}=PATH")
        if name in datasets:
            raise EntropylawError(f"--dataset {option}: {name} is given twice; {OWN_FOLDER}")
        if is_hub_name(text):
            parse_hub_name(text)
            datasets[name] = Path(text)
        else:
            datasets[name] = _find_dataset(option, text, folder)
    if not datasets:
        raise EntropylawError(
            f"give the data to train on: --dataset {layout.SFT}=PATH for conversations, --dataset "
            f"{layout.PREFERENCES}=PATH for chosen and rejected answers, or both"
        )
    return datasets


def _find_dataset(option: str, text: str, folder: Path) -> Path:
    """The path that an option names, relative to the repository."""
    path = Path(text)
    # As a person types it: relative to where they stand, or to the repository.
    found = path if _is_there(path) else folder / path
    if not _is_there(found):
        raise EntropylawError(f"--dataset {option}: {missing_error(found)}")
    shards = shard_pattern(found)
    if shards and len(glob.glob(shards)) > 1:
        found = Path(shards)
    # Not the file itself is resolved: DVC may link it to its cache.
    fixed = dataset_root(found)
    place = fixed.parent.resolve() / fixed.name if fixed.name not in ("", "..") else fixed.resolve()
    try:
        root = place.relative_to(folder.resolve())
    except ValueError:
        raise EntropylawError(f"--dataset {option}: the data must lie inside the repository {folder}") from None
    if (folder / layout.BASELINE).parent.resolve().is_relative_to(place) and place.is_dir():
        raise EntropylawError(
            f"--dataset {option}: the pipeline keeps files of its own in {layout.DATA}/, such as {layout.BASELINE} and "
            f"{layout.prepared(layout.SFT)}; {OWN_FOLDER}"
        )
    return root / found.relative_to(fixed)


def _is_there(path: Path) -> bool:
    return path.exists() or (is_pattern(path) and bool(glob.glob(str(path), recursive=True)))


def list_outs(folder: Path) -> list[Path]:
    """All files and folders that DVC tracks in a repository or makes in its pipeline, relative to ``folder``."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(folder)) as repo:
            paths = [Path(out.fs_path) for out in repo.index.outs if out.is_in_repo]
    except DvcException as error:
        raise EntropylawError(f"{folder}: DVC cannot read this repository: {error}") from None
    return [Path(os.path.relpath(path, folder.resolve())) for path in paths]


def require_room(outs: Iterable[Path]) -> None:
    """Raise EntropylawError where DVC tracks as a whole the folder in which the pipeline keeps files of its own."""
    for out in outs:
        if out == layout.DATA or out in layout.DATA.parents:
            raise EntropylawError(
                f"{out}/ is tracked by DVC as a whole, and the pipeline keeps files of its own there, such as "
                f"{layout.BASELINE}; run `dvc remove {out}.dvc` and `dvc add` for the files in it, then init again"
            )


def track(folder: Path, path: Path, outs: Iterable[Path]) -> None:
    """Have DVC track a dataset, unless DVC or Git does already: a folder as a whole if nothing in it is tracked."""
    if is_hub_name(path):
        return
    tracked = set(outs)
    root = dataset_root(folder / path)
    files = [file.relative_to(folder) for file in list_files(folder / path)] if root.is_dir() else [path]
    missing = [file for file in files if not {file, *file.parents} & tracked and not is_tracked(file, folder)]
    if not missing:
        return
    whole = root.relative_to(folder)
    below = any(whole in out.parents for out in tracked) or run_git("ls-files", str(whole), folder=folder)
    add_to_dvc(folder, missing if below else [whole])


def add_to_dvc(folder: Path, paths: Iterable[Path]) -> None:
    """Run `dvc add`. Raises EntropylawError with DVC's last line where it fails."""
    names = [str(path) for path in paths]
    added = subprocess.run(
        [sys.executable, "-m", "dvc", "--cd", str(folder), "add", "--quiet", *names],
        capture_output=True,
        text=True,
        check=False,
    )
    if added.returncode:
        raise EntropylawError(f"`dvc add {' '.join(names)}` failed: {last_line(added.stderr)}")
