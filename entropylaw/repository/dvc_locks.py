"""What DVC leaves behind when it is killed while it notes which files are in use.

DVC notes in .dvc/tmp/rwlock which process reads and writes what. A note of a process that is gone it drops by itself.
But it writes the file in place, so a kill at that moment leaves a part of it or nothing, and from then on every
`dvc repro` ends with "JSON structure is corrupted".
"""

from __future__ import annotations

import json
from pathlib import Path

NAME = "rwlock"


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
