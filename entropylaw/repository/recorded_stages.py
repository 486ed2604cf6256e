"""What `dvc.lock` records of the stages that read history/, kept true when an entry of the version itself is added.

A version is never compared with its own entry, so accepting it leaves its verdict as it was. Its reports do change:
they name the version then. `accept` writes these again and has DVC record the stages with the history as it is now. It
does so only for stages that were up to date before: what is stale stays stale, and `dvc repro` runs it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from corpus.errors import EntropylawError, NotAssessedError
from entropylaw.repository.dvc_locks import drop_torn_rwlock, kept_lock
from entropylaw.repository.lockfile import LOCK_FILE, read_lock

# The stages of our pipeline that read history/ or, like the gate, the report that is made from it.
READERS = ("assess", "report", "gate", "release")

# The environment variable in which DVC names the stage to the command that it runs.
STAGE_VARIABLE = "DVC_STAGE"


def list_fresh_stages() -> tuple[str, ...]:
    """Those of ``READERS`` that DVC would not run now. None where DVC keeps no record here, and within a stage of its
    own, such as a trainer that reports its score: what that stage reads is locked until it ends.
    """
    if not LOCK_FILE.is_file() or STAGE_VARIABLE in os.environ:
        return ()
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        recorded = [stage.name for stage in read_lock("run `dvc repro`") if stage.name in READERS]
        with Repo() as repo:
            drop_torn_rwlock(Path(repo.tmp_dir))
            stale = repo.status(targets=recorded) if recorded else {}
    except (DvcException, NotAssessedError):  # nobody can tell, so nothing is recorded
        return ()
    return tuple(stage for stage in recorded if stage not in stale)


def record_stages(stages: Sequence[str]) -> None:
    """Have DVC record that these stages have run on what they read now, and keep what they wrote.

    Raises EntropylawError where DVC cannot.
    """
    if not stages:
        return
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.WARNING)  # it tells of each stage that dvc.lock was updated
    try:
        with Repo() as repo, kept_lock():
            drop_torn_rwlock(Path(repo.tmp_dir))
            for stage in stages:
                repo.commit(stage, force=True)
    except DvcException as error:
        raise EntropylawError(f"{LOCK_FILE}: DVC cannot record {', '.join(stages)}: {error}; run `dvc repro`") from None
