"""The datasets that `init` is given: where each lies, and which of its files nobody keeps the versions of yet."""

from __future__ import annotations

import glob
import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from corpus.errors import EntropylawError
from corpus.files import (
    dataset_root,
    hub_name,
    is_hub_name,
    is_pattern,
    list_files,
    missing_error,
    parse_hub_name,
    shard_pattern,
)
from entropylaw.init.dvc_outputs import DvcRepository
from entropylaw.repository import layout
from entropylaw.repository.git import run_git

OWN_FOLDER = "put the files of one dataset into a folder of their own, such as data/sft, and name that folder"
# Control characters, and what stands for bytes that are no UTF-8.
_UNWRITABLE = ("Cc", "Cs")


def parse_datasets(options: list[str], folder: Path, dvc: DvcRepository) -> dict[str, Path]:
    """Dataset names and where their data lies, as absolute paths, from NAME=PATH options.

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
            datasets[name] = _find_dataset(option, text, folder, dvc)
    if not datasets:
        raise EntropylawError(
            f"give the data to train on: --dataset {layout.SFT}=PATH for conversations, --dataset "
            f"{layout.PREFERENCES}=PATH for chosen and rejected answers, or both"
        )
    return datasets


def _find_dataset(option: str, text: str, folder: Path, dvc: DvcRepository) -> Path:
    """The absolute path that an option names."""
    path = Path(text)
    # As a person types it: relative to where they stand, or to the repository.
    found = path if _is_there(path) else folder / path
    if not _is_there(found):
        raise EntropylawError(f"--dataset {option}: {_explain_missing(found, dvc)}")
    require_plain_name(option, found)
    shards = shard_pattern(found)
    if shards and len(glob.glob(shards)) > 1:
        found = Path(shards)
    # Not the file itself is resolved: DVC may link it to its cache.
    fixed = dataset_root(found)
    place = fixed.parent.resolve() / fixed.name if fixed.name not in ("", "..") else fixed.resolve()
    if not place.is_relative_to(dvc.root):
        raise EntropylawError(f"--dataset {option}: the data must lie inside the repository {dvc.root}")
    return place / found.relative_to(fixed)


def _is_there(path: Path) -> bool:
    return path.exists() or (is_pattern(path) and bool(glob.glob(str(path), recursive=True)))


def _explain_missing(path: Path, dvc: DvcRepository) -> str:
    """Why a file is not there: DVC may know of it under another name than its own."""
    error = str(missing_error(path))
    owner = dvc.find_owner(path.parent.resolve() / path.name)
    if owner is None or "dvc pull" in error:
        return error
    note = Path(os.path.relpath(owner.file)).as_posix()
    return f"{path}: no such file; DVC knows it from {note}: run `dvc pull {path.as_posix()}`"


def require_plain_name(option: str, path: Path) -> None:
    """Raise EntropylawError for a name that Git, DVC or we would misread. Blanks, quotes and signs of a shell are fine:
    no name is ever part of a command line.

    >>> require_plain_name("sft=my chats.jsonl", Path("it's $(my) chats & more.jsonl"))
    """
    name = str(path)
    if os.path.lexists(path) and glob.has_magic(name):
        cause = "has a *, ? or [ in its name, which would be read as a pattern once the file is not here"
    elif any(unicodedata.category(character) in _UNWRITABLE for character in name):
        cause = "has a control character in its name, or bytes that are no UTF-8, which a .gitignore cannot hold"
    elif any(part.endswith(" ") for part in path.parts):
        cause = "has a name that ends in a blank, which a .gitignore cannot hold"
    else:
        return
    raise EntropylawError(f"--dataset {ascii(option)[1:-1]}: {cause}; rename it, with `dvc move` if DVC tracks it")


def name_from(place: Path, home: Path) -> str:
    """What params.yaml in the folder ``home`` says of a dataset's place.

    >>> name_from(Path("/r/data/chats.jsonl"), Path("/r/data-risk")), name_from(Path("hf:/owner/name@v1"), Path("/r"))
    ('../data/chats.jsonl', 'hf://owner/name@v1')
    """
    return hub_name(place) if is_hub_name(place) else Path(os.path.relpath(place, home)).as_posix()


def list_untracked(datasets: Mapping[str, Path], dvc: DvcRepository) -> list[Path]:
    """What DVC is to track, so that every dataset has versions: of a dataset that neither DVC nor Git has any file of,
    the file or folder as a whole; of any other, the files that are missing there.
    """
    untracked: list[Path] = []
    for place in datasets.values():
        if is_hub_name(place):
            continue
        root = dataset_root(place)
        if dvc.find_owner(root):
            continue
        in_git = _list_in_git(root)
        files = list_files(place) if root.is_dir() else [place]
        missing = [file for file in files if file not in in_git and not dvc.find_owner(file)]
        if missing:
            untracked += missing if in_git or any(dvc.list_below(root)) else [root]
    return untracked


def _list_in_git(path: Path) -> set[Path]:
    """The files at or below a path that Git itself keeps."""
    # -z: Git quotes odd names unless they end in a zero.
    listed = run_git("--literal-pathspecs", "ls-files", "-z", "--", path.name or ".", folder=path.parent)
    return {path.parent / name for name in listed.split("\0") if name}
