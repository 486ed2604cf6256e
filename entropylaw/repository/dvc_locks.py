"""What DVC leaves behind when it is killed while it writes one of the two files that it writes in place.

DVC notes in .dvc/tmp/rwlock which process reads and writes what. A note of a process that is gone it drops by itself.
But a kill while it writes the file leaves a part of it or nothing, and from then on every `dvc repro` ends with "JSON
structure is corrupted". The same may happen to dvc.lock. While a command of ours has DVC write that, a copy is kept.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from corpus.artifacts import write_text
from corpus.errors import EntropylawError
from entropylaw.repository.lockfile import LOCK_FILE, parse_lock

NAME = "rwlock"
# dvc.lock as it was before DVC was asked to write it.
KEPT_LOCK = Path(".entropylaw") / "dvc.lock"


def is_rwlock_torn(folder: Path) -> bool:
    """Whether a kill left only a part of the notes. ``folder``: DVC's .dvc/tmp."""
    try:
        json.loads((folder / NAME).read_bytes())
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return False


def drop_torn_rwlock(folder: Path) -> None:
    """Delete notes of which a kill left only a part; DVC begins new ones.

    Raises DVC's LockError where DVC is writing them right now.
    """
    if not is_rwlock_torn(folder):
        return
    from dvc.lock import make_lock

    # Held by whoever writes the notes, and free when that process is dead.
    with make_lock(str(folder / f"{NAME}.lock"), tmp_dir=str(folder)):
        if is_rwlock_torn(folder):
            (folder / NAME).unlink()


@contextlib.contextmanager
def kept_lock() -> Iterator[None]:
    """Keep a copy of dvc.lock while DVC writes it in the block, from which `restore_torn_lock` mends it."""
    write_text(KEPT_LOCK, LOCK_FILE.read_text(encoding="utf-8"))
    try:
        yield
    finally:
        restore_torn_lock()


def restore_torn_lock() -> None:
    """Put back dvc.lock as it was where a kill left only a part of it. A whole one stays, whoever wrote it."""
    if not KEPT_LOCK.is_file():
        return
    # Whoever writes it drops no stage that is in dvc.yaml.
    if _list_recorded(KEPT_LOCK) <= _list_recorded(LOCK_FILE):
        KEPT_LOCK.unlink()
    else:
        os.replace(KEPT_LOCK, LOCK_FILE)


def _list_recorded(lock: Path) -> set[str]:
    """The stages in a dvc.lock; none where it cannot be read."""
    try:
        return {stage.name for stage in parse_lock(lock.read_text(encoding="utf-8"), lock, "")}
    except (EntropylawError, OSError, UnicodeDecodeError):
        return set()
