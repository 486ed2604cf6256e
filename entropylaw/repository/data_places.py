"""Where data may lie: in the Git repository, or in a folder that whoever runs the machine has named.

What a stage reads is named by params.yaml, by dvc.yaml and by links in Git, all of which a pull request can change.
Without this, one could have the runner read a file of its own and show the rows in the report.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from corpus.errors import DataError, EntropylawError
from corpus.files import dataset_root, is_hub_name, list_files
from entropylaw.repository.git import find_root_above
from entropylaw.repository.recorded_stages import STAGE_VARIABLE

# Folders outside of the repository that data may lie in, such as a shared disk; separated as in PATH.
TRUSTED_VARIABLE = "ENTROPYLAW_DATA_FOLDERS"
# GitHub, GitLab and nearly all other systems set it for what they run.
CI_VARIABLE = "CI"
# Where DVC links data to its cache, which may lie anywhere: the object is named by the hash of what it holds, and so
# nobody can name a file by it whose content they do not know.
_CACHE_OBJECT = re.compile(r"/(files/md5/)?[0-9a-f]{2}/[0-9a-f]{30}(\.dir)?$")


def require_trusted_place(path: Path, is_named: bool) -> None:
    """Raise EntropylawError where data lies outside of the repository and was not named by the user.

    ``is_named``: params.yaml names it. In a stage that DVC runs, the command line counts as dvc.yaml's. A path that a
    user types may lead anywhere; in a CI system no link in the repository may, because a pull request can have made it.
    Without a Git repository there is no outside.
    """
    root = find_root_above(Path.cwd())
    is_named = is_named or STAGE_VARIABLE in os.environ
    if root is None or is_hub_name(path) or not (is_named or os.environ.get(CI_VARIABLE)):
        return
    named = filter(None, os.environ.get(TRUSTED_VARIABLE, "").split(os.pathsep))
    trusted = [root, *map(_resolve, named)]
    if not is_named and not Path(os.path.abspath(path)).is_relative_to(root):
        return
    for file in _list_places(path):
        real = _resolve(file)
        if not any(map(real.is_relative_to, trusted)) and not (file.is_symlink() and _CACHE_OBJECT.search(str(real))):
            raise EntropylawError(
                f"{file}: leads to {real}, outside of the repository {root}; move the data into it, or name a folder "
                f"that you trust in the environment variable {TRUSTED_VARIABLE}"
            )


def _resolve(path: str | Path) -> Path:
    return Path(os.path.realpath(path))  # before Python 3.13 Path.resolve raises where links go in a circle


def _list_places(path: Path) -> Iterator[Path]:
    """Where a dataset lies, each of its files, and the folders in between. Nothing else that lies there is read."""
    root = dataset_root(path)
    yield root
    try:
        files = list_files(path)
    except DataError:  # whoever reads the data meets it again, and says it
        return
    seen = {root}
    for file in files:
        for place in (file, *file.parents):
            if place in seen:
                break
            seen.add(place)
            yield place
