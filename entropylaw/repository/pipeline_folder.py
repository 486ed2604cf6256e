"""Finds the folder of our pipeline from wherever a command is started: dvc.yaml, params.yaml and results/ lie in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from corpus.errors import EntropylawError
from entropylaw.repository.git import find_root_above, run_git

PIPELINE = "dvc.yaml"
# The stage that only our pipeline has, on a line that is neither a comment nor a description. A YAML parser would take
# as long as all else that `entropylaw check` does.
_ASSESS = re.compile(r"^(?!\s*desc:)[^#\n]*\bentropylaw\s+assess\b", re.MULTILINE)
# How deep below Git's root a pipeline is looked for that Git does not track yet: `data-risk/`, or a team's own.
_UNTRACKED = ("*/" + PIPELINE, "*/*/" + PIPELINE)


def is_pipeline(folder: Path) -> bool:
    """Whether the dvc.yaml of a folder is ours: it has a stage that runs `entropylaw assess`."""
    try:
        return bool(_ASSESS.search((folder / PIPELINE).read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return False


def find_pipeline(start: Path) -> Path | None:
    """The folder of the pipeline that a command started in ``start`` is about, as an absolute path; None where there is
    none.

    It is ``start`` or the nearest folder above it, up to the root of the Git repository; else the one below that root.
    Outside a Git repository only ``start`` counts. Raises EntropylawError, naming them, where several lie below.
    """
    start = start.absolute()
    if is_pipeline(start):
        return start
    root = find_root_above(start)
    if root is None:
        return None
    between = [folder for folder in (start, *start.parents) if folder.is_relative_to(root)]
    nearest = next((folder for folder in between if is_pipeline(folder)), None)
    if nearest is not None:
        return nearest
    found = sorted(folder for folder in set(_list_folders(root)) if is_pipeline(folder))
    if len(found) > 1:
        names = ", ".join(folder.relative_to(root).as_posix() for folder in found)
        raise EntropylawError(f"{root}: it has several pipelines: {names}; go into the folder of the one you mean")
    return found[0] if found else None


def pipeline_or_here() -> Path:
    """The pipeline's folder as seen from the current one, for who needs no pipeline; the current one where none is
    meant.
    """
    try:
        found = find_pipeline(Path())
    except EntropylawError:
        found = None
    return Path() if found is None else Path(os.path.relpath(found))


def _list_folders(root: Path) -> Iterator[Path]:
    """The folders below the root of a Git repository that have a dvc.yaml, but not those of a repository inside it."""
    tracked = run_git("ls-files", "-z", "--", f":(top,glob)**/{PIPELINE}", folder=root)
    yield from ((root / name).parent for name in tracked.split("\0") if name)
    for pattern in _UNTRACKED:
        for file in root.glob(pattern):
            between = [file.parent, *file.parent.parents][: len(file.parent.relative_to(root).parts)]
            # A clone inside this one, as `entropylaw demo` makes, and .venv are about something else.
            if not any((folder / ".git").exists() or folder.name.startswith(".") for folder in between):
                yield file.parent
