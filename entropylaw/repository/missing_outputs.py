"""What to do where the output of a stage is not here: fetch what was made already, or make it."""

from __future__ import annotations

from pathlib import Path

from corpus.errors import EntropylawError, NotAssessedError
from entropylaw.repository.lockfile import LOCK_FILE, read_lock


def require_here(path: Path, stage: str) -> None:
    """Raise EntropylawError, saying what to do, where an output that DVC keeps is not here. ``stage``: makes it."""
    if not path.exists():
        raise EntropylawError(f"{path}: not here; run {name_remedy(path, stage)}")


def name_remedy(path: Path, stage: str) -> str:
    """The commands that bring an output: `dvc pull` comes first where dvc.lock says that it was made, as in a clone."""
    make = f"`dvc repro {stage}`"
    try:
        made = LOCK_FILE.is_file() and any(path.as_posix() in item.outs for item in read_lock(make))
    except NotAssessedError:
        made = False
    return f"`dvc pull {path.as_posix()}`, or {make} to make it anew" if made else make
